"""An invocation as it was read: fields, times, results that are decoded when they are asked for."""

import threading
from datetime import UTC, datetime
from math import inf
from typing import Any

import pytest

from multinode import Invocation, InvocationStatus
from multinode.config import Connection
from multinode.errors import (
    ControlPlaneUnreachableError,
    InvalidUseError,
    InvocationCancelledError,
    InvocationDoesNotExist,
    InvocationFailedError,
    InvocationIsAlreadyTerminated,
    InvocationTimedOutError,
    MultinodeError,
    PayloadError,
    WaitTimedOutError,
)
from multinode.invocation import await_end, cancel, fetch, hold, value_of
from multinode.payload import encode_value
from multinode.transport import Transport
from multinode_protocol.status import Outcome, WorkerStatus
from tests.support.bodies import CREATED, first_generation_execution, invocation_id, invocation_info
from tests.support.control_plane import KEY, FakeControlPlane
from tests.support.fakes import FakeClock
from tests.support.faulty_server import cut, says

CREATED_MS = CREATED * 1000 + 123
OPEN = invocation_id(1)
UNREADABLE = '{"__multinode__":"cloudpickle","data":"gAVjbm8KVAou"}'  # a pickle that names a module `no`


def invocation(**changes: Any) -> Invocation:
    times = {"creation_time_ms": CREATED_MS, "last_update_time_ms": CREATED_MS}
    info: Any = invocation_info("inv-1", version_id="ver-1", **(times | changes))
    return Invocation.from_info(info)


def transport(plane: FakeControlPlane, clock: FakeClock | None = None) -> Transport:
    clock = clock or FakeClock()
    connection = Connection(plane.url, KEY, "environment")
    return Transport(connection, sleep=clock.sleep, monotonic=clock.monotonic, uniform=lambda: 0.0)


def open_invocation(plane: FakeControlPlane) -> str:
    reason = "waiting for a free slot: 10 of 10 running"
    return plane.add_invocation(1, "shop", "add", "PENDING", input="[[1],{}]", status_reason=reason)


def test_all_fields_are_there() -> None:
    read = invocation(
        status="FAILED",
        status_reason="attempt 2 failed",
        terminated=True,
        num_failed_attempts=2,
        error="ValueError: x",
        error_traceback="Traceback …",
        finish_time_ms=CREATED_MS + 1000,
        parent_invocation={"function_name": "f", "invocation_id": "inv-0"},
        executions=[
            first_generation_execution(
                "exe-1",
                attempt=1,
                worker_status="TERMINATED",
                outcome="FAILED",
                output='{"step":3}',
                error_message="ValueError: w",
                error_traceback="Traceback of 1",
                creation_time_ms=CREATED_MS,
                execution_start_time_ms=CREATED_MS + 1,
                execution_finish_time_ms=CREATED_MS + 2,
            ),
            first_generation_execution("exe-2"),
        ],
    )
    assert (read.invocation_id, read.status, read.status_reason) == ("inv-1", "FAILED", "attempt 2 failed")
    assert (read.error, read.traceback, read.terminated) == ("ValueError: x", "Traceback …", True)
    assert (read.project_name, read.version_id, read.function_name) == ("shop", "ver-1", "add")
    assert (read.parent_invocation_id, read.num_failed_attempts) == ("inv-0", 2)
    # 1,700,000,000 s after the epoch is 2023-11-14 22:13:20.
    assert read.created_at == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
    assert read.finished_at == datetime(2023, 11, 14, 22, 13, 21, 123_000, tzinfo=UTC)
    first, second = read.executions
    assert (first.execution_id, first.attempt, first.worker_status) == ("exe-1", 1, WorkerStatus.TERMINATED)
    assert (first.outcome, first.error, first.traceback) == (Outcome.FAILED, "ValueError: w", "Traceback of 1")
    assert first.output == {"step": 3}
    assert first.started_at == datetime(2023, 11, 14, 22, 13, 20, 124_000, tzinfo=UTC)
    assert first.finished_at == datetime(2023, 11, 14, 22, 13, 20, 125_000, tzinfo=UTC)
    assert (second.outcome, second.output, second.started_at, second.finished_at) == (None, None, None, None)
    assert second.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_the_status_is_a_string_that_knows_whether_it_is_final() -> None:
    read = invocation()
    assert read.status == "PENDING"
    assert f"{read.status}" == "PENDING"
    assert [status.value for status in InvocationStatus if status.finished] == [
        "SUCCEEDED",
        "FAILED",
        "CANCELLED",
        "TIMED_OUT",
    ]


def test_the_result_of_a_running_invocation_is_what_it_yielded_last() -> None:
    executions = [
        first_generation_execution("exe-1", output="1"),
        first_generation_execution("exe-2", output="2"),
        first_generation_execution("exe-3"),
    ]
    assert invocation(status="RUNNING", executions=executions).result == 2
    assert invocation(status="RUNNING", result="5", executions=executions).result == 5
    assert invocation().result is None


