"""The control plane away, slow, repeating itself or refusing, and what a real worker makes of that."""

import threading

import pytest

from tests.worker.conftest import PREAMBLE
from tests.worker.control_plane import Away, refused
from tests.worker.sources import UNTIL_TOLD

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


def once(action):
    """Return a script that does `action` at the first request and nothing later."""
    left = [action]
    return lambda request: left.pop()(request) if left else None


def go_away(_):
    raise Away


def test_a_control_plane_that_is_away_during_the_call_gets_the_result_when_it_is_back(launch, control_plane):
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


def test_a_control_plane_that_is_away_at_the_start_is_waited_for(launch, control_plane):
    control_plane.close()
    worker = launch("@mn.function()\ndef work(): return 1")
    worker.until(lambda: worker.printed("worker"))
    control_plane.open()
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "1"}


def test_a_lost_answer_to_start_is_asked_for_again_with_the_same_nonce(launch, control_plane):
    control_plane.after["start"] = once(go_away)
    worker = launch("@mn.function()\ndef work(): return 1")
    assert worker.wait() == 0
    nonces = [request.body["worker_nonce"] for request in control_plane.requests if request.step == "start"]
    assert len(nonces) == 2
    assert nonces[0] == nonces[1]


def test_a_lost_answer_to_finish_makes_the_same_report_again(launch, control_plane):
    control_plane.after["finish"] = once(go_away)
    worker = launch("@mn.function()\ndef work(): return 1")
    assert worker.wait() == 0
    reports = [request.body for request in control_plane.requests if request.step == "finish"]
    assert reports == [{"outcome": "SUCCEEDED", "final_output": "1"}] * 2


@pytest.mark.parametrize(
    "answer",
    [
        refused("InternalError", "The control plane failed", 500),
        refused("ControlPlaneIsBusy", "busy", 503),
        refused("LimitIsReached", "slow down", 429),
        (502, {"message": "Bad gateway"}),
    ],
)
def test_passing_troubles_are_waited_out(launch, control_plane, answer):
    for step in ("start", "update", "finish"):
        control_plane.before[step] = once(lambda _: answer)
    worker = launch("@mn.function()\ndef work():\n    yield 1\n    return 2")
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "2"}
    assert control_plane.updates[-1] == 1


@pytest.mark.parametrize(
    "answer",
    [
        refused("ExecutionHasAlreadyStarted", "This execution has already started"),
        refused("ExecutionIsAlreadyTerminated", "This execution has already terminated"),
        refused("ApiKeyIsInvalid", "The API key is invalid", 403),
        refused("ExecutionDoesNotExist", "An execution with this ID does not exist for this invocation", 404),
        refused("RequestIsInvalid", "The request is invalid", 422),
    ],
)
def test_a_refused_start_ends_the_worker_quietly_and_no_code_runs(launch, control_plane, answer):
    control_plane.before["start"] = lambda _: answer
    worker = launch("print('imported')\n@mn.function()\ndef work(): pass")
    assert worker.wait() == 1
    assert worker.printed() == []
    assert control_plane.count("finish") == 0
    assert len(worker.lines) == 1


@pytest.mark.parametrize(
    "answer",
    [
        refused("ExecutionIsAlreadyTerminated", "This execution has already terminated"),
        refused("ExecutionHasAlreadyFinished", "This execution has already finished"),
        refused("ApiKeyIsInvalid", "The API key is invalid", 403),
        refused("InvocationDoesNotExist", "An invocation with this ID does not exist for this function", 404),
    ],
)
def test_a_worker_whose_execution_goes_on_elsewhere_kills_its_code_and_reports_nothing(launch, control_plane, answer):
    worker = launch(YIELDS_FOR_EVER)
    worker.until_printed("running")
    control_plane.before["update"] = lambda _: answer
    assert worker.wait() == 1
    assert control_plane.count("finish") == 0
    assert "stopping the function" in worker.printed("worker")[0]


def test_a_refused_finish_ends_the_worker_with_an_error(launch, control_plane):
    control_plane.before["finish"] = lambda _: refused("ExecutionIsAlreadyTerminated", "terminated")
    worker = launch("@mn.function()\ndef work(): return 1")
    assert worker.wait() == 1
    assert control_plane.count("finish") == 1


def test_a_proxys_refusal_is_not_taken_for_the_control_planes(launch, control_plane):
    control_plane.before["update"] = once(lambda _: (403, {"message": "Forbidden"}))
    control_plane.before["finish"] = once(lambda _: (403, {"message": "Forbidden"}))
    worker = launch("@mn.function()\ndef work():\n    yield 1\n    return 2")
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "2"}


def test_a_report_that_is_not_taken_is_followed_by_a_small_one(launch, control_plane):
    control_plane.before["finish"] = once(lambda _: refused("RequestIsTooLarge", "The request is too large", 413))
    worker = launch("@mn.function()\ndef work(): return 'x' * 100_000")
    assert worker.wait() == 0
    assert control_plane.finished["outcome"] == "FAILED"
    assert "The request is too large" in control_plane.finished["error_message"]
    assert len(str(control_plane.finished)) < 1_000


def test_a_progress_value_that_is_not_taken_is_left_out_with_a_remark(launch, control_plane):
    control_plane.before["update"] = once(lambda _: refused("RequestIsInvalid", "The request is invalid", 422))
    worker = launch("import time\n@mn.function()\ndef work():\n    yield 1\n    time.sleep(1)\n    return 2")
    assert worker.wait() == 0
    assert control_plane.updates == [1]
    assert "did not take the progress value number 1" in worker.printed("worker")[0]
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "2"}


def test_a_slow_update_does_not_delay_the_time_out(launch, control_plane):
    control_plane.timeout_s = 10
    over = threading.Event()
    control_plane.before["update"] = lambda _: over.wait(600) and None
    worker = launch(YIELDS_FOR_EVER)
    worker.until(lambda: any("interrupting the function: TIMED_OUT" in line for line in worker.printed("worker")))
    assert control_plane.count("update")  # it is still under way
    over.set()
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "TIMED_OUT"}


def test_sigterm_while_the_end_waits_for_the_control_plane_makes_the_worker_try_again_at_once(launch, control_plane):
    worker = launch("@mn.function()\ndef work():\n    print('running')\n    return 1")
    control_plane.after["start"] = lambda _: control_plane.close()
    worker.until(lambda: worker.printed("worker"))
    control_plane.open()
    worker.process.terminate()
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "SUCCEEDED", "final_output": "1"}
