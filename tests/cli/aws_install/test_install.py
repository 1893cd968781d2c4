"""install: what is asked, applied and kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.aws_install.root_module import parse_settings
from multinode_cli.commands import install
from multinode_cli.errors import UsageFailure
from tests.cli.conftest import Multinode
from tests.support.cli.account import ACCOUNT_ID, REGION, TestAccount
from tests.support.cli.installation import BUCKET, STATE, buckets, root
from tests.support.cli.terraform import FakeTerraform
from tests.support.control_plane import KEY, FakeControlPlane

pytestmark = pytest.mark.slow(about_s=20)


def test_it_plans_applies_and_logs_in(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform, folder: Path, config_dir: Path
) -> None:
    done = run("install")
    assert done.code == 0, done.err
    assert terraform.commands() == ["init", "plan", "apply"]
    assert "This will create 2, change 0 and remove 0 resources" in done.err
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


def test_the_state_s_bucket_is_private_and_versioned(
    run: Any, installs: FakeControlPlane, account: TestAccount
) -> None:
    assert run("install").code == 0
    s3 = account.client("s3")
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    block = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}


def test_it_asks_before_it_changes_anything_and_leaves_no_bucket_behind(
    run: Any, terraform: FakeTerraform, account: TestAccount
) -> None:
    done = run("install", approve=False)
    assert done.code == 2
    assert "cannot ask for confirmation here; add --auto-approve" in done.err
    assert terraform.commands() == ["init", "plan"]
    assert buckets(account) == []


@pytest.mark.parametrize(("answer", "exit_code", "commands"), [("n\n", 130, 2), ("y\n", 0, 3)])
def test_whoever_is_asked_decides(
    run: Any,
    installs: FakeControlPlane,
    terraform: FakeTerraform,
    multinode: Multinode,
    answer: str,
    exit_code: int,
    commands: int,
) -> None:
    done = multinode("install", "--name", "main", stdin=answer, terminal=True)
    assert done.code == exit_code
    assert len(terraform.commands()) == commands


def test_settings_are_kept_and_go_with_every_later_install(run: Any, installs: FakeControlPlane, folder: Path) -> None:
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
def test_a_setting_that_there_is_not_is_refused(given: str, message: str) -> None:
    with pytest.raises(UsageFailure) as caught:
        parse_settings((given,))
    assert message in caught.value.message


def test_a_new_account_s_small_concurrency_is_not_reserved(
    run: Any, installs: FakeControlPlane, concurrency: dict[str, int], folder: Path
) -> None:
    concurrency["ConcurrentExecutions"] = 10
    done = run("install")
    assert root(folder)["module"]["multinode"]["reserve_concurrency"] is False
    assert "the account may run only 10 Lambda calls at once" in done.err
    concurrency["ConcurrentExecutions"] = 131
    assert run("install").code == 0
    assert "reserve_concurrency" not in root(folder)["module"]["multinode"]


def test_what_would_be_lost_is_named(run: Any, installs: FakeControlPlane, terraform: FakeTerraform) -> None:
    terraform.does(lost=["module.multinode.aws_dynamodb_table.state"], tainted=["module.multinode.aws_sqs_queue.half"])
    # What an interrupted apply left half made is replaced, too, but there is nothing in it.
    assert "the data in these will be lost: module.multinode.aws_dynamodb_table.state\n" in run("install").err


def test_a_table_that_an_interrupted_run_had_begun_is_gone_on_with(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform
) -> None:
    # Terraform would make it anew, which its deletion protection refuses.
    table, queue = "module.multinode.aws_dynamodb_table.state", "module.multinode.aws_sqs_queue.half"
    terraform.does(tainted=[queue, table])
    done = run("install")
    assert done.code == 0, done.err
    assert f"Continuing with {table}, which an interrupted run had started" in done.err
    assert [call for call in terraform.calls() if call[0] == "untaint"] == [["untaint", table]]
    assert terraform.commands() == ["init", "plan", f"untaint {table}", "plan", "apply"]


def test_nothing_to_do_asks_nothing(run: Any, installs: FakeControlPlane, terraform: FakeTerraform) -> None:
    assert run("install").code == 0
    terraform.does(add=0)
    done = run("install", approve=False)
    assert done.code == 0, done.err
    assert "The deployment main is up to date" in done.err


def test_a_deployment_that_plain_terraform_made_is_left_to_it(
    run: Any, account: TestAccount, terraform: FakeTerraform
) -> None:
    account.install("main", "https://api.example")
    done = run("install")
    assert done.code == 2
    assert "the deployment main exists, but `multinode install` did not make it" in done.err
    assert terraform.commands() == []
    assert "was not made by `multinode install`" in run("uninstall").err


def test_an_older_version_in_the_place_of_a_newer_one_is_a_warning(
    run: Any, installs: FakeControlPlane, account: TestAccount
) -> None:
    assert run("install").code == 0
    account.install("main", installs.url, version="99.0.0")
    done = run("install")
    assert "99.0.0 is installed" in done.err
    assert "warning: that is an older version" in done.err


def test_it_is_installed_even_if_the_login_fails(
    run: Any, installs: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "NEW_API_ANSWERS_WITHIN_S", 0.1)
    installs.go_away()
    done = run("install")
    assert done.code == 3
    assert "The deployment main is installed" in done.err
    assert "multinode login --from-aws --name main --region eu-west-1" in done.err