def test_the_progress_of_a_finished_invocation_is_not_its_result() -> None:
    executions = [first_generation_execution("exe-1", output="1")]
    failed = invocation(status="FAILED", executions=executions)
    assert failed.result is None
    assert failed.executions[0].output == 1


def test_a_result_that_cannot_be_unpickled_leaves_all_else_readable() -> None:
    read = invocation(
        status="SUCCEEDED", result=UNREADABLE, executions=[first_generation_execution("exe-1", output=UNREADABLE)]
    )
    assert read.status is InvocationStatus.SUCCEEDED
    assert "exe-1" in repr(read)
    with pytest.raises(PayloadError, match="No module named 'no'"):
        _ = read.result
    with pytest.raises(PayloadError, match="No module named 'no'"):
        _ = read.executions[0].output


def test_a_result_is_decoded_once() -> None:
    read = invocation(status="SUCCEEDED", result=encode_value((1, 2)))
    assert read.result is read.result


def test_a_status_of_a_later_version_asks_for_an_upgrade() -> None:
    with pytest.raises(MultinodeError, match=r"inv-1 is 'PAUSED'.*upgrade"):
        invocation(status="PAUSED")


def test_the_value_of_a_success_is_its_result() -> None:
    assert value_of(invocation(status="SUCCEEDED", result="[1]")) == [1]
    assert value_of(invocation(status="SUCCEEDED")) is None


def test_the_value_of_a_failure_is_an_error_with_the_workers_traceback() -> None:
    failed = invocation(
        status="FAILED", num_failed_attempts=3, error="ValueError: bad", error_traceback='File "main.py", line 3'
    )
    with pytest.raises(InvocationFailedError) as caught:
        value_of(failed)
    assert str(caught.value) == (
        "Invocation inv-1 of shop/add failed after 3 attempts: ValueError: bad\n\n"
        'Traceback in the worker:\n  File "main.py", line 3'
    )
    assert (caught.value.invocation_id, caught.value.error) == ("inv-1", "ValueError: bad")


def test_a_failure_without_an_error_gives_its_reason() -> None:
    with pytest.raises(InvocationFailedError, match=r"inv-1 of shop/add failed: the image cannot be pulled$"):
        value_of(invocation(status="FAILED", status_reason="the image cannot be pulled"))


def test_a_cancelled_and_a_timed_out_invocation_raise_what_they_are() -> None:
    with pytest.raises(InvocationCancelledError, match=r"inv-1 of shop/add was cancelled: by its caller") as cancelled:
        value_of(invocation(status="CANCELLED", status_reason="by its caller"))
    with pytest.raises(InvocationTimedOutError, match=r"inv-1 of shop/add timed out: after 5 s") as timed_out:
        value_of(invocation(status="TIMED_OUT", status_reason="after 5 s"))
    assert (cancelled.value.invocation_id, timed_out.value.invocation_id) == ("inv-1", "inv-1")


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "CANCELLING"])
def test_an_unfinished_invocation_has_no_value_yet(status: str) -> None:
    with pytest.raises(InvalidUseError, match="not finished"):
        value_of(invocation(status=status))


# ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_invocation_is_read_by_its_id_alone(plane: FakeControlPlane) -> None:
    assert fetch(transport(plane), open_invocation(plane)).status is InvocationStatus.PENDING
    assert (plane.requests[0].path, plane.requests[0].query) == (f"/invocations/{OPEN}", {})


def test_an_id_that_is_unknown_says_so_with_the_id(plane: FakeControlPlane) -> None:
    with pytest.raises(InvocationDoesNotExist, match="inv-nope"):
        fetch(transport(plane), "inv-nope")


def test_waiting_asks_the_server_to_hold_its_answer(plane: FakeControlPlane) -> None:
    open_invocation(plane)
    plane.change(OPEN, status=InvocationStatus.SUCCEEDED, result="3")
    assert await_end(transport(plane), OPEN).result == 3
    assert plane.requests[0].query == {"until": "finished", "wait_s": "20"}


def test_waiting_ends_the_moment_the_invocation_does(plane: FakeControlPlane) -> None:
    open_invocation(plane)
    ends: list[Invocation] = []
    waiting = threading.Thread(target=lambda: ends.append(await_end(transport(plane), OPEN)), daemon=True)
    waiting.start()
    plane.until(lambda: plane.sent("GET", OPEN))
    plane.change(OPEN, status=InvocationStatus.FAILED)
    waiting.join(20)
    assert [end.status for end in ends] == ["FAILED"]
    assert len(plane.requests) == 1


def answers_at_once(plane: FakeControlPlane, clock: FakeClock, seconds_per_answer: float) -> None:
    """Let the plane hold no answer back, however long it is asked to; the clock moves on for each request."""
    plane.longest_wait_s = 0
    plane.on("GET", before=lambda _: clock.advance(seconds_per_answer), times=inf)


