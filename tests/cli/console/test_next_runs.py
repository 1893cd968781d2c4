"""When functions run by themselves, in tables, cards and JSON, and only where they do."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from multinode_cli.console.next_runs import next_run_s, next_run_words, schedule_words
from multinode_cli.console.tables import function_card, functions_table
from multinode_cli.console.terminal import Style
from tests.cli.conftest import Multinode
from tests.support.bodies import function_info, version_id
from tests.support.control_plane import FakeControlPlane

NINE = {"cron": "0 9 * * MON-FRI", "timezone": "Europe/London"}
HOURLY = {"every_seconds": 3600}
NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z, a Friday


def scheduled(schedule: object, name: str = "report") -> Any:
    return function_info(name, schedule=schedule)


@pytest.fixture
def london(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock shows the time of London, which in January is UTC."""
    monkeypatch.setenv("TZ", "Europe/London")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_schedule_is_told_in_words() -> None:
    assert schedule_words(scheduled(NINE)) == "0 9 * * MON-FRI Europe/London"
    assert schedule_words(scheduled({"cron": "0 9 * * *", "timezone": None})) == "0 9 * * * UTC"
    assert schedule_words(scheduled(HOURLY)) == "every 1 h"
    assert schedule_words(scheduled(None)) is None
    assert schedule_words(function_info("f")) is None  # type: ignore[arg-type]


def test_what_a_server_says_cannot_move_the_terminal_s_cursor() -> None:
    assert schedule_words(scheduled({"cron": "\x1b[2J* * * * *"})) == "* * * * * UTC"


def test_the_next_run_is_the_first_after_now() -> None:
    assert next_run_s(scheduled(NINE), NOW) == 1_800_003_600  # an hour later
    assert next_run_s(scheduled(NINE), NOW + 3600) == 1_800_003_600 + 3 * 86_400  # on Monday
    assert next_run_s(scheduled(HOURLY), NOW) == 1_800_003_600
    assert next_run_s(scheduled(HOURLY), None) is None
    assert next_run_s(scheduled(None), NOW) is None


def test_the_next_run_is_told_in_local_time_with_its_distance(london: None) -> None:
    assert next_run_words(scheduled(NINE), NOW - 90) == "2027-01-15 09:00:00 (in 1 h 1 min)"


def test_a_version_that_does_not_run_says_so() -> None:
    assert next_run_words(scheduled(NINE), None).startswith("none: a newer version has taken over")


def test_a_machine_that_does_not_know_the_time_zone_says_so() -> None:
    unknown = {"cron": "0 9 * * *", "timezone": "Mars/Base"}
    assert next_run_s(scheduled(unknown), NOW) is None
    assert next_run_words(scheduled(unknown), NOW) == "unknown here: this machine does not know the time zone"


def test_a_table_has_a_column_of_schedules_only_where_there_are_some() -> None:
    unscheduled: Any = function_info("f")
    plain = functions_table([unscheduled], Style())
    assert "SCHEDULE" not in plain
    lines = functions_table([scheduled(NINE), unscheduled], Style()).splitlines()
    assert lines[0].split()[-2:] == ["SCHEDULE", "DESCRIPTION"]
    assert "0 9 * * MON-FRI Europe/London  What report does." in lines[1]


def test_a_card_has_schedule_and_next_run(london: None) -> None:
    card = function_card(scheduled(NINE), "v", Style(), active_at=NOW)
    assert "Schedule     0 9 * * MON-FRI Europe/London\n" in card
    assert "Next run     2027-01-15 09:00:00 (in 1 h)" in card
    assert "Next run" not in function_card(function_info("f"), "v", Style(), active_at=NOW)  # type: ignore[arg-type]


# --- describe ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch, london: None) -> FakeControlPlane:
    plane.add_project("shop", scheduled(NINE), function_info("price"), versions=2)
    monkeypatch.setattr(time, "time", lambda: NOW)
    return plane


def described(multinode: Multinode, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(multinode("describe", *arguments, "--json").out)
    return document


def test_a_project_is_described_with_the_next_runs(multinode: Multinode, shop: FakeControlPlane) -> None:
    text = multinode("describe", "shop").out
    assert re.search(r"\nSCHEDULED +NEXT RUN\nreport +2027-01-15 09:00:00 \(in 1 h\)\n$", text)
    report, price = described(multinode, "shop")["latest"]["functions"]
    assert (report["schedule"], report["next_run_time"]) == (NINE, 1_800_003_600)
    assert (price["schedule"], price["next_run_time"]) == (None, None)


@pytest.mark.parametrize(("number", "time_s"), [(2, 1_800_003_600), (1, None)])
def test_only_the_newest_version_s_functions_have_a_next_run(
    multinode: Multinode, shop: FakeControlPlane, number: int, time_s: int | None
) -> None:
    version = described(multinode, "shop", "--version-id", version_id(number))
    assert version["functions"][0]["next_run_time"] == time_s
    function = described(multinode, "shop", "report", "--version-id", version_id(number))
    assert function["next_run_time"] == time_s
    words = "2027-01-15 09:00:00 (in 1 h)" if time_s else "none: a newer version has taken over"
    assert f"Next run     {words}" in multinode("describe", "shop", "report", "--version-id", version_id(number)).out
    assert words in multinode("describe", "shop", "--version-id", version_id(number)).out


def test_a_project_that_is_being_deleted_runs_nothing(multinode: Multinode, shop: FakeControlPlane) -> None:
    shop.delete_project("shop")
    assert described(multinode, "shop")["latest"]["functions"][0]["next_run_time"] is None
    assert described(multinode, "shop", "report")["next_run_time"] is None


def test_a_function_without_a_schedule_costs_no_further_requests(multinode: Multinode, plane: FakeControlPlane) -> None:
    plane.add_project("plain", function_info("f"))
    multinode("describe", "plain", "f")
    assert [path for _, path in plane.asked].count("/projects/plain/versions/latest") == 1
