"""Schedules on AWS: what EventBridge Scheduler is asked for, and that exactly the newest version's are there."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multinode_cli.backends.aws.scheduler import (
    ScheduleChanges,
    Scheduler,
    apply_schedules,
    aws_expression,
    delete_schedules,
    schedule_arguments,
    schedule_name,
    schedule_names,
)
from multinode_cli.errors import ControlPlaneFailure
from multinode_control_plane.adapters.aws.trigger_events import trigger_request
from multinode_protocol.cron import parse
from multinode_protocol.messages import FunctionSpec, ScheduleSpec
from multinode_protocol.schedules import Schedule
from tests.support.aws.emulators import moto_environment

ACCOUNT = "eu-west-1:123456789012"
DEPLOYMENT = {
    "name": "default",
    "trigger": {
        "function_arn": f"arn:aws:lambda:{ACCOUNT}:function:multinode-default-trigger",
        "dead_letter_arn": f"arn:aws:sqs:{ACCOUNT}:multinode-default-dead-letters",
    },
    "schedules": {"group": "multinode-default", "role_arn": "arn:aws:iam::123456789012:role/schedules"},
}
SCHEDULER = Scheduler.of(DEPLOYMENT)
NOW = datetime(2030, 1, 10, 8, 17, tzinfo=UTC)
NINE: ScheduleSpec = {"cron": "0 9 * * 1-5", "timezone": "Europe/London"}
HOURLY: ScheduleSpec = {"every_seconds": 3600}


def function(name: str, schedule: ScheduleSpec | None = None) -> FunctionSpec:
    spec: FunctionSpec = {
        "function_name": name,
        "resource_spec": {"virtual_cpus": 0.1, "memory_gbs": 0.25, "max_concurrency": 1},
        "execution_spec": {"max_retries": 0, "timeout_seconds": 60},
    }
    if schedule is not None:
        spec["schedule"] = schedule
    return spec


# --- expressions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "expression"),
    [
        ("0 9 * * *", "cron(0 9 * * ? *)"),
        ("* * * * *", "cron(* * * * ? *)"),
        ("*/15 8-17 * * *", "cron(0,15,30,45 8-17 * * ? *)"),
        ("0 0 1,2,15 * *", "cron(0 0 1,2,15 * ? *)"),
        ("0 0 1-31 * *", "cron(0 0 * * ? *)"),
        ("0 0 * 1,6-8 *", "cron(0 0 * JAN,JUN-AUG ? *)"),
        ("0 9 * * 1-5", "cron(0 9 ? * MON-FRI *)"),
        ("0 9 * * 0", "cron(0 9 ? * SUN *)"),
        ("0 9 * * 7", "cron(0 9 ? * SUN *)"),
        ("0 9 * * 5-7", "cron(0 9 ? * SUN,FRI,SAT *)"),
        ("0 9 * * SAT,SUN", "cron(0 9 ? * SUN,SAT *)"),
        ("0 9 * * 0-7", "cron(0 9 * * ? *)"),
    ],
)
def test_cron_in_the_words_of_scheduler(cron: str, expression: str) -> None:
    assert aws_expression(Schedule(cron)) == expression


@pytest.mark.parametrize(
    ("minutes", "expression"),
    [
        (1, "rate(1 minutes)"),
        (90, "rate(90 minutes)"),
        (60, "rate(1 hours)"),
        (1440, "rate(1 days)"),
        (1500, "rate(25 hours)"),
    ],
)
def test_intervals_in_the_words_of_scheduler(minutes: int, expression: str) -> None:
    assert aws_expression(Schedule(every_s=60 * minutes)) == expression


WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
NAMES = {name: number for names in (WEEKDAYS, MONTHS) for number, name in enumerate(names, start=1)}


def read(field: str, least: int, most: int) -> tuple[int, ...]:
    """Return the numbers of one of Scheduler's fields, as its User Guide defines them."""
    found: set[int] = set()
    for item in field.split(","):
        first, _, last = item.partition("-")
        numbers = (
            [NAMES.get(text) or int(text) for text in (first, last or first)]
            if item not in ("*", "?")
            else [least, most]
        )
        assert least <= numbers[0] <= numbers[1] <= most
        found.update(range(numbers[0], numbers[1] + 1))
    return tuple(sorted(found))


