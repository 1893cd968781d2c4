"""Cancels, time-outs and SIGTERM that nobody asked for, in real workers."""

import json
import signal
import time

import pytest

from tests.worker.control_plane import Away, refused
from tests.worker.processes import alive

pytestmark = pytest.mark.slow

REPORTS_WHAT_IT_SEES = """
import time
@mn.function()
def work():
    print("running")
    try:
        {waits}
    except Exception as error:
        return f"saw {{type(error).__name__}}"
    return "saw nothing"
"""
SLEEPS = REPORTS_WHAT_IT_SEES.format(waits="time.sleep(3600)")
COMPUTES = REPORTS_WHAT_IT_SEES.format(waits="while True: sum([1])")
STUBBORN = """
import subprocess, time
@mn.function()
def work():
    print(subprocess.Popen(["sleep", "3600"]).pid)
    print("running")
    while True:
        try:
            time.sleep(3600)
        except Exception:
            print("swallowed")
"""


def cancel(worker, control_plane, reason="CANCELLED"):
    """Do what the control plane does: note the reason, then have the compute backend send SIGTERM."""
    worker.until_printed("running")
    control_plane.stop_reason = reason
    worker.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("source", [SLEEPS, COMPUTES])
def test_a_cancel_is_raised_while_the_function_sleeps_or_computes(launch, control_plane, source):
    worker = launch(source)
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {
        "outcome": "ABORTED",
        "abort_reason": "CANCELLED",
        "final_output": '"saw InvocationCancelledError"',
    }


@pytest.mark.parametrize("source", [SLEEPS, COMPUTES])
def test_a_time_out_is_raised_while_the_function_sleeps_or_computes(launch, control_plane, source):
    control_plane.timeout_s = 1
    worker = launch(source)
    assert worker.wait() == 0
    assert control_plane.finished == {
        "outcome": "ABORTED",
        "abort_reason": "TIMED_OUT",
        "final_output": '"saw InvocationTimedOutError"',
    }


def test_the_time_out_counts_from_the_answer_to_start(launch, control_plane):
    control_plane.timeout_s = 1
    control_plane.before["start"] = lambda _: time.sleep(2)
    worker = launch(SLEEPS)
    assert worker.wait() == 0
    started, finished = (request for request in control_plane.requests if request.step in ("start", "finish"))
    assert finished.at - started.at >= 3  # two seconds of waiting for the answer, one of time-out


def test_sigterm_that_nobody_asked_for_is_an_interruption_and_not_a_cancel(launch, control_plane):
    worker = launch(SLEEPS)
    cancel(worker, control_plane, reason=None)
    assert worker.wait() == 0
    assert control_plane.finished == {
        "outcome": "ABORTED",
        "abort_reason": "INTERRUPTED",
        "final_output": '"saw ExecutionInterruptedError"',
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_of_a_terminal_are_like_sigterm(launch, control_plane, number):
    worker = launch(SLEEPS)
    worker.until_printed("running")
    worker.process.send_signal(number)
    assert worker.wait() == 0
    assert control_plane.finished["abort_reason"] == "INTERRUPTED"


def test_the_control_planes_own_stop_after_the_time_out_is_reported_as_timed_out(launch, control_plane):
    worker = launch(SLEEPS)
    cancel(worker, control_plane, reason="TIMED_OUT")
    assert worker.wait() == 0
    assert control_plane.finished["abort_reason"] == "TIMED_OUT"
    assert control_plane.finished["final_output"] == '"saw InvocationTimedOutError"'


def test_an_interruption_that_the_function_lets_pass_has_no_result_and_leaves_its_traceback_in_the_logs(
    launch, control_plane
):
    worker = launch("import time\n@mn.function()\ndef work():\n    print('running')\n    time.sleep(3600)")
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}
    assert "InvocationCancelledError" in worker.printed("stderr")[-1]
    assert any('File "main.py"' in line for line in worker.printed("stderr"))


