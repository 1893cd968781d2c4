"""install and uninstall around a Terraform that does as it is told: what is asked, kept, and done when it fails."""

import io
import json
import os
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multinode_cli import install, lambda_package
from multinode_cli.aws_account import Account
from multinode_cli.failures import UsageFailure
from multinode_cli.root_module import parse_settings
from multinode_cli.terminal import PLAIN, Terminal
from multinode_cli.terraform_program import TerraformProgram, found_version
from tests.cli.aws.account import ACCOUNT_ID, REGION, TestAccount
from tests.cli.aws.fake_terraform import FakeTerraform
from tests.cli.conftest import Multinode, Outcome
from tests.cli.fake_control_plane import KEY, FakeControlPlane
from tests.cli.records import function_info

pytestmark = pytest.mark.slow

BUCKET = f"multinode-{ACCOUNT_ID}-{REGION}"
STATE = "main/terraform.tfstate"


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


def root(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "main.tf.json").read_text())
    return found


def buckets(account: TestAccount) -> list[str]:
    return [bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]]


# --- installing ---


def test_it_plans_applies_and_logs_in(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform, folder: Path, config_dir: Path
):
    done = run("install")
    assert done.code == 0, done.err
    assert terraform.commands() == ["init", "plan", "apply"]
    assert "This will make 2, change 0 and remove 0 resources" in done.err
    assert f"Terraform's state is in s3://{BUCKET}/{STATE}" in done.err
    assert json.loads((config_dir / "profile.json").read_text()) == {"api_url": installs.url, "api_key": KEY}
    backend = root(folder)["terraform"]["backend"]["s3"]
    assert backend == {"bucket": BUCKET, "key": STATE, "region": REGION, "encrypt": True, "use_lockfile": True}
    assert root(folder)["provider"] == {"aws": {"region": REGION, "allowed_account_ids": [ACCOUNT_ID]}}
    assert root(folder)["module"]["multinode"] == {
        "source": "./module",
        "name": "main",
        "lambda_package": "${path.root}/multinode-lambda.zip",
    }
    assert (folder / "module" / "key.tf").exists()
    assert (folder / "module" / "modules" / "function" / "main.tf").exists()
    assert not (folder / "module" / "tests").exists()


def test_the_state_s_bucket_is_private_and_versioned(run: Any, installs: FakeControlPlane, account: TestAccount):
    assert run("install").code == 0
    s3 = account.client("s3")
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    block = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}


def test_it_asks_before_it_changes_anything_and_leaves_no_bucket_behind(
    run: Any, terraform: FakeTerraform, account: TestAccount
):
    done = run("install", approve=False)
    assert done.code == 2
    assert "nobody can be asked here; add --auto-approve" in done.err
    assert terraform.commands() == ["init", "plan"]
    assert buckets(account) == []


@pytest.mark.parametrize(("answer", "exit_code", "commands"), [("n\n", 130, 2), ("y\n", 0, 3)])
def test_whoever_is_asked_decides(
    run: Any,
    installs: FakeControlPlane,
    terraform: FakeTerraform,
    multinode: Multinode,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    exit_code: int,
    commands: int,
):
    monkeypatch.setattr(install, "_can_ask", lambda: True)
    done = multinode("install", "--name", "main", stdin=answer)
    assert done.code == exit_code
    assert len(terraform.commands()) == commands


def test_settings_are_kept_and_go_with_every_later_install(run: Any, installs: FakeControlPlane, folder: Path):
    network = '{"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"]}'
    assert run("install", "--set", f"network={network}", "--set", "event_bus_name=a${b}").code == 0
    assert run("install", "--set", "log_retention_days=14").code == 0
    settings = root(folder)["module"]["multinode"]
    assert settings["network"] == {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"]}
    assert settings["log_retention_days"] == 14
    assert settings["event_bus_name"] == "a$${b}"  # a text, not an expression
    assert run("install", "--set", "network=null").code == 0
    assert "network" not in root(folder)["module"]["multinode"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("log_retention=1", "there is no setting 'log_retention'. Did you mean log_retention_days?"),
        ("name=x", "there is no setting 'name'"),
        ("lambda_package=x", "there is no setting 'lambda_package'"),
        ("tags", "write --set NAME=VALUE"),
    ],
)
def test_a_setting_that_there_is_not_is_refused(given: str, message: str):
    with pytest.raises(UsageFailure) as caught:
        parse_settings((given,))
    assert message in caught.value.message