def some(least: int, most: int) -> st.SearchStrategy[str]:
    numbers = st.sets(st.integers(least, most), min_size=1, max_size=most - least + 1)
    return st.one_of(st.just("*"), numbers.map(lambda found: ",".join(map(str, found))))


@settings(max_examples=2 * settings().max_examples)
@given(st.tuples(some(0, 59), some(0, 23), some(1, 28), some(1, 12), some(0, 7), st.booleans()))
def test_scheduler_reads_the_same_numbers(drawn: tuple[str, str, str, str, str, bool]) -> None:
    minutes, hours, days, months, weekdays, by_week = drawn
    cron = f"{minutes} {hours} {'*' if by_week else days} {months} {weekdays if by_week else '*'}"
    expression = aws_expression(Schedule(cron))
    match = re.fullmatch(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) \*\)", expression)
    assert match is not None
    assert len(expression) <= 256
    fields = parse(cron)
    assert read(match[1], 0, 59) == fields.minutes
    assert read(match[2], 0, 23) == fields.hours
    assert read(match[3], 1, 31) == fields.days
    assert read(match[4], 1, 12) == fields.months
    assert read(match[5], 1, 7) == tuple(number + 1 for number in fields.weekdays)
    assert [match[3], match[5]].count("?") == 1


# --- one schedule -----------------------------------------------------------------------------------------------------


def test_a_schedule_calls_the_trigger_and_what_fails_is_a_dead_letter() -> None:
    (plan,) = schedule_arguments(
        [function("report", NINE), function("plain")], project_name="shop", scheduler=SCHEDULER, now=NOW
    )
    arguments = dict(plan.arguments)
    target = dict(arguments.pop("Target"))
    event = json.loads(target.pop("Input"))
    assert arguments == {
        "Name": "shop.report",
        "GroupName": "multinode-default",
        "Description": "Multinode shop/report: 0 9 * * 1-5 Europe/London",
        "ScheduleExpression": "cron(0 9 ? * MON-FRI *)",
        "ScheduleExpressionTimezone": "Europe/London",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": "ENABLED",
    }
    assert target == {
        "Arn": f"arn:aws:lambda:{ACCOUNT}:function:multinode-default-trigger",
        "RoleArn": "arn:aws:iam::123456789012:role/schedules",
        "DeadLetterConfig": {"Arn": f"arn:aws:sqs:{ACCOUNT}:multinode-default-dead-letters"},
        "RetryPolicy": {"MaximumEventAgeInSeconds": 21600, "MaximumRetryAttempts": 185},
    }
    assert event == {
        "multinode": {
            "project_name": "shop",
            "version_id": "latest",
            "function_name": "report",
            "fixed_arguments": {},
            "arguments_from_event": {},
        },
        "source": "<aws.scheduler.schedule-arn>",
        "event": {"id": "<aws.scheduler.scheduled-time>", "time": "<aws.scheduler.scheduled-time>"},
    }


def test_the_trigger_understands_what_a_schedule_sends() -> None:
    (plan,) = schedule_arguments([function("report", NINE)], project_name="shop", scheduler=SCHEDULER, now=NOW)
    text = plan.arguments["Target"]["Input"]
    for name, value in (
        ("schedule-arn", "arn:aws:scheduler:eu-west-1:1:schedule/g/shop.report"),
        ("scheduled-time", "2030-01-10T09:00:00Z"),
    ):
        assert f"<aws.scheduler.{name}>" in text
        text = text.replace(f"<aws.scheduler.{name}>", value)
    request = trigger_request(json.loads(text))
    assert (request.project_name, request.version_reference, request.function_name) == ("shop", "latest", "report")
    assert request.input_text == "[[],{}]"