def test_a_wait_that_is_over_says_where_the_invocation_stands(plane: FakeControlPlane) -> None:
    clock = FakeClock()
    answers_at_once(plane, clock, 2.0)
    open_invocation(plane)
    with pytest.raises(WaitTimedOutError, match=rf"{OPEN} did not end within 5 s; it is PENDING \(waiting for a free"):
        await_end(transport(plane), OPEN, 5.0, monotonic=clock.monotonic, sleep=clock.sleep)
    # Asked with 5, 3 and 1 s left; each answer takes 2.
    assert [request.query["wait_s"] for request in plane.requests] == ["5", "3", "1"]


def test_less_than_a_second_is_waited_for_here(plane: FakeControlPlane) -> None:
    clock = FakeClock()
    answers_at_once(plane, clock, 0.0)
    open_invocation(plane)
    with pytest.raises(WaitTimedOutError):
        await_end(transport(plane), OPEN, 0.7, monotonic=clock.monotonic, sleep=clock.sleep)
    assert clock.slept == pytest.approx([0.5, 0.2])
    assert [request.query for request in plane.requests] == [{}, {}, {}]


def test_no_time_at_all_still_looks_once(plane: FakeControlPlane) -> None:
    open_invocation(plane)
    with pytest.raises(WaitTimedOutError):
        await_end(transport(plane), OPEN, 0)
    plane.change(OPEN, status=InvocationStatus.SUCCEEDED, result="3")
    assert await_end(transport(plane), OPEN, 0).result == 3


def test_a_server_that_does_not_hold_its_answers_is_not_asked_without_pause(plane: FakeControlPlane) -> None:
    clock = FakeClock()
    answers_at_once(plane, clock, 0.1)
    open_invocation(plane)
    hold(transport(plane), OPEN, 20, monotonic=clock.monotonic, sleep=clock.sleep)
    assert clock.slept == pytest.approx([0.4])


def test_waiting_survives_minutes_without_a_control_plane(plane: FakeControlPlane) -> None:
    clock = FakeClock()
    open_invocation(plane)
    plane.change(OPEN, status=InvocationStatus.SUCCEEDED, result="3")
    plane.faults.extend([cut(), says(503, b"<h1>starting</h1>"), says(500, {"detail": "x"})] * 60)
    assert await_end(transport(plane, clock), OPEN).result == 3
    assert len(plane.requests) == 181
    assert 300 < sum(clock.slept) < 900


def test_waiting_gives_up_on_a_control_plane_that_does_not_come_back(plane: FakeControlPlane) -> None:
    clock = FakeClock()
    plane.faults.extend([cut()] * 1000)
    with pytest.raises(ControlPlaneUnreachableError):
        await_end(transport(plane, clock), OPEN, monotonic=clock.monotonic, sleep=clock.sleep)
    assert sum(clock.slept) == pytest.approx(900)


def test_a_wait_that_ends_while_the_control_plane_is_away_is_a_wait_that_timed_out(plane: FakeControlPlane) -> None:
    clock = FakeClock()
    plane.faults.extend([cut()] * 1000)
    with pytest.raises(WaitTimedOutError, match=r"did not end within 60 s: .*cannot be reached"):
        await_end(transport(plane, clock), OPEN, 60, monotonic=clock.monotonic, sleep=clock.sleep)
    assert sum(clock.slept) == pytest.approx(60)


def test_waiting_survives_a_restart_of_the_server(plane: FakeControlPlane, connection: Connection) -> None:
    open_invocation(plane)
    ends: list[Invocation] = []
    waiting = threading.Thread(target=lambda: ends.append(await_end(Transport(connection), OPEN)), daemon=True)
    waiting.start()
    plane.until_asked("invocation")
    plane.close()
    plane.change(OPEN, status=InvocationStatus.SUCCEEDED, result="7")
    plane.open()
    waiting.join(20)
    assert [end.result for end in ends] == [7]
    assert len(plane.requests) == 2


# ── cancelling ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cancelling_returns_the_invocation_as_it_stands_then(plane: FakeControlPlane) -> None:
    assert cancel(transport(plane), open_invocation(plane)).status is InvocationStatus.CANCELLED


def test_a_cancel_whose_answer_was_lost_is_a_cancel(plane: FakeControlPlane) -> None:
    plane.faults.append(cut(carried_out=True))
    assert cancel(transport(plane), open_invocation(plane)).status is InvocationStatus.CANCELLED
    assert [request.method for request in plane.requests] == ["PUT", "PUT", "GET"]


def test_cancelling_what_has_ended_otherwise_is_refused(plane: FakeControlPlane) -> None:
    open_invocation(plane)
    plane.change(OPEN, status=InvocationStatus.SUCCEEDED, result="1")
    with pytest.raises(InvocationIsAlreadyTerminated, match=OPEN):
        cancel(transport(plane), OPEN)
