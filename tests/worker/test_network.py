"""The control plane away, slow, repeating itself or refusing, and what a real worker makes of that."""

import threading
from math import inf

import pytest

from multinode_protocol.error_codes import ErrorCode
from tests.support.faulty_server import cut, refuses, says
from tests.support.one_execution import OneExecution
from tests.support.stoppable_functions import UNTIL_TOLD
from tests.worker.conftest import PREAMBLE, Launch

pytestmark = pytest.mark.slow

YIELDS_FOR_EVER = """
import os, subprocess, time
@mn.function()
def work():
    print(os.getpid())
    print("running")
    number = 0
    while True:
        yield number
        number += 1
        time.sleep(0.01)
"""


def test_a_control_plane_away_during_the_call_gets_the_result_when_it_is_back(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        @mn.function()
        def work():
            yield "before"
            print("running")
            number = 0
            while not pathlib.Path("away").exists():
                yield (number := number + 1)
                time.sleep(0.01)
            print("ended")
            yield "last"
            return "result"
        """,
        preamble=PREAMBLE + UNTIL_TOLD,
    )
    worker.until_printed("running")
    control_plane.close()
    (worker.folder / "away").touch()
    worker.until_printed("ended")
    worker.until(lambda: len(worker.printed("worker")) >= 1)
    control_plane.open()
    assert worker.wait() == 0
    assert control_plane.updates[-1] == "last"
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": '"result"'}
    assert "cannot be reached" in worker.printed("worker")[0]


def test_a_control_plane_that_is_away_at_the_start_is_waited_for(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.close()
    worker = launch("@mn.function()\ndef work(): return 1")
    worker.until(lambda: worker.printed("worker"))
    control_plane.open()
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "1"}


def test_a_lost_answer_to_start_is_asked_for_again_with_the_same_nonce(
    launch: Launch, control_plane: OneExecution
) -> None:
    control_plane.on("PUT", "/start", after=lambda _: cut())
    worker = launch("@mn.function()\ndef work(): return 1")
    assert worker.wait() == 0
    nonces = [request.body["worker_nonce"] for request in control_plane.of("start")]
    assert len(nonces) == 2
    assert nonces[0] == nonces[1]


def test_a_lost_answer_to_finish_makes_the_same_report_again(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.on("PUT", "/finish", after=lambda _: cut())
    worker = launch("@mn.function()\ndef work(): return 1")
    assert worker.wait() == 0
    reports = [request.body for request in control_plane.of("finish")]
    assert reports == [{"outcome": "SUCCEEDED", "final_output": "1"}] * 2


@pytest.mark.parametrize(
    "answer",
    [
        refuses(ErrorCode.INTERNAL_ERROR),
        refuses(ErrorCode.CONTROL_PLANE_IS_BUSY),
        refuses(ErrorCode.LIMIT_IS_REACHED),
        says(502, {"message": "Bad gateway"}),
    ],
)
def test_passing_troubles_are_waited_out(launch: Launch, control_plane: OneExecution, answer) -> None:
    for step in ("start", "update", "finish"):
        control_plane.on("PUT", f"/{step}", before=lambda _: answer)
    worker = launch("@mn.function()\ndef work():\n    yield 1\n    return 2")
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "2"}
    assert control_plane.updates[-1] == 1


@pytest.mark.parametrize(
    "answer",
    [
        refuses(ErrorCode.EXECUTION_HAS_ALREADY_STARTED),
        refuses(ErrorCode.EXECUTION_IS_ALREADY_TERMINATED),
        refuses(ErrorCode.API_KEY_IS_INVALID),
        refuses(ErrorCode.EXECUTION_DOES_NOT_EXIST),
        refuses(ErrorCode.REQUEST_IS_INVALID),
    ],
)
def test_a_refused_start_ends_the_worker_quietly_and_no_code_runs(
    launch: Launch, control_plane: OneExecution, answer
) -> None:
    control_plane.on("PUT", "/start", before=lambda _: answer, times=inf)
    worker = launch("print('imported')\n@mn.function()\ndef work(): pass")
    assert worker.wait() == 1
    assert worker.printed() == []
    assert control_plane.count("finish") == 0
    assert len(worker.lines) == 1


@pytest.mark.parametrize(
    "answer",
    [
        refuses(ErrorCode.EXECUTION_IS_ALREADY_TERMINATED),
        refuses(ErrorCode.EXECUTION_HAS_ALREADY_FINISHED),
        refuses(ErrorCode.API_KEY_IS_INVALID),
        refuses(ErrorCode.INVOCATION_DOES_NOT_EXIST),
    ],
)
def test_a_worker_whose_execution_goes_on_elsewhere_kills_its_code_silently(
    launch: Launch, control_plane: OneExecution, answer
) -> None:
    worker = launch(YIELDS_FOR_EVER)
    worker.until_printed("running")
    control_plane.on("PUT", "/update", before=lambda _: answer, times=inf)
    assert worker.wait() == 1
    assert control_plane.count("finish") == 0
    assert "stopping the function" in worker.printed("worker")[0]


def test_a_refused_finish_ends_the_worker_with_an_error(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.on("PUT", "/finish", before=lambda _: refuses(ErrorCode.EXECUTION_IS_ALREADY_TERMINATED), times=inf)
    worker = launch("@mn.function()\ndef work(): return 1")
    assert worker.wait() == 1
    assert control_plane.count("finish") == 1


def test_a_proxys_refusal_is_not_taken_for_the_control_planes(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.on("PUT", "/update", before=lambda _: says(403, {"message": "Forbidden"}))
    control_plane.on("PUT", "/finish", before=lambda _: says(403, {"message": "Forbidden"}))
    worker = launch("@mn.function()\ndef work():\n    yield 1\n    return 2")
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "2"}


def test_a_report_that_is_not_taken_is_followed_by_a_small_one(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.on("PUT", "/finish", before=lambda _: refuses(ErrorCode.REQUEST_IS_TOO_LARGE))
    worker = launch("@mn.function()\ndef work(): return 'x' * 100_000")
    assert worker.wait() == 0
    assert control_plane.finished["outcome"] == "FAILED"
    assert "The request is too large" in control_plane.finished["error_message"]
    assert len(str(control_plane.finished)) < 1_000


def test_a_progress_value_that_is_not_taken_is_left_out_with_a_remark(
    launch: Launch, control_plane: OneExecution
) -> None:
    control_plane.on("PUT", "/update", before=lambda _: refuses(ErrorCode.REQUEST_IS_INVALID))
    worker = launch("import time\n@mn.function()\ndef work():\n    yield 1\n    time.sleep(1)\n    return 2")
    assert worker.wait() == 0
    assert control_plane.updates == [1]
    assert "did not take the progress value number 1" in worker.printed("worker")[0]
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "2"}


def test_a_slow_update_does_not_delay_the_time_out(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.timeout_s = 10
    over = threading.Event()
    control_plane.on("PUT", "/update", before=lambda _: over.wait(600), times=inf)
    worker = launch(YIELDS_FOR_EVER)
    worker.until(lambda: any("interrupting the function: TIMED_OUT" in line for line in worker.printed("worker")))
    assert control_plane.count("update")  # it is still under way
    over.set()
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "TIMED_OUT"}


def test_sigterm_while_the_end_waits_for_the_control_plane_retries_at_once(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch("@mn.function()\ndef work():\n    print('running')\n    return 1")
    control_plane.on("PUT", "/start", after=lambda _: control_plane.close())
    worker.until(lambda: worker.printed("worker"))
    control_plane.open()
    worker.process.terminate()
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "1"}