def test_a_new_account_s_small_concurrency_is_not_reserved(
    run: Any, installs: FakeControlPlane, concurrency: dict[str, int], folder: Path
):
    concurrency["ConcurrentExecutions"] = 10
    done = run("install")
    assert root(folder)["module"]["multinode"]["reserve_concurrency"] is False
    assert "the account may run 10 Lambda calls at once" in done.err
    concurrency["ConcurrentExecutions"] = 126
    assert run("install").code == 0
    assert "reserve_concurrency" not in root(folder)["module"]["multinode"]


def test_what_would_be_lost_is_named(run: Any, installs: FakeControlPlane, terraform: FakeTerraform):
    terraform.does(lost=["module.multinode.aws_dynamodb_table.state"], tainted=["module.multinode.aws_sqs_queue.half"])
    # What an interrupted apply left half made is replaced, too, but there is nothing in it.
    assert "what is in these is lost: module.multinode.aws_dynamodb_table.state\n" in run("install").err


def test_a_table_that_an_interrupted_run_had_begun_is_gone_on_with(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform
):
    # Terraform would make it anew, which its deletion protection refuses.
    table, queue = "module.multinode.aws_dynamodb_table.state", "module.multinode.aws_sqs_queue.half"
    terraform.does(tainted=[queue, table])
    done = run("install")
    assert done.code == 0, done.err
    assert f"Going on with {table}, which an interrupted run had begun" in done.err
    assert [call for call in terraform.calls() if call[0] == "untaint"] == [["untaint", table]]
    assert terraform.commands() == ["init", "plan", f"untaint {table}", "plan", "apply"]


def test_nothing_to_do_asks_nothing(run: Any, installs: FakeControlPlane, terraform: FakeTerraform):
    assert run("install").code == 0
    terraform.does(add=0)
    done = run("install", approve=False)
    assert done.code == 0, done.err
    assert "The deployment main is as it should be" in done.err


def test_a_deployment_that_plain_terraform_made_is_left_to_it(run: Any, account: TestAccount, terraform: FakeTerraform):
    account.install("main", "https://api.example")
    done = run("install")
    assert done.code == 2
    assert "the deployment main exists, and `multinode install` did not make it" in done.err
    assert terraform.commands() == []
    assert "was not made by `multinode install`" in run("uninstall").err


def test_an_older_version_in_the_place_of_a_newer_one_is_a_warning(
    run: Any, installs: FakeControlPlane, account: TestAccount
):
    assert run("install").code == 0
    account.install("main", installs.url, version="99.0.0")
    done = run("install")
    assert "Installed is 99.0.0" in done.err
    assert "warning: that is an older version" in done.err


def test_it_is_installed_even_if_the_login_fails(run: Any, installs: FakeControlPlane, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install, "NEW_API_ANSWERS_WITHIN_S", 0.1)
    installs.go_away()
    done = run("install")
    assert done.code == 3
    assert "The deployment main is installed" in done.err
    assert "multinode login --from-aws --name main --region eu-west-1" in done.err


# --- what can be wrong ---


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1.10.5", "Terraform 1.10.5 is too old"),
        ("0.15.0", "Terraform 0.15.0 is too old"),
        ("", "does not tell its version (what?)"),
    ],
)
def test_a_terraform_that_is_too_old_is_refused(run: Any, terraform: FakeTerraform, version: str, message: str):
    terraform.does(version=version)
    done = run("install")
    assert done.code == 3
    assert message in done.err
    assert "install 1.11 or later" in done.err
    assert terraform.commands() == []


@pytest.mark.parametrize("version", ["1.11.0", "1.11.0-rc1", "1.20.1", "2.0.0"])
def test_a_newer_terraform_will_do(terraform: FakeTerraform, version: str):
    terraform.does(version=version)
    assert found_version() == (str(terraform.folder / "terraform"), version)


