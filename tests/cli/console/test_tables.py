"""Tables and cards for people."""

from typing import Any

import pytest

from multinode_cli.console.tables import (
    executions_table,
    function_card,
    functions_table,
    invocation_card,
    invocations_table,
    log_text,
    memory,
    pairs,
    parameters_text,
    retries_text,
    signature,
    status_text,
    table,
)
from multinode_cli.console.terminal import Style
from tests.support.bodies import CREATED, execution, execution_id, function_info
from tests.support.control_plane import FakeControlPlane

COLOURED = Style(colour=True, unicode=True, terminal=True, columns=80)


def test_columns_are_aligned_and_nothing_trails() -> None:
    assert table(["A", "LONGER"], [["abc", "x"], ["", ""]], Style()) == "A    LONGER\nabc  x\n"


def test_wide_characters_are_counted_as_wide() -> None:
    assert table(["A", "B"], [["日本", "x"], ["abcd", "y"]], Style()).splitlines()[1:] == ["日本  x", "abcd  y"]


def test_on_a_terminal_the_last_column_is_cut_to_the_width() -> None:
    style = Style(terminal=True, columns=30)
    assert table(["A", "B"], [["abc", "x" * 40]], style).splitlines()[1] == "abc  " + "x" * 22 + "..."


def test_in_a_pipe_nothing_is_cut() -> None:
    assert table(["A"], [["x" * 500]], Style()).splitlines()[1] == "x" * 500


def test_further_lines_of_a_value_stand_under_its_first() -> None:
    assert pairs([("A", "1\n2"), ("Longer", "")], Style()) == "A       1\n        2\nLonger"


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ([], ""),
        (["a", "b="], "a, b=..."),
        (["a, /", "b=, /", "c"], "a, b=..., /, c"),
        (["*, a", "*, b="], "*, a, b=..."),
        (["a", "*args", "*, b", "**rest"], "a, *args, b, **rest"),
    ],
)
def test_parameters_stand_as_in_a_definition(parameters: list[str], text: str) -> None:
    assert parameters_text(parameters) == text


def test_a_function_of_unknown_parameters_is_its_name() -> None:
    assert signature(function_info("f", signature=None) | {"signature": None}) == "f"  # type: ignore[arg-type]


@pytest.mark.parametrize(("gibibytes", "text"), [(0.25, "256 MiB"), (1, "1 GiB"), (2.5, "2.5 GiB"), (0.0005, "1 MiB")])
def test_memory_is_shown_in_the_unit_that_a_decorator_takes(gibibytes: float, text: str) -> None:
    assert memory(gibibytes) == text


def test_functions_are_listed_with_what_they_may_use() -> None:
    function: Any = function_info("f", ["x"])
    lines = functions_table([function], Style()).splitlines()
    assert lines[1].split() == ["f(x)", "0.1", "256", "MiB", "1", "h", "10", "0", "What", "f", "does."]


@pytest.mark.parametrize(
    ("count", "retry", "text"),
    [
        (0, None, "none"),
        (3, None, "at most 3"),
        (3, {"initial_delay_s": 0, "backoff": 2, "max_delay_s": 300, "jitter": 0}, "at most 3, at once"),
        (3, {"initial_delay_s": 5, "backoff": 1, "max_delay_s": 300, "jitter": 0}, "at most 3, after 5 s"),
        (
            3,
            {"initial_delay_s": 5, "backoff": 2, "max_delay_s": 300, "jitter": 0, "retry_on": ["OSError", "a.B"]},
            "at most 3, after 5 s, 2 times as long each time, up to 5 min, on OSError, a.B",
        ),
    ],
)
def test_retries_are_told_in_words(count: int, retry: dict[str, object] | None, text: str) -> None:
    function = function_info("f", execution_spec={"max_retries": count, "timeout_seconds": 1, "retry": retry})
    assert retries_text(function) == text  # type: ignore[arg-type]


def test_the_longest_wait_for_a_slot_is_told_where_there_is_one() -> None:
    spec = {"max_retries": 0, "timeout_seconds": 1, "max_queue_seconds": 60}
    assert "Waits at most  1 min" in function_card(function_info("f", execution_spec=spec), "v", Style())  # type: ignore[arg-type]


def test_a_status_has_its_colour_and_an_unknown_one_none() -> None:
    assert status_text("FAILED", COLOURED) == "\x1b[31mFAILED\x1b[0m"
    assert status_text("NEW\x1b[0m", COLOURED) == "NEW"


@pytest.fixture
def plane_of_one() -> FakeControlPlane:
    plane = FakeControlPlane()
    plane.add_project("tsp", function_info("solve"))
    return plane


def test_an_unfinished_invocation_is_timed_until_now(plane_of_one: FakeControlPlane) -> None:
    identifier = plane_of_one.add_invocation(1, "tsp", "solve", "RUNNING", status_reason="attempt 1")
    card = invocation_card(plane_of_one.invocations[identifier], CREATED + 65.0, Style())  # type: ignore[arg-type]
    assert "Status      RUNNING: attempt 1" in card
    assert "Takes       1 min 5 s" in card
    assert "(1 min ago)" in card


def test_a_listing_of_an_older_control_plane_shows_what_it_has() -> None:
    listing = {
        "invocation_id": "inv-1",
        "parent_invocation": None,
        "cancellation_request_time": None,
        "invocation_status": "RUNNING",
        "creation_time": CREATED,
        "last_update_time": CREATED,
    }
    line = invocations_table([listing], CREATED + 30.0, Style()).splitlines()[1]  # type: ignore[list-item]
    assert line.split() == ["inv-1", "RUNNING", "30", "s", "ago", "30", "s"]


def test_attempts_are_timed_from_the_start_of_their_code() -> None:
    executions = [
        execution(1, outcome="FAILED", error_message="ValueError:\nno", execution_finish_time_ms=CREATED * 1000 + 3500),
        execution(2, execution_start_time_ms=None, execution_start_time=None, worker_status="PENDING"),
    ]
    lines = executions_table(executions, CREATED + 60.0, Style()).splitlines()  # type: ignore[arg-type]
    assert lines[1].split() == ["1", execution_id(1), "FAILED", "2.5", "s", "ValueError:", "no"]
    assert lines[2].split() == ["2", execution_id(2), "PENDING"]


@pytest.mark.parametrize(("style", "text"), [(COLOURED, "red"), (Style(), "\x1b[31mred\x1b[0m")])
def test_a_log_line_is_cleaned_on_a_terminal_only(style: Style, text: str) -> None:
    line = {"timestamp_ms": 0, "execution_id": "e", "attempt": 1, "stream": "stdout", "message": "\x1b[31mred\x1b[0m"}
    assert log_text(line, style) == text  # type: ignore[arg-type]