def test_an_error_while_cleaning_up_is_still_a_cancel(launch, control_plane):
    worker = launch(
        """
        import time
        @mn.function()
        def work():
            print("running")
            try:
                time.sleep(3600)
            finally:
                raise ValueError("while cleaning up")
        """
    )
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}
    assert "ValueError: while cleaning up" in worker.printed("stderr")


def test_a_generator_sees_the_cancel_cleans_up_with_a_last_yield_and_that_is_its_result(launch, control_plane):
    worker = launch(
        """
        import time
        @mn.function()
        def work():
            try:
                for i in range(10_000):
                    yield i
                    print("running")
                    time.sleep(0.001)
            except Exception as error:
                yield type(error).__name__
        """
    )
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {
        "outcome": "ABORTED",
        "abort_reason": "CANCELLED",
        "final_output": '"InvocationCancelledError"',
    }


def test_the_second_signal_does_not_raise_again_while_the_function_cleans_up(launch, control_plane):
    worker = launch(
        """
        import time
        @mn.function()
        def work():
            print("running")
            try:
                time.sleep(3600)
            except Exception:
                print("cleaning")
                time.sleep(1.5)
                return "clean"
        """
    )
    cancel(worker, control_plane)
    worker.until_printed("cleaning")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert control_plane.finished["final_output"] == '"clean"'


def test_a_function_that_swallows_the_cancel_is_killed_with_its_processes_after_the_grace(launch, control_plane):
    worker = launch(STUBBORN, MULTINODE_GRACE_S="3")
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}
    assert worker.printed().count("swallowed") == 1
    assert not alive(int(worker.printed()[0]))


def test_a_function_that_swallows_the_time_out_is_killed_after_the_whole_grace(launch, control_plane):
    control_plane.timeout_s = 1
    worker = launch(STUBBORN, MULTINODE_GRACE_S="1")
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "TIMED_OUT"}
    started, finished = (request for request in control_plane.requests if request.step in ("start", "finish"))
    assert finished.at - started.at >= 2


def test_without_any_grace_it_is_killed_at_once(launch, control_plane):
    worker = launch(SLEEPS, MULTINODE_GRACE_S="0")
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}


def test_code_that_blocks_in_c_is_killed_after_the_grace(launch, control_plane):
    worker = launch(
        """
        import ctypes
        @mn.function()
        def work():
            print("running")
            while True:
                ctypes.PyDLL(None).sleep(3600)  # keeps the interpreter's lock
        """,
        MULTINODE_GRACE_S="2",
    )
    # A signal ends one sleep in C; Python's handler cannot run before the next instruction, and then it does.
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}


def test_code_that_closed_the_workers_pipes_is_killed_after_the_grace(launch, control_plane):
    worker = launch(
        """
        import os, time
        @mn.function()
        def work():
            print("running")
            os.closerange(3, 100)
            time.sleep(3600)
        """,
        MULTINODE_GRACE_S="2",
    )
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}


def test_a_stopped_process_is_killed_after_the_grace(launch, control_plane):
    worker = launch(
        """
        import os, signal
        @mn.function()
        def work():
            print("running")
            os.kill(os.getpid(), signal.SIGSTOP)
        """,
        MULTINODE_GRACE_S="2",
    )
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}


def test_an_interruption_that_falls_into_a_destructor_is_raised_again(launch, control_plane):
    worker = launch(
        """
        import time
        class Slow:
            def __del__(self):
                print("running")
                time.sleep(3600)
        @mn.function()
        def work():
            Slow()
            try:
                time.sleep(3600)
            except Exception as error:
                return type(error).__name__
        """
    )
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished["final_output"] == '"InvocationCancelledError"'


def test_a_result_that_was_complete_before_the_cancel_arrived_is_a_success(launch, control_plane):
    worker = launch(
        """
        import time
        class Result:
            def __reduce__(self):  # the function has returned: its result is being encoded
                print("running")
                time.sleep(1)
                return (str, ("result",))
        @mn.function()
        def work(): return Result()
        """
    )
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished["outcome"] == "SUCCEEDED"


