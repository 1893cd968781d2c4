"""uninstall: what is refused, removed and forgotten."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.bodies import function_info
from tests.support.cli.account import TestAccount
from tests.support.cli.installation import BUCKET, buckets
from tests.support.cli.terraform import FakeTerraform
from tests.support.control_plane import FakeControlPlane

pytestmark = pytest.mark.slow


def test_uninstall_takes_the_protection_off_a_table_that_was_only_begun(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform
) -> None:
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
) -> None:
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
) -> None:
    assert run("install").code == 0
    account.client("s3").put_object(Bucket=BUCKET, Key="other/terraform.tfstate", Body=b"{}")
    assert run("uninstall").code == 0
    versions = account.client("s3").list_object_versions(Bucket=BUCKET)["Versions"]
    assert [version["Key"] for version in versions] == ["other/terraform.tfstate"]


def test_uninstall_wants_the_projects_undeployed_first(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform
) -> None:
    assert run("install").code == 0
    installs.add_project("tsp", function_info("solve"))
    before = terraform.commands()
    done = run("uninstall")
    assert done.code == 2
    assert "still has projects; undeploy them first:\n  multinode undeploy tsp" in done.err
    assert terraform.commands() == before


def test_uninstall_of_what_is_not_there_says_what_is(run: Any, account: TestAccount) -> None:
    account.install("mein", "https://api.example")
    done = run("uninstall")
    assert done.code == 2
    assert "there is no Multinode deployment called 'main' in eu-west-1. Did you mean 'mein'?" in done.err


def test_an_interrupted_uninstall_goes_on_when_the_parameter_is_gone_already(
    run: Any, installs: FakeControlPlane, terraform: FakeTerraform, account: TestAccount
) -> None:
    assert run("install").code == 0
    account.client("ssm").delete_parameter(Name="/multinode/main/deployment")
    done = run("uninstall")
    assert done.code == 0, done.err
    assert terraform.commands()[-2:] == ["plan -destroy", "apply"]
    assert buckets(account) == []
