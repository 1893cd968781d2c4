"""logs: the lines of all attempts, once or live."""

import json
import time
from functools import partial

import pytest

from multinode_cli.commands import logs
from tests.cli.conftest import Multinode
from tests.support.bodies import CREATED, execution, execution_id, function_info
from tests.support.control_plane import FakeControlPlane
from tests.support.faulty_server import later


@pytest.fixture
def identifier(plane: FakeControlPlane) -> str:
    """An invocation that was attempted twice and has ended."""
    plane.add_project("tsp", function_info("solve"))
    identifier = plane.add_invocation(1, "tsp", "solve", "SUCCEEDED", executions=[execution(1), execution(2)])
    plane.write(identifier, "first", attempt=1, ms=10)
    plane.write(identifier, "oops", attempt=1, stream="stderr", ms=20)
    plane.write(identifier, "starting again", attempt=2, stream="worker", ms=30)
    plane.write(identifier, "second", attempt=2, ms=1234)
    return identifier


def test_the_attempts_are_merged_and_a_message_tells_them_apart(multinode: Multinode, identifier: str) -> None:
    outcome = multinode("logs", identifier)
    assert (outcome.code, outcome.out) == (0, "first\noops\n[multinode] starting again\nsecond\n")
    assert outcome.err == f"--- attempt 2, {execution_id(2)} ---\n"


@pytest.mark.parametrize("option", [("--execution", "2"), ("--execution", execution_id(2)), ("--execution-id", "2")])
def test_one_attempt_alone(multinode: Multinode, identifier: str, option: tuple[str, ...]) -> None:
    assert multinode("logs", identifier, *option).out == "[multinode] starting again\nsecond\n"


def test_the_last_lines(multinode: Multinode, identifier: str) -> None:
    assert multinode("logs", identifier, "--tail", "1").out == "second\n"
    assert multinode("logs", identifier, "--tail", "0").out == ""


def test_the_newest_lines_by_time(multinode: Multinode, identifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 11 s after the creation, the last 10 s reach back to 1 s."""
    monkeypatch.setattr(time, "time", lambda: CREATED + 11.0)
    assert multinode("logs", identifier, "--since", "10s").out == "second\n"


def test_times_before_the_lines(multinode: Multinode, identifier: str) -> None:
    line = multinode("logs", identifier, "-t", "--tail", "1").out
    assert line == "2023-11-14T22:13:21.234Z second\n"


def test_as_json_there_is_one_object_per_line_and_nothing_else(multinode: Multinode, identifier: str) -> None:
    outcome = multinode("logs", identifier, "--json")
    objects = [json.loads(line) for line in outcome.out.splitlines()]
    assert outcome.err == ""
    assert objects[1] == {
        "timestamp_ms": CREATED * 1000 + 20,
        "execution_id": execution_id(1),
        "attempt": 1,
        "stream": "stderr",
        "message": "oops",
    }
    assert [each["message"] for each in objects] == ["first", "oops", "starting again", "second"]


def test_without_following_what_there_is_so_far_is_printed(multinode: Multinode, plane: FakeControlPlane) -> None:
    plane.add_project("tsp", function_info("solve"))
    identifier = plane.add_invocation(1, "tsp", "solve", "RUNNING")
    plane.write(identifier, "so far")
    assert multinode("logs", identifier).out == "so far\n"


@pytest.mark.parametrize("options", [("-f",), ("-f", "--tail", "1")])
def test_following_ends_when_the_invocation_does(
    multinode: Multinode, plane: FakeControlPlane, options: tuple[str, ...]
) -> None:
    plane.add_project("tsp", function_info("solve"))
    identifier = plane.add_invocation(1, "tsp", "solve", "RUNNING")
    plane.write(identifier, "before")

    thread = later(
        partial(plane.until_asked, "logs"),
        partial(plane.write, identifier, "after"),
        partial(plane.change, identifier, status="FAILED", error="no"),
    )
    outcome = multinode("logs", identifier, *options)
    thread.join()
    assert (outcome.code, outcome.out) == (0, "before\nafter\n")


def test_in_a_pipe_a_line_is_printed_as_it_was_written(multinode: Multinode, plane: FakeControlPlane) -> None:
    plane.add_project("tsp", function_info("solve"))
    identifier = plane.add_invocation(1, "tsp", "solve", "SUCCEEDED")
    plane.write(identifier, "\x1b[31mred\x1b[0m")
    assert multinode("logs", identifier).out == "\x1b[31mred\x1b[0m\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--since", "yesterday"), "--since: 'yesterday' is not a length of time; write 90s, 10m"),
        (("--tail", "-1"), "Invalid value for '--tail'"),
        (("--execution", "3"), "has no execution '3'. Its attempts: 1 ("),
        (("--execution", "1", "--execution-id", "1"), "use either --execution or --execution-id, not both"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    multinode: Multinode, identifier: str, options: tuple[str, ...], message: str
) -> None:
    outcome = multinode("logs", identifier, *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_the_time_of_a_log_line_counts_from_now() -> None:
    now = time.time()
    assert logs._since_ms("1m", now) == int((now - 60) * 1000)