def test_a_cancel_during_the_import_of_main_stops_it(launch, control_plane):
    worker = launch("import time\nprint('running')\ntime.sleep(3600)\n@mn.function()\ndef work(): pass")
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}


def test_sys_exit_by_the_functions_own_handling_of_a_cancel_is_a_cancel(launch, control_plane):
    worker = launch(
        """
        import os, time
        @mn.function()
        def work():
            print("running")
            try:
                time.sleep(3600)
            except Exception:
                os._exit(7)
        """
    )
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}


def test_sigterm_before_start_is_answered_ends_the_worker_without_running_the_code(launch, control_plane):
    control_plane.before["start"] = lambda _: (503, {"code": "ControlPlaneIsBusy", "detail": "busy"})
    worker = launch("print('imported')\n@mn.function()\ndef work(): pass")
    worker.until(lambda: control_plane.count("start"))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait() == 1
    assert control_plane.finished is None
    assert worker.printed() == []


def test_sigterm_while_held_ends_the_worker_without_a_start(launch, control_plane):
    worker = launch("@mn.function()\ndef work(): pass", MULTINODE_NOT_BEFORE_MS=str(int(time.time() * 1000) + 60_000))
    worker.until(lambda: _catches_sigterm(worker.process.pid))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait() == 1
    assert control_plane.requests == []


def _catches_sigterm(pid):
    with open(f"/proc/{pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1


def test_sigterm_during_start_is_reported_without_running_the_code(launch, control_plane):
    control_plane.stop_reason = "CANCELLED"
    control_plane.before["start"] = lambda _: time.sleep(1)
    worker = launch("print('imported')\n@mn.function()\ndef work(): pass")
    worker.until(lambda: control_plane.count("start"))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}
    assert worker.printed() == []


def test_with_the_control_plane_away_sigterm_interrupts_all_the_same_and_the_reason_is_mended_later(
    launch, control_plane
):
    worker = launch(SLEEPS)
    worker.until_printed("running")
    control_plane.close()
    worker.process.send_signal(signal.SIGTERM)
    worker.until(lambda: any("interrupting" in line for line in worker.printed("worker")))
    control_plane.stop_reason = "CANCELLED"
    control_plane.open()
    assert worker.wait() == 0
    assert control_plane.finished == {
        "outcome": "ABORTED",
        "abort_reason": "CANCELLED",
        "final_output": '"saw ExecutionInterruptedError"',
    }


def test_an_unanswered_question_delays_the_interruption_by_seconds_only(launch, control_plane):
    def never(_):
        time.sleep(8)
        raise Away

    control_plane.before["read"] = never
    worker = launch(SLEEPS)
    cancel(worker, control_plane)
    worker.until(lambda: any("interrupting" in line for line in worker.printed("worker")))
    assert control_plane.count("read") == 1  # the first question is still open
    control_plane.before.clear()
    assert worker.wait() == 0
    assert control_plane.finished["abort_reason"] == "CANCELLED"


def test_progress_is_reported_while_the_function_cleans_up(launch, control_plane):
    worker = launch(
        """
        import time
        @mn.function()
        def work():
            yield "before"
            print("running")
            try:
                time.sleep(3600)
            finally:
                yield "cleaning up"
                time.sleep(1.5)
                yield "clean"
        """
    )
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.updates == ["before", "cleaning up", "clean"]
    assert json.loads(json.dumps(control_plane.finished)) == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}


def test_a_worker_told_that_the_execution_has_ended_while_it_asks_why_stops_at_once(launch, control_plane):
    control_plane.before["read"] = lambda _: refused("ExecutionIsAlreadyTerminated", "This execution has terminated")
    worker = launch(STUBBORN)
    cancel(worker, control_plane)
    assert worker.wait() == 1
    assert control_plane.finished is None