def test_without_terraform_it_says_where_to_get_it(
    multinode: Multinode, account: TestAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = multinode("install")
    assert done.code == 3
    assert "there is no `terraform` on the PATH: install 1.11 or later (https://" in done.err


def test_without_python_terraform_it_says_what_to_install(
    run: Any, monkeypatch: pytest.MonkeyPatch, terraform: FakeTerraform
):
    monkeypatch.setitem(__import__("sys").modules, "python_terraform", None)
    done = run("install")
    assert done.code == 3
    assert "pip install 'multinode[aws]'" in done.err


def test_half_applied_terraform_is_gone_on_with_when_it_is_run_again(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform, account: TestAccount, folder: Path
):
    terraform.does(fails=["apply"])
    done = run("install", "--set", "log_retention_days=7")
    assert done.code == 3
    # The resource, what was tried, and AWS's own words, which name the action.
    assert "module.multinode.module.api.aws_lambda_function.this: creating Lambda Function" in done.err
    assert "is not authorized to perform: iam:PassRole" in done.err
    assert "What was made is remembered: mend the cause and run the same command again" in done.err
    assert f"All that it said: {folder}/terraform.log" in done.err
    account.client("s3").put_object(Bucket=BUCKET, Key=STATE, Body=b"{}")  # what Terraform remembers of its half
    terraform.does(fails=[])
    again = run("install")
    assert again.code == 0, again.err
    assert root(folder)["module"]["multinode"]["log_retention_days"] == 7


def test_what_exists_already_is_to_be_taken_over_by_the_command_that_is_shown(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform, folder: Path
):
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
):
    folder.mkdir(parents=True)
    (folder / "errored.tfstate").write_text("{}")
    assert run("install").code == 0
    assert terraform.commands() == ["init", "state push", "plan", "apply"]
    assert not (folder / "errored.tfstate").exists()


def test_an_init_that_fails_shows_its_last_lines(run: Any, terraform: FakeTerraform, account: TestAccount):
    terraform.does(fails=["init"])
    done = run("install")
    assert done.code == 3
    assert "terraform init failed:" in done.err
    assert "Failed to query available provider packages" in done.err
    assert buckets(account) == []


def test_a_lock_that_is_held_says_how_to_free_it(run: Any, terraform: FakeTerraform, folder: Path):
    error = {"severity": "error", "summary": "Error acquiring the state lock", "detail": "ID: 1234"}
    terraform.does(fails=["plan"], errors=[error])
    done = run("install")
    assert done.code == 3
    assert "Another install or uninstall of this deployment is running; wait for it" in done.err
    assert f"terraform -chdir={folder} force-unlock ID" in done.err


def test_a_folder_that_cannot_be_written_is_named(run: Any, folder: Path):
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    done = run("install")
    assert done.code == 3
    assert str(folder) in done.err


@pytest.mark.parametrize(("pressed", "asked"), [(1, 0), (2, 1), (3, 1)])
def test_the_first_ctrl_c_lets_an_apply_finish_and_the_second_asks_it_once_to_stop(
    terraform: FakeTerraform, tmp_path: Path, pressed: int, asked: int
):
    terraform.does(waits_for_interrupt=True)
    heard = io.StringIO()
    terminal = Terminal(io.StringIO(), heard, PLAIN, PLAIN, animated=False)
    program = TerraformProgram(str(terraform.folder / "terraform"), tmp_path, terminal)
    plan = program.plan(tmp_path / "plan")

    def interrupt() -> None:
        log, deadline = tmp_path / "terraform.log", time.monotonic() + 30
        while "waiting" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(pressed):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)  # signals that come together are one
        (terraform.folder / "go on").touch()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        program.apply(tmp_path / "plan", plan, "Applying")
    thread.join()
    assert (terraform.folder / "interrupts").read_text() == str(asked)
    assert ("Stopping: Terraform finishes what it has begun" in heard.getvalue()) is (asked == 1)
    assert "Ctrl-C once more" in heard.getvalue() or pressed > 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# --- the Lambda package ---


