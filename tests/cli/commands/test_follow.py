"""An invocation followed live, in a pipe; on a terminal see test_terminal."""

import json
from functools import partial
from math import inf

import pytest

from multinode.invocation import polling
from multinode_cli.client import waiting
from multinode_cli.commands import follow as follow_module
from tests.cli.conftest import Multinode
from tests.support.bodies import execution, function_info
from tests.support.control_plane import FakeControlPlane
from tests.support.faulty_server import later, says


@pytest.fixture
def identifier(plane: FakeControlPlane) -> str:
    plane.add_project("tsp", function_info("solve"))
    return plane.add_invocation(1, "tsp", "solve", "PENDING", status_reason="waiting for a free slot")


def test_status_progress_and_log_lines_are_told_as_they_come(
    multinode: Multinode, plane: FakeControlPlane, identifier: str
) -> None:
    told_all = partial(plane.until_asked, "invocation", "logs")
    thread = later(
        told_all,
        lambda: plane.change(identifier, status="RUNNING", status_reason="attempt 1", executions=[execution(1)]),
        told_all,
        lambda: plane.write(identifier, "hello\nworld"),
        told_all,
        lambda: plane.change(identifier, executions=[execution(1, output="0.5")]),
        told_all,
        lambda: plane.change(identifier, status="SUCCEEDED", status_reason="", result="1.0"),
    )
    outcome = multinode("wait", identifier, "--follow")
    thread.join()
    told = [line.partition("] ")[2] or line for line in outcome.err.splitlines()]
    assert told == [
        "PENDING  waiting for a free slot",
        "RUNNING  attempt 1",
        "│ hello",
        "│ world",
        "progress: 0.5",
        "SUCCEEDED",
    ]
    assert (outcome.code, outcome.out) == (0, "1.0\n")


def test_as_json_each_event_is_one_line_and_the_last_is_the_end(
    multinode: Multinode, plane: FakeControlPlane, identifier: str
) -> None:
    told_all = partial(plane.until_asked, "invocation", "logs")
    thread = later(
        told_all,
        lambda: plane.write(identifier, "hello"),
        told_all,
        lambda: plane.change(identifier, status="FAILED", error="ValueError: no"),
    )
    outcome = multinode("wait", identifier, "--follow", "--json")
    thread.join()
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert [event["event"] for event in events] == ["invocation", "log", "invocation"]
    assert events[1]["line"]["message"] == "hello"
    assert events[2]["invocation"]["status"] == "FAILED"
    assert outcome.code == 1


def test_the_end_comes_after_the_last_log_lines(multinode: Multinode, plane: FakeControlPlane, identifier: str) -> None:
    for number in range(100):
        plane.write(identifier, f"line {number}")
    plane.change(identifier, status="SUCCEEDED", result="1")
    told = multinode("wait", identifier, "--follow").err.splitlines()
    assert told[-2] == "│ line 99"
    assert told[-1].endswith("SUCCEEDED")


def test_log_lines_that_never_come_do_not_hold_up_the_end(
    multinode: Multinode, plane: FakeControlPlane, identifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_module, "LOGS_PATIENCE_S", 0.2)
    plane.change(identifier, status="SUCCEEDED", result="1")
    none_yet = says(200, {"lines": [], "next_offset": "0", "complete": False})
    plane.on("GET", "/logs", before=lambda _: none_yet, times=inf)
    assert multinode("wait", identifier, "--follow").out == "1\n"


def test_times_are_counted_by_the_control_planes_clock(
    multinode: Multinode, plane: FakeControlPlane, identifier: str
) -> None:
    """Last changed 90 s after its creation: it has gone on for 1 min 30 s, whatever this machine's clock says."""
    plane.change(identifier, status="SUCCEEDED", result="1", updated_ms=90_000)
    assert multinode("wait", identifier, "--follow").err.startswith("[1 min 30 s] SUCCEEDED")


def test_an_outage_is_survived(
    multinode: Multinode, plane: FakeControlPlane, identifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "FIRST_PAUSE_S", 0.05)
    told_all = partial(plane.until_asked, "invocation", "logs")
    thread = later(
        told_all,
        plane.go_away,
        plane.until_requested,
        plane.until_requested,
        plane.come_back,
        told_all,
        lambda: plane.write(identifier, "still here"),
        lambda: plane.change(identifier, status="SUCCEEDED", result="1"),
    )
    outcome = multinode("wait", identifier, "--follow")
    thread.join()
    assert (outcome.code, outcome.out) == (0, "1\n")
    assert "cannot be reached: it closed the connection" in outcome.err
    assert "Trying again for 3 min …" in outcome.err
    assert "The control plane answers again" in outcome.err
    assert "│ still here" in outcome.err


@pytest.mark.parametrize("options", [("--follow",), ()])
def test_an_outage_that_lasts_ends_with_how_to_come_back(
    multinode: Multinode,
    plane: FakeControlPlane,
    identifier: str,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    monkeypatch.setattr(polling, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.3)
    thread = later(partial(plane.until_asked, "invocation"), plane.go_away)
    outcome = multinode("wait", identifier, *options)
    thread.join()
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.endswith(
        f"No answer for 0.3 s. {identifier} continues.\n"
        f"  come back:  multinode wait {identifier} --follow\n"
        f"  cancel it:  multinode cancel {identifier}\n"
    )


def test_a_key_that_is_revoked_meanwhile_ends_it(
    multinode: Multinode, plane: FakeControlPlane, identifier: str
) -> None:
    plane.keychain.keys = ()
    outcome = multinode("wait", identifier, "--follow")
    assert outcome.code == 3
    assert "refuses the key" in outcome.err
