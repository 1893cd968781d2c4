"""Stops at awkward moments: before the start, with the control plane away, on an execution that has ended."""

import signal
import threading
import time
from math import inf

import pytest

from multinode_protocol.error_codes import ErrorCode
from tests.support.faulty_server import cut, refuses
from tests.support.one_execution import OneExecution
from tests.support.stoppable_functions import SLEEPS, STUBBORN, UNTIL_TOLD, cancel
from tests.worker.conftest import PREAMBLE, Launch

pytestmark = pytest.mark.slow


def test_sigterm_before_start_is_answered_ends_the_worker_without_running_the_code(
    launch: Launch, control_plane: OneExecution
) -> None:
    busy = refuses(ErrorCode.CONTROL_PLANE_IS_BUSY, "busy")
    control_plane.on("PUT", "/start", before=lambda _: busy, times=inf)
    worker = launch("print('imported')\n@mn.function()\ndef work(): pass")
    worker.until(lambda: control_plane.count("start"))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait() == 1
    assert control_plane.finished is None
    assert worker.printed() == []


def test_sigterm_while_held_ends_the_worker_without_a_start(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch("@mn.function()\ndef work(): pass", MULTINODE_NOT_BEFORE_MS=str(int(time.time() * 1000) + 60_000))
    worker.until(lambda: _catches_sigterm(worker.process.pid))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait() == 1
    assert control_plane.requests == []


def _catches_sigterm(pid):
    with open(f"/proc/{pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1


def test_sigterm_during_start_is_reported_without_running_the_code(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.on("PUT", "/start", before=lambda _: time.sleep(1), after=control_plane.cancels)
    worker = launch("print('imported')\n@mn.function()\ndef work(): pass")
    worker.until(lambda: control_plane.count("start"))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}
    assert worker.printed() == []


def test_with_the_control_plane_away_sigterm_interrupts_and_the_reason_follows(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(SLEEPS)
    worker.until_printed("running")
    control_plane.close()
    worker.process.send_signal(signal.SIGTERM)
    worker.until(lambda: any("interrupting" in line for line in worker.printed("worker")))
    control_plane.cancels()
    control_plane.open()
    assert worker.wait() == 0
    assert control_plane.finished == {
        "outcome": "ABORTED",
        "abort_reason": "CANCELLED",
        "final_output": '"saw ExecutionInterruptedError"',
    }


def test_an_unanswered_question_delays_the_interruption_by_seconds_only(
    launch: Launch, control_plane: OneExecution
) -> None:
    over = threading.Event()

    def no_answer(_):
        over.wait(60)
        return cut()

    control_plane.on("GET", before=no_answer)
    worker = launch(SLEEPS)
    cancel(worker, control_plane)
    worker.until(lambda: any("interrupting" in line for line in worker.printed("worker")))
    assert control_plane.count("read") == 1  # the first question is still open
    over.set()
    assert worker.wait() == 0
    assert control_plane.finished["abort_reason"] == "CANCELLED"


def test_progress_is_reported_while_the_function_cleans_up(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch(
        """
        import time
        @mn.function()
        def work():
            yield "before"
            try:
                print("running")
                time.sleep(3600)
            finally:
                yield "cleaning up"
                until_told("seen")
                yield "clean"
        """,
        preamble=PREAMBLE + UNTIL_TOLD,
    )
    cancel(worker, control_plane)
    worker.until(lambda: control_plane.updates == ["before", "cleaning up"])
    (worker.folder / "seen").touch()
    assert worker.wait() == 0
    assert control_plane.updates == ["before", "cleaning up", "clean"]
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}


def test_a_worker_told_that_the_execution_has_ended_while_it_asks_why_stops_at_once(
    launch: Launch, control_plane: OneExecution
) -> None:
    ended = refuses(ErrorCode.EXECUTION_IS_ALREADY_TERMINATED)
    control_plane.on("GET", before=lambda _: ended, times=inf)
    worker = launch(STUBBORN)
    cancel(worker, control_plane)
    assert worker.wait() == 1
    assert control_plane.finished is None