def test_a_package_of_these_very_files_is_used_and_any_other_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lambda_package, "build", lambda output: output.write_bytes(b"built"))
    shipped, output = tmp_path / "shipped.zip", tmp_path / "output.zip"
    assert lambda_package.provide(output, shipped) is True
    with shipped.open("wb") as file:
        lambda_package._write(file, {**lambda_package._own_files(), "jmespath/__init__.py": b""})
    assert lambda_package.provide(output, shipped) is False
    assert output.read_bytes() == shipped.read_bytes()
    with zipfile.ZipFile(shipped, "a") as archive:
        archive.writestr("multinode_control_plane/another.py", b"")
    assert lambda_package.provide(output, shipped) is True
    assert output.read_bytes() == b"built"


# --- uninstalling ---


def test_uninstall_takes_the_protection_off_a_table_that_was_only_begun(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform
):
    assert run("install").code == 0
    table = "module.multinode.aws_dynamodb_table.state"
    terraform.does(listed=[table], tainted=[table])
    assert run("uninstall").code == 0
    # The plan and apply after `untaint` set its deletion_protection to false, in place.
    assert terraform.commands()[3:] == [
        *("init", "plan -destroy", "state list", "plan", f"untaint {table}", "plan", "apply"),
        *("plan -destroy", "apply"),
    ]


def test_uninstall_takes_the_protection_off_removes_all_and_forgets(
    run: Any,
    installs: FakeControlPlane,
    terraform: FakeTerraform,
    account: TestAccount,
    folder: Path,
    config_dir: Path,
):
    assert run("install").code == 0
    terraform.does(
        listed=[
            "module.multinode.aws_dynamodb_table.state",
            "module.multinode.aws_ecr_repository.images",
            "module.multinode.aws_ecs_cluster.workers",
        ]
    )
    before = len(terraform.commands())
    done = run("uninstall")
    assert done.code == 0, done.err
    assert terraform.commands()[before:] == [
        *("init", "plan -destroy", "state list", "plan", "apply", "plan -destroy", "apply"),
    ]
    targeted = [call for call in terraform.calls() if "-target=module.multinode.aws_dynamodb_table.state" in call]
    assert len(targeted) == 1
    assert "-target=module.multinode.aws_ecr_repository.images" in targeted[0]
    assert "The deployment main is gone" in done.err
    assert buckets(account) == []
    assert not folder.exists()
    assert not (config_dir / "profile.json").exists()


def test_uninstall_keeps_the_bucket_while_another_deployment_s_state_is_in_it(
    run: Any, installs: FakeControlPlane, account: TestAccount
):
    assert run("install").code == 0
    account.client("s3").put_object(Bucket=BUCKET, Key="other/terraform.tfstate", Body=b"{}")
    assert run("uninstall").code == 0
    versions = account.client("s3").list_object_versions(Bucket=BUCKET)["Versions"]
    assert [version["Key"] for version in versions] == ["other/terraform.tfstate"]


def test_uninstall_wants_the_projects_undeployed_first(run: Any, installs: FakeControlPlane, terraform: FakeTerraform):
    assert run("install").code == 0
    installs.add_project("tsp", function_info("solve"))
    before = terraform.commands()
    done = run("uninstall")
    assert done.code == 2
    assert "still has projects; undeploy them first:\n  multinode undeploy tsp" in done.err
    assert terraform.commands() == before


def test_uninstall_of_what_is_not_there_says_what_is(run: Any, account: TestAccount):
    account.install("mein", "https://api.example")
    done = run("uninstall")
    assert done.code == 2
    assert "there is no Multinode deployment called 'main' in eu-west-1. Did you mean 'mein'?" in done.err


def test_an_interrupted_uninstall_goes_on_when_the_deployment_s_parameter_is_gone_already(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform, account: TestAccount
):
    assert run("install").code == 0
    account.client("ssm").delete_parameter(Name="/multinode/main/deployment")
    done = run("uninstall")
    assert done.code == 0, done.err
    assert terraform.commands()[-2:] == ["plan -destroy", "apply"]
    assert buckets(account) == []
