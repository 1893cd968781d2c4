"""`multinode install`, interrupted and run again, and `uninstall`: Terraform itself, in an account of its own."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from scripts.terraform_offline import environment
from tests.e2e.emulator import CREDENTIALS, Emulator, without_aws
from tests.e2e.leftovers import census
from tests.e2e.processes import free_port
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.requires("terraform"), pytest.mark.timeout(1800)]

MULTINODE = Path(sys.executable).with_name("multinode")


@dataclass
class Account:
    """An empty account, and a user who has its credentials."""

    url: str
    variables: Mapping[str, str]
    folder: Path

    def client(self, service: str) -> Any:
        keys = CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
        make: Any = boto3.session.Session(*keys, region_name=CREDENTIALS["AWS_REGION"]).client
        return make(service, endpoint_url=self.url)

    def started(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command; what it says goes to the file `said`."""
        with self.said.open("w") as said:
            return subprocess.Popen(
                [MULTINODE, *arguments], env=dict(self.variables), stdout=said, stderr=subprocess.STDOUT, text=True
            )

    @property
    def said(self) -> Path:
        return self.folder / "said.txt"

    def multinode(self, *arguments: str) -> tuple[int, str]:
        """Return exit code and output of a command."""
        code = self.started(*arguments).wait(timeout=900)
        return code, self.said.read_text()


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    port = free_port()
    emulator = Emulator(tmp_path / "emulator", port, {})
    variables = {
        **without_aws(environment(tmp_path)),
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "MULTINODE_CONFIG_DIR": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    try:
        yield Account(f"http://127.0.0.1:{port}", variables, tmp_path)
    finally:
        emulator.process.stop()


def test_failed_and_interrupted_installations_are_finished_and_removed_whole(
    account: Account,
) -> None:
    before = census(account.client)

    # As if a run had been stopped in the middle: something is there of which Terraform does not know.
    group = "/aws/lambda/multinode-default-sweep"
    account.client("logs").create_log_group(logGroupName=group)
    code, said = account.multinode("install", "--auto-approve")
    assert (code, "is installed" in said) == (3, False), said
    (take_it_over,) = [line.strip() for line in said.splitlines() if " import module.multinode" in line]
    assert take_it_over.endswith(f".aws_cloudwatch_log_group.this {group}")
    subprocess.run(shlex.split(take_it_over), env=dict(account.variables), check=True, capture_output=True)

    second = account.started("install", "--set", "log_retention_days=7", "--auto-approve")
    until(lambda: "complete after" in account.said.read_text(), "something to be made")
    os.kill(second.pid, signal.SIGINT)
    assert second.wait(timeout=900) == 130, account.said.read_text()
    assert "Finishing first, so that nothing is left half-made" in account.said.read_text()

    # The API's name is the emulator's own, which only it knows, so the login at the end finds nobody.
    code, said = account.multinode("install", "--auto-approve")
    # Nothing is made any more. (What the emulator tells of alarms always looks as if it were to be changed.)
    assert "This will create 0, " in said, said
    assert "✓ The deployment default is installed" in said, said
    assert (code, "multinode login --from-aws --name default" in said) == (3, True), said

    key = account.client("ssm").get_parameter(Name="/multinode/default/api_key", WithDecryption=True)
    state = account.client("s3").get_object(Bucket="multinode-000000000000-eu-west-1", Key="default/terraform.tfstate")
    assert key["Parameter"]["Value"] not in state["Body"].read().decode()
    (group,) = account.client("logs").describe_log_groups(logGroupNamePrefix="/multinode/default/workers")["logGroups"]
    assert group["retentionInDays"] == 7

    code, said = account.multinode("uninstall", "--auto-approve")
    assert code == 0, said
    assert census(account.client) == before
    assert account.client("s3").list_buckets()["Buckets"] == []
