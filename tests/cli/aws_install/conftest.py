"""install and uninstall around a Terraform that does as it is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.aws_install import lambda_package
from multinode_cli.aws_install.terraform import TerraformProgram
from multinode_cli.backends.aws.account import Account
from tests.cli.conftest import Multinode, Outcome
from tests.support.cli.account import ACCOUNT_ID, REGION, TestAccount
from tests.support.cli.installation import BUCKET, STATE
from tests.support.cli.terraform import FakeTerraform
from tests.support.control_plane import FakeControlPlane


@pytest.fixture
def concurrency(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The account's Lambda concurrency, which moto does not know; and no package is fetched to build one."""
    limit = {"ConcurrentExecutions": 1000}
    real = Account.client

    class Lambda:
        def get_account_settings(self) -> dict[str, Any]:
            return {"AccountLimit": limit}

    monkeypatch.setattr(
        Account, "client", lambda account, service: Lambda() if service == "lambda" else real(account, service)
    )
    monkeypatch.setattr(lambda_package, "build", lambda output: output.write_bytes(b"zip"))
    return limit


@pytest.fixture
def folder(terraform: FakeTerraform, tmp_path: Path) -> Path:
    """The folder in which Terraform runs."""
    return tmp_path / "state" / "multinode" / "aws" / f"{ACCOUNT_ID}-{REGION}-main"


@pytest.fixture
def run(
    multinode: Multinode, account: TestAccount, terraform: FakeTerraform, concurrency: dict[str, int]
) -> Iterator[Any]:
    def call(command: str, *options: str, approve: bool = True) -> Outcome:
        return multinode(command, "--name", "main", *options, *(["--auto-approve"] if approve else []))

    yield call


@pytest.fixture
def installs(
    account: TestAccount, unconnected_plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
) -> FakeControlPlane:
    """What a successful apply makes is in the account: the state and the deployment, whose control plane this is."""
    apply = TerraformProgram.apply

    def applied(*arguments: Any, **options: Any) -> None:
        apply(*arguments, **options)
        account.client("s3").put_object(Bucket=BUCKET, Key=STATE, Body=b"{}")
        if "Applying" in arguments:
            account.install("main", unconnected_plane.url)

    monkeypatch.setattr(TerraformProgram, "apply", applied)
    return unconnected_plane
