"""Schedules from deploy to undeploy on AWS: made when the version serves, changed with it, gone before the project."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.backends.aws import target
from multinode_cli.backends.aws.account import Account
from multinode_cli.backends.aws.cleanup import AwsCleanup
from multinode_cli.backends.aws.scheduler import Scheduler, apply_schedules
from multinode_cli.errors import ControlPlaneFailure
from tests.cli.conftest import Multinode, Outcome
from tests.support.bodies import function_info
from tests.support.cli.account import ACCOUNT_ID, REGION, EcrOfFakeDocker, TestAccount
from tests.support.cli.docker import FUNCTION, REPORT, FakeDocker
from tests.support.control_plane import FakeControlPlane

pytestmark = pytest.mark.slow(about_s=25)

GROUP = "multinode-main"
TRIGGER = {
    "function_arn": f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:multinode-main-trigger",
    "dead_letter_arn": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:multinode-main-dead-letters",
}
SCHEDULES = {"group": GROUP, "role_arn": f"arn:aws:iam::{ACCOUNT_ID}:role/multinode-main-{REGION}-schedules"}
NINE = {"cron": "0 9 * * *", "timezone": "Europe/London"}


@pytest.fixture
def plane_with_schedules(aws_plane: FakeControlPlane, account: TestAccount) -> FakeControlPlane:
    account.install("main", aws_plane.url, trigger=TRIGGER, schedules=SCHEDULES)
    account.client("scheduler").create_schedule_group(Name=GROUP)
    return aws_plane


@pytest.fixture
def deploy(multinode: Multinode, code: Path, docker: FakeDocker, ecr: EcrOfFakeDocker) -> Any:
    """Deploy a project whose functions have these schedules."""

    def call(project: str = "sums", **schedules: object) -> Outcome:
        functions = [
            {**FUNCTION, "function_name": name, **({"schedule": schedule} if schedule else {})}
            for name, schedule in schedules.items()
        ]
        docker.finds({**REPORT, "functions": functions})
        return multinode("deploy", str(code), "--project-name", project)

    return call


def there(account: TestAccount) -> dict[str, str]:
    """Return name and expression of every schedule."""
    client = account.client("scheduler")
    names = [each["Name"] for each in client.list_schedules(GroupName=GROUP)["Schedules"]]
    return {name: client.get_schedule(Name=name, GroupName=GROUP)["ScheduleExpression"] for name in names}


def test_a_deploy_makes_changes_and_deletes_schedules_to_match_the_newest_version(
    deploy: Any, plane_with_schedules: FakeControlPlane, account: TestAccount
) -> None:
    done = deploy(report=NINE, tidy={"every_seconds": 3600}, plain=None)
    assert done.code == 0, done.err
    assert "✓ Schedules: 2 made\n" in done.err
    assert "0 9 * * * Europe/London" in done.out
    assert there(account) == {"sums.report": "cron(0 9 * * ? *)", "sums.tidy": "rate(1 hours)"}
    done = deploy(report={"cron": "30 9 * * *"}, tidy={"every_seconds": 3600})
    assert "✓ Schedules: 1 changed, 1 kept\n" in done.err
    done = deploy(tidy={"every_seconds": 3600}, report=None)
    assert "✓ Schedules: 1 kept, 1 deleted\n" in done.err
    assert there(account) == {"sums.tidy": "rate(1 hours)"}
    assert "Schedules" not in deploy("other", plain=None).err


def test_schedules_are_the_newest_versions_even_if_another_deploy_was_faster(
    deploy: Any, plane_with_schedules: FakeControlPlane, account: TestAccount
) -> None:
    newer = {**FUNCTION, "function_name": "newer", "schedule": NINE}
    plane_with_schedules.on("POST", "/versions", after=lambda _: plane_with_schedules.add_version("sums", newer))
    assert deploy(report=NINE).code == 0
    assert list(there(account)) == ["sums.newer"]


def test_schedules_that_cannot_be_made_are_reported_and_the_version_serves(
    deploy: Any, plane_with_schedules: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise ControlPlaneFailure("making the schedule of report is not allowed: scheduler:CreateSchedule")

    monkeypatch.setattr(target, "apply_schedules", refuse)
    done = deploy(report=NINE)
    assert done.code == 3
    assert "making the schedule of report is not allowed: scheduler:CreateSchedule. Version ver-" in done.err
    version = plane_with_schedules.versions("sums")[0]["version_id"]
    assert f"Version {version} is registered and serves, but not all of its schedules exist yet" in done.err


def test_a_deployment_without_schedules_refuses_scheduled_functions_at_once(
    deploy: Any, aws_plane: FakeControlPlane
) -> None:
    done = deploy(report=NINE)
    assert done.code == 3
    assert "the deployment main was installed by a Multinode without schedules" in done.err
    assert [request for request in aws_plane.asked if request[0] != "GET"] == []
    assert deploy(plain=None).code == 0


def leave_behind(plane: FakeControlPlane, account: TestAccount, projects: Sequence[str]) -> None:
    """Put into plane and account what deploys of a project with a schedule make."""
    scheduler = Scheduler.of({"trigger": TRIGGER, "schedules": SCHEDULES})
    for project in projects:
        function: Any = function_info("report", schedule=NINE)
        plane.add_project(project, function)
        apply_schedules(account.client("scheduler"), scheduler, project, [function], now=datetime.now(UTC))


def test_undeploy_ends_the_schedules_before_it_asks_for_the_deletion(
    multinode: Multinode, plane_with_schedules: FakeControlPlane, account: TestAccount
) -> None:
    leave_behind(plane_with_schedules, account, ["sums", "other"])
    left_at_the_deletion: list[list[str]] = []
    plane_with_schedules.on("DELETE", before=lambda _: left_at_the_deletion.append(list(there(account))))
    done = multinode("undeploy", "sums", "--yes")
    assert done.code == 0, done.err
    assert left_at_the_deletion == [["other.report"]]
    assert list(there(account)) == ["other.report"]


def test_schedules_of_a_project_that_is_gone_are_leftovers(
    multinode: Multinode, plane_with_schedules: FakeControlPlane, account: TestAccount
) -> None:
    leave_behind(plane_with_schedules, account, ["sums"])
    plane_with_schedules.forget_project("sums")
    found = AwsCleanup(Account(REGION), Account(REGION).deployment("main")).leftovers(None)
    assert found.schedules == ["sums.report"]
    done = multinode("undeploy", "sums", "--yes")
    assert done.code == 0, done.err
    assert "1 schedule." in done.err
    assert there(account) == {}
