"""undeploy on AWS: nothing of the project is left, whatever was interrupted before, and nothing else goes."""

from typing import Any

import pytest

from multinode_cli.backends.aws.account import Account
from multinode_cli.backends.aws.cleanup import AwsCleanup
from multinode_cli.backends.aws.secrets import store_variables
from tests.cli.conftest import Multinode
from tests.support.bodies import function_info
from tests.support.cli.account import REGION, TestAccount
from tests.support.control_plane import FakeControlPlane

pytestmark = pytest.mark.slow

MANIFEST = (
    '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",'
    ' "config": {"digest": "sha256:%s"}}'
)


@pytest.fixture
def deployed(aws_plane: FakeControlPlane, account: TestAccount) -> FakeControlPlane:
    """Two projects whose names begin alike, each with two versions in the account; and a foreign task definition."""
    for project in ("sums", "sums_2"):
        aws_plane.add_project(project, function_info("add"))
        leave_behind(account, project)
    register(account, "other-family")
    return aws_plane


def register(account: TestAccount, family: str) -> None:
    account.client("ecs").register_task_definition(
        family=family, containerDefinitions=[{"name": "worker", "image": "x", "memory": 512}]
    )


def leave_behind(account: TestAccount, project: str) -> None:
    """Put into the account what two deploys of a project make."""
    deployment = Account(REGION).deployment("main")
    for number in range(2):
        account.client("ecr").put_image(
            repositoryName="multinode-main",
            imageManifest=MANIFEST % f"{project}{number}",
            imageTag=f"{project}.{number}",
        )
        register(account, f"multinode-main_{project}")
        store_variables(Account(REGION), deployment, project, {"TOKEN": f"{number}", "OTHER": "x"})


def tags(account: TestAccount) -> list[str]:
    images = account.client("ecr").list_images(repositoryName="multinode-main")["imageIds"]
    return sorted(image["imageTag"] for image in images)


def test_images_task_definitions_and_parameters_of_the_project_go_and_nothing_else(
    multinode: Multinode, deployed: FakeControlPlane, account: TestAccount
) -> None:
    kept = {name: value for name, value in account.parameters().items() if "/projects/sums/" not in name}
    assert len(account.parameters()) - len(kept) == 5  # two values twice, and the key of their digest
    done = multinode("undeploy", "sums", "--yes")
    assert done.code == 0, done.err
    assert tags(account) == ["sums_2.0", "sums_2.1"]
    assert account.task_definitions() == ["multinode-main_sums_2:1", "multinode-main_sums_2:2", "other-family:1"]
    assert [each for each in account.task_definitions("INACTIVE") if "_sums:" in each] == []
    assert account.parameters() == kept


def test_what_an_interrupted_undeploy_left_goes_when_it_is_run_again(
    multinode: Multinode, deployed: FakeControlPlane, account: TestAccount
) -> None:
    deployed.forget_project("sums")
    again = multinode("undeploy", "sums", "--yes")
    assert again.code == 0, again.err
    assert "left 2 images, 2 task definitions, 5 SSM parameters" in again.err
    assert tags(account) == ["sums_2.0", "sums_2.1"]
    assert ("DELETE", "/projects/sums") not in deployed.asked
    # Nothing is left now, so it is a name like any other that does not exist.
    assert "there is no project named 'sums'" in multinode("undeploy", "sums", "--yes").err


def test_leftovers_are_not_removed_without_being_asked(
    multinode: Multinode, deployed: FakeControlPlane, account: TestAccount
) -> None:
    deployed.forget_project("sums")
    done = multinode("undeploy", "sums")
    assert done.code == 2
    assert "add --yes" in done.err
    assert len(tags(account)) == 4


def test_without_credentials_for_the_account_nothing_is_deleted(
    multinode: Multinode, deployed: FakeControlPlane, account: TestAccount
) -> None:
    deployed.deployment["account_id"] = "999999999999"
    done = multinode("undeploy", "sums", "--yes")
    assert done.code == 3
    assert ("DELETE", "/projects/sums") not in deployed.asked


def test_all_projects_of_a_deployment_can_be_found_and_those_of_another_are_not(account: TestAccount) -> None:
    for name in ("main", "main-2"):
        account.install(name, "https://api.example")
    leave_behind(account, "sums")
    leave_behind(account, "tsp")
    register(account, "multinode-main-2_sums")
    found = AwsCleanup(Account(REGION), Account(REGION).deployment("main")).leftovers(None)
    assert str(found) == "4 images, 4 task definitions, 10 SSM parameters"
    assert {arn.rpartition("/")[2].partition(":")[0] for arn in found.active} == {
        "multinode-main_sums",
        "multinode-main_tsp",
    }


def test_project_b_x_of_deployment_a_is_not_project_x_of_deployment_a_b(account: TestAccount) -> None:
    for name in ("a", "a-b"):
        account.install(name, "https://api.example")
    register(account, "multinode-a_b-x")
    register(account, "multinode-a-b_x")
    cleanups: dict[str, Any] = {
        name: AwsCleanup(Account(REGION), Account(REGION).deployment(name)) for name in ("a", "a-b")
    }
    assert [arn.rpartition("/")[2] for arn in cleanups["a"].leftovers("b-x").active] == ["multinode-a_b-x:1"]
    assert [arn.rpartition("/")[2] for arn in cleanups["a-b"].leftovers("x").active] == ["multinode-a-b_x:1"]


def test_a_key_that_another_deploy_stored_meanwhile_is_used(
    account: TestAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.install("main", "https://api.example")
    deployment = Account(REGION).deployment("main")
    first = store_variables(Account(REGION), deployment, "sums", {"TOKEN": "x"})
    assert store_variables(Account(REGION), deployment, "sums", {"TOKEN": "x"}) == first
    assert store_variables(Account(REGION), deployment, "other", {"TOKEN": "x"}) != first
    digests = {name.rsplit("/", 2)[1] for name in account.parameters() if name.endswith("TOKEN")}
    # The digests are keyed: the same value has another one in another project.
    assert len(digests) == 2
