"""Schedules over the API: registered, read back, refused field by field."""

from typing import Any

import pytest

from multinode_control_plane.core.records import Schedules
from tests.support.api_client import FUNCTION, Api, definition
from tests.support.world import World


def scheduled(schedule: object) -> dict[str, Any]:
    return {**FUNCTION, "schedule": schedule}


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ({"cron": "0 9 * * *"}, {"cron": "0 9 * * *", "timezone": "UTC"}),
        (
            {"cron": "*/5 8-17 * * MON-FRI", "timezone": "Europe/London", "every_seconds": None},
            {"cron": "*/5 8-17 * * MON-FRI", "timezone": "Europe/London"},
        ),
        ({"every_seconds": 5400, "cron": None}, {"every_seconds": 5400}),
        (None, None),
    ],
)
def test_a_schedule_is_registered_and_read_back(sent: object, answered: object) -> None:
    api = Api().deploy(scheduled(sent))
    for version in (api.version_id, "latest"):
        (function,) = api.get(f"/projects/shop/versions/{version}").body["functions"]
        assert function["schedule"] == answered


@pytest.mark.parametrize(
    ("schedule", "detail"),
    [
        ({}, "`functions[0].schedule` has not one of `cron` and `every_seconds`; allowed: exactly one of the two"),
        (
            {"cron": "* * * * *", "every_seconds": 60},
            "`functions[0].schedule` has not one of `cron` and `every_seconds`; allowed: exactly one of the two",
        ),
        ("0 9 * * *", '`functions[0].schedule` is "0 9 * * *"; allowed: an object'),
        (
            {"cron": "0 0 30 2 *"},
            "`functions[0].schedule.cron` never fires: no FEB has a day 30; allowed: a day that one of its months has",
        ),
        (
            {"cron": "\x1b[31m 9 * * *"},
            r"`functions[0].schedule.cron` has '\x1b[31m' as its minute; allowed: `*`, or numbers from 0 to 59, "
            "ranges (a-b) and steps (*/n, a-b/n), with commas between",
        ),
        ({"cron": 5}, "`functions[0].schedule.cron` is 5; allowed: a string of at most 200 characters"),
        (
            {"cron": "0 9 * * *", "timezone": "Europe/Londn"},
            "`functions[0].schedule.timezone` is 'Europe/Londn', which is no time zone; allowed: a name of the IANA "
            "time zone database, such as 'Europe/London' or 'UTC'; did you mean 'Europe/London'?",
        ),
        (
            {"every_seconds": 59},
            "`functions[0].schedule.every_seconds` is 59; allowed: a whole number from 60 to 31536000",
        ),
        (
            {"every_seconds": 90},
            "`functions[0].schedule.every_seconds` is 90 s; allowed: whole minutes, from 1 minute to 365 days",
        ),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_by_its_field(schedule: object, detail: str) -> None:
    api = Api()
    api.put("/projects/shop")
    answer = api.post("/projects/shop/versions", definition(scheduled(schedule)))
    assert (answer.status, answer.code) == (422, "RequestIsInvalid")
    assert answer.detail == f"The request is invalid: {detail}"


@pytest.mark.usefixtures("no_time_zones")
def test_without_time_zones_a_name_is_accepted_as_it_is_where_it_does_not_fire() -> None:
    api = Api().deploy(scheduled({"cron": "0 9 * * *", "timezone": "Europe/London"}))
    (function,) = api.get(f"/projects/shop/versions/{api.version_id}").body["functions"]
    assert function["schedule"]["timezone"] == "Europe/London"


def test_two_hundred_functions_may_have_schedules() -> None:
    api = Api(World(fires_schedules=True))
    functions = [
        scheduled({"every_seconds": 60 * number}) | {"function_name": f"f{number}"} for number in range(1, 201)
    ]
    api.deploy(*functions)
    (schedules,) = api.world.store.records(Schedules)
    assert len(schedules.runs) == 200
    assert schedules.version_id == api.version_id


def test_a_scheduled_invocation_is_listed_like_any_other() -> None:
    api = Api(World(fires_schedules=True)).deploy(scheduled({"every_seconds": 3600}))
    assert api.get(api.path()).body["invocations"] == []
    api.world.advance(3600)
    api.world.sweep()
    (listed,) = api.get(api.path()).body["invocations"]
    invocation = api.get(api.path(listed["invocation_id"])).body
    assert (invocation["input"], invocation["parent_invocation"]) == ("[[],{}]", None)