def test_an_interval_begins_at_the_next_of_its_steps_from_the_epoch() -> None:
    (plan,) = schedule_arguments([function("tidy", HOURLY)], project_name="shop", scheduler=SCHEDULER, now=NOW)
    assert plan.arguments["StartDate"] == datetime(2030, 1, 10, 9, tzinfo=UTC)
    assert plan.arguments["ScheduleExpressionTimezone"] == "UTC"


def test_a_name_is_that_of_project_and_function_where_it_fits() -> None:
    assert schedule_name("shop", "price") == "shop.price"
    assert schedule_name("p" * 32, "f" * 30) == f"{'p' * 32}.{'f' * 30}"


@pytest.mark.parametrize("project", ["p" * 33, "p" * 64, "My_Shop-2"])
@pytest.mark.parametrize("name", ["f" * 31, "f" * 128, "_x"])
def test_a_name_is_one_that_scheduler_takes_and_no_other_function_has(project: str, name: str) -> None:
    made = schedule_name(project, name)
    assert re.fullmatch(r"[0-9a-zA-Z-_.]{1,64}", made)
    assert made not in {schedule_name(f"{project[:-1]}q", name), schedule_name(project, f"{name[:-1]}g")}


def test_a_deployment_without_a_trigger_says_what_to_do() -> None:
    with pytest.raises(
        ControlPlaneFailure, match=r"the deployment old was .* \(its parameter lacks 'schedules'\): run"
    ):
        Scheduler.of({"name": "old"})


# --- all schedules of a project ---------------------------------------------------------------------------------------


@pytest.fixture
def client() -> Iterator[Any]:
    with moto_environment():
        made: Any = botocore.session.get_session().create_client("scheduler")
        made.create_schedule_group(Name="multinode-default")
        yield made


def deploy(client: Any, *functions: FunctionSpec, project: str = "shop", now: datetime = NOW) -> ScheduleChanges:
    return apply_schedules(client, SCHEDULER, project, list(functions), now=now)


def there(client: Any) -> dict[str, str]:
    """Return name and expression of every schedule in the group."""
    names = [each["Name"] for each in client.list_schedules(GroupName="multinode-default")["Schedules"]]
    found = [client.get_schedule(Name=name, GroupName="multinode-default") for name in names]
    return {each["Name"]: each["ScheduleExpression"] for each in found}


def test_the_schedules_of_the_newest_version_are_there_and_no_others(client: Any) -> None:
    assert deploy(client, function("report", NINE), function("tidy", HOURLY)) == ScheduleChanges(("report", "tidy"))
    changes = deploy(client, function("report", {"cron": "0 10 * * *"}), function("tidy"), function("new", HOURLY))
    assert changes == ScheduleChanges(created=("new",), updated=("report",), deleted=("shop.tidy",))
    assert there(client) == {"shop.report": "cron(0 10 * * ? *)", "shop.new": "rate(1 hours)"}
    report = client.get_schedule(Name="shop.report", GroupName="multinode-default")
    assert report["ScheduleExpressionTimezone"] == "UTC"


def test_a_deploy_that_changes_no_schedule_touches_none(client: Any) -> None:
    functions = [function("report", NINE), function("tidy", HOURLY)]
    deploy(client, *functions)
    before = client.get_schedule(Name="shop.tidy", GroupName="multinode-default")
    changes = deploy(client, *functions, now=NOW + timedelta(hours=5))
    assert changes == ScheduleChanges(kept=("report", "tidy"))
    assert client.get_schedule(Name="shop.tidy", GroupName="multinode-default")["StartDate"] == before["StartDate"]


