"""install, when something is missing, fails or is interrupted."""

import io
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.aws_install.terraform import TerraformProgram, found_version
from multinode_cli.console.terminal import Style, Terminal
from tests.cli.conftest import Multinode
from tests.support.cli.account import TestAccount
from tests.support.cli.installation import BUCKET, STATE, buckets, root
from tests.support.cli.terraform import FakeTerraform
from tests.support.control_plane import FakeControlPlane
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1.10.5", "Terraform 1.10.5 is too old"),
        ("0.15.0", "Terraform 0.15.0 is too old"),
        ("", "does not report its version (what?)"),
    ],
)
def test_a_terraform_that_is_too_old_is_refused(run: Any, terraform: FakeTerraform, version: str, message: str) -> None:
    terraform.does(version=version)
    done = run("install")
    assert done.code == 3
    assert message in done.err
    assert "install 1.11 or later" in done.err
    assert terraform.commands() == []


@pytest.mark.parametrize("version", ["1.11.0", "1.11.0-rc1", "1.20.1", "2.0.0"])
def test_a_newer_terraform_will_do(terraform: FakeTerraform, version: str) -> None:
    terraform.does(version=version)
    assert found_version() == (str(terraform.folder / "terraform"), version)


def test_without_terraform_it_says_where_to_get_it(
    multinode: Multinode, account: TestAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = multinode("install")
    assert done.code == 3
    assert "there is no `terraform` on the PATH: install 1.11 or later (https://" in done.err


def test_without_python_terraform_it_says_what_to_install(
    run: Any, monkeypatch: pytest.MonkeyPatch, terraform: FakeTerraform
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "python_terraform", None)
    done = run("install")
    assert done.code == 3
    assert "pip install 'boto3>=" in done.err


def test_half_applied_terraform_is_gone_on_with_when_it_is_run_again(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform, account: TestAccount, folder: Path
) -> None:
    terraform.does(fails=["apply"])
    done = run("install", "--set", "log_retention_days=7")
    assert done.code == 3
    # The resource, what was tried, and AWS's own words, which name the action.
    assert "module.multinode.module.api.aws_lambda_function.this: creating Lambda Function" in done.err
    assert "is not authorized to perform: iam:PassRole" in done.err
    assert "What was created is recorded: fix the cause and run the same command again" in done.err
    assert f"Its output: {folder}/terraform.log" in done.err
    account.client("s3").put_object(Bucket=BUCKET, Key=STATE, Body=b"{}")  # what Terraform remembers of its half
    terraform.does(fails=[])
    again = run("install")
    assert again.code == 0, again.err
    assert root(folder)["module"]["multinode"]["log_retention_days"] == 7


def test_what_exists_already_is_to_be_taken_over_by_the_command_that_is_shown(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform, folder: Path
) -> None:
    group = {
        "severity": "error",
        "summary": "creating CloudWatch Logs Log Group (/aws/lambda/multinode-main-api): operation error",
        "detail": "ResourceAlreadyExistsException: The specified log group already exists",
        "address": "module.multinode.module.api.aws_cloudwatch_log_group.this",
    }
    security_group = {
        "severity": "error",
        "summary": "creating Security Group (multinode-main-workers): InvalidGroup.Duplicate: it already exists",
        "address": 'module.multinode.aws_security_group.workers["a"]',
    }
    terraform.does(fails=["apply"], errors=[group, security_group])
    done = run("install")
    assert done.code == 3
    begin = f"\n  terraform -chdir={folder} import "
    assert f"{begin}{group['address']} /aws/lambda/multinode-main-api\n" in done.err
    # A security group is imported by an id that only AWS knows.
    assert f"{begin}'{security_group['address']}' ID\n" in done.err


def test_a_state_that_could_not_be_stored_is_stored_first(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform, folder: Path
) -> None:
    folder.mkdir(parents=True)
    (folder / "errored.tfstate").write_text("{}")
    assert run("install").code == 0
    assert terraform.commands() == ["init", "state push", "plan", "apply"]
    assert not (folder / "errored.tfstate").exists()


def test_an_init_that_fails_shows_its_last_lines(run: Any, terraform: FakeTerraform, account: TestAccount) -> None:
    terraform.does(fails=["init"])
    done = run("install")
    assert done.code == 3
    assert "terraform init failed:" in done.err
    assert "Failed to query available provider packages" in done.err
    assert buckets(account) == []


def test_a_lock_that_is_held_says_how_to_free_it(run: Any, terraform: FakeTerraform, folder: Path) -> None:
    error = {"severity": "error", "summary": "Error acquiring the state lock", "detail": "ID: 1234"}
    terraform.does(fails=["plan"], errors=[error])
    done = run("install")
    assert done.code == 3
    assert "Another install or uninstall of this deployment is running; wait for it" in done.err
    assert f"terraform -chdir={folder} force-unlock ID" in done.err


def test_a_folder_that_cannot_be_written_is_named(run: Any, folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    done = run("install")
    assert done.code == 3
    assert str(folder) in done.err


@pytest.mark.parametrize(("pressed", "asked"), [(1, 0), (2, 1), (3, 1)])
def test_the_first_ctrl_c_lets_an_apply_finish_and_the_second_asks_it_once_to_stop(
    terraform: FakeTerraform, tmp_path: Path, pressed: int, asked: int
) -> None:
    terraform.does(waits_for_interrupt=True)
    heard = io.StringIO()
    terminal = Terminal(io.StringIO(), heard, Style(), Style(), animated=False)
    program = TerraformProgram(str(terraform.folder / "terraform"), tmp_path, terminal)
    plan = program.plan(tmp_path / "plan")

    def interrupt() -> None:
        log = tmp_path / "terraform.log"
        until(lambda: "waiting" in log.read_text(), "Terraform to be at work", every_s=0.01)
        for _ in range(pressed):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)  # signals that come together are one
        (terraform.folder / "go on").touch()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        program.apply(tmp_path / "plan", plan, "Applying")
    thread.join()
    assert (terraform.folder / "interrupts").read_text() == str(asked)
    assert ("Stopping: waiting for Terraform to finish" in heard.getvalue()) is (asked == 1)
    assert "press Ctrl-C again" in heard.getvalue() or pressed > 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