def test_an_interval_that_began_at_another_time_is_put_right(client: Any) -> None:
    deploy(client, function("tidy", HOURLY))
    (plan,) = schedule_arguments([function("tidy", HOURLY)], project_name="shop", scheduler=SCHEDULER, now=NOW)
    client.update_schedule(**(plan.arguments | {"StartDate": NOW}))
    assert deploy(client, function("tidy", HOURLY)).updated == ("tidy",)
    client.update_schedule(**{key: value for key, value in plan.arguments.items() if key != "StartDate"})
    assert deploy(client, function("tidy", HOURLY)).updated == ("tidy",)
    found = client.get_schedule(Name="shop.tidy", GroupName="multinode-default")
    assert found["StartDate"].astimezone(UTC) == datetime(2030, 1, 10, 9, tzinfo=UTC)


def test_what_somebody_changed_by_hand_is_put_right(client: Any) -> None:
    deploy(client, function("report", NINE))
    (plan,) = schedule_arguments([function("report", NINE)], project_name="shop", scheduler=SCHEDULER, now=NOW)
    client.update_schedule(**(plan.arguments | {"State": "DISABLED"}))
    assert deploy(client, function("report", NINE)).updated == ("report",)


def removed(client: Any, project_name: str) -> list[str]:
    """Delete a project's schedules, and return their names."""
    names = schedule_names(client, SCHEDULER, project_name)
    delete_schedules(client, SCHEDULER, names)
    return names


def test_other_projects_keep_theirs(client: Any) -> None:
    # Both parts of a long project's names begin with those of the short one.
    short, long = "a" * 20, "a" * 40
    deploy(client, function("report", NINE), project=short)
    deploy(client, function("report", NINE), project=long)
    deploy(client, function("report", NINE), project="a" * 21)
    assert len(there(client)) == 3
    assert removed(client, short) == [f"{short}.report"]
    assert len(there(client)) == 2
    assert removed(client, short) == []
    assert len(removed(client, long)) == 1
    assert list(there(client)) == [f"{'a' * 21}.report"]


def test_more_schedules_than_a_page_holds_are_all_found(client: Any) -> None:
    functions = [function(f"f{number}", HOURLY) for number in range(120)]
    assert len(deploy(client, *functions).created) == 120
    assert len(deploy(client, *functions).kept) == 120
    assert len(removed(client, "shop")) == 120
    assert there(client) == {}


class Racing:
    """The client, but that the first listing shows nothing, and a schedule vanishes before it is looked at."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.vanish: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_paginator(self, _: str) -> Any:
        class Nothing:
            def paginate(self, **_: object) -> list[dict[str, list[object]]]:
                return [{"Schedules": []}]

        return Nothing()

    def get_schedule(self, **place: str) -> Any:
        if self.vanish is not None:
            self._client.delete_schedule(**place)
        return self._client.get_schedule(**place)


def test_two_deploys_at_once_come_to_the_same(client: Any) -> None:
    deploy(client, function("report", NINE), function("tidy", HOURLY))
    # Another deploy has made them since this one looked.
    changes = deploy(Racing(client), function("report", {"cron": "0 10 * * *"}), function("tidy", HOURLY))
    assert changes == ScheduleChanges(updated=("report",), kept=("tidy",))
    racing = Racing(client)
    racing.vanish = "shop.tidy"
    # Another deploy deletes it between the look and the update.
    assert deploy(racing, function("tidy", HOURLY)).created == ("tidy",)
    assert there(client)["shop.tidy"] == "rate(1 hours)"


def test_a_refusal_of_aws_says_what_was_being_done(client: Any) -> None:
    client.delete_schedule_group(Name="multinode-default")
    client.meta.events.register("before-send.scheduler.*", lambda request, **_: denied())
    with pytest.raises(ControlPlaneFailure, match="looking for schedules is not allowed: not you"):
        deploy(client, function("report", NINE))


def denied() -> Any:
    from botocore.awsrequest import AWSResponse

    body = json.dumps({"Message": "not you"}).encode()

    class Raw:
        def stream(self, **_: object) -> Iterator[bytes]:
            yield body

    headers: Any = {"x-amzn-errortype": "AccessDeniedException", "content-type": "application/json"}
    return AWSResponse("https://scheduler", 403, headers, Raw())
