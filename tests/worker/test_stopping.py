"""Cancels, time-outs and SIGTERM that nobody asked for, in real workers."""

import signal
import time

import pytest

from tests.support.one_execution import OneExecution
from tests.support.processes import alive
from tests.support.stoppable_functions import (
    COMPUTES,
    SLEEPS,
    STUBBORN,
    UNTIL_TOLD,
    cancel,
    interrupt,
    time_out,
    timed_out,
)
from tests.worker.conftest import PREAMBLE, Launch

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("source", [SLEEPS, COMPUTES])
def test_a_cancel_is_raised_while_the_function_sleeps_or_computes(
    launch: Launch, control_plane: OneExecution, source
) -> None:
    worker = launch(source)
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {
        "outcome": "ABORTED",
        "abort_reason": "CANCELLED",
        "final_output": '"saw InvocationCancelledError"',
    }


@pytest.mark.parametrize("source", [SLEEPS, COMPUTES])
def test_a_time_out_is_raised_while_the_function_sleeps_or_computes(
    launch: Launch, control_plane: OneExecution, source
) -> None:
    worker = timed_out(launch, control_plane, source)
    assert worker.wait() == 0
    assert control_plane.finished == {
        "outcome": "ABORTED",
        "abort_reason": "TIMED_OUT",
        "final_output": '"saw InvocationTimedOutError"',
    }


def test_the_time_out_counts_from_the_answer_to_start(launch: Launch, control_plane: OneExecution) -> None:
    control_plane.timeout_s = 1
    control_plane.on("PUT", "/start", before=lambda _: time.sleep(2))
    worker = launch(SLEEPS)
    assert worker.wait() == 0
    (started,), (finished,) = control_plane.of("start"), control_plane.of("finish")
    assert finished.at - started.at >= 3  # two seconds of waiting for the answer, one of time-out


def test_sigterm_that_nobody_asked_for_is_an_interruption_and_not_a_cancel(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(SLEEPS)
    interrupt(worker)
    assert worker.wait() == 0
    assert control_plane.finished == {
        "outcome": "ABORTED",
        "abort_reason": "INTERRUPTED",
        "final_output": '"saw ExecutionInterruptedError"',
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_of_a_terminal_are_like_sigterm(launch: Launch, control_plane: OneExecution, number) -> None:
    worker = launch(SLEEPS)
    worker.until_printed("running")
    worker.process.send_signal(number)
    assert worker.wait() == 0
    assert control_plane.finished["abort_reason"] == "INTERRUPTED"


def test_the_control_planes_own_stop_after_the_time_out_is_reported_as_timed_out(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(SLEEPS)
    time_out(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished["abort_reason"] == "TIMED_OUT"
    assert control_plane.finished["final_output"] == '"saw InvocationTimedOutError"'


def test_an_escaped_interruption_has_no_result_and_logs_its_traceback(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch("import time\n@mn.function()\ndef work():\n    print('running')\n    time.sleep(3600)")
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}
    assert "InvocationCancelledError" in worker.printed("stderr")[-1]
    assert any('File "main.py"' in line for line in worker.printed("stderr"))


def test_an_error_while_cleaning_up_is_still_a_cancel(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch(
        """
        import time
        @mn.function()
        def work():
            try:
                print("running")
                time.sleep(3600)
            finally:
                raise ValueError("while cleaning up")
        """
    )
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}
    assert "ValueError: while cleaning up" in worker.printed("stderr")


def test_a_cancelled_generators_last_yield_while_cleaning_up_is_its_result(
    launch: Launch, control_plane: OneExecution
) -> None:
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


def test_the_second_signal_does_not_raise_again_while_the_function_cleans_up(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        import time
        @mn.function()
        def work():
            try:
                print("running")
                time.sleep(3600)
            except Exception:
                print("cleaning")
                until_told("signalled")
                return "clean"
        """,
        preamble=PREAMBLE + UNTIL_TOLD,
    )
    cancel(worker, control_plane)
    worker.until_printed("cleaning")
    worker.process.send_signal(signal.SIGTERM)
    (worker.folder / "signalled").touch()
    assert worker.wait() == 0
    assert control_plane.finished["final_output"] == '"clean"'


def test_a_function_that_swallows_the_cancel_is_killed_with_its_processes(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(STUBBORN, MULTINODE_GRACE_S="10")
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}
    assert worker.printed().count("swallowed") == 1
    assert not alive(int(worker.printed()[0]))


def test_a_function_that_swallows_the_time_out_is_killed_after_the_whole_grace(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = timed_out(launch, control_plane, STUBBORN, MULTINODE_GRACE_S="1")
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "TIMED_OUT"}
    (started,), (finished,) = control_plane.of("start"), control_plane.of("finish")
    assert finished.at - started.at >= control_plane.timeout_s + 1


def test_without_any_grace_it_is_killed_at_once(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch(SLEEPS, MULTINODE_GRACE_S="0")
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}


def test_code_that_blocks_in_c_is_killed_after_the_grace(launch: Launch, control_plane: OneExecution) -> None:
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


def test_code_that_closed_the_workers_pipes_is_killed_after_the_grace(
    launch: Launch, control_plane: OneExecution
) -> None:
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


def test_a_stopped_process_is_killed_after_the_grace(launch: Launch, control_plane: OneExecution) -> None:
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


def test_an_interruption_that_falls_into_a_destructor_is_raised_again(
    launch: Launch, control_plane: OneExecution
) -> None:
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


def test_a_result_that_was_complete_before_the_cancel_arrived_is_a_success(
    launch: Launch, control_plane: OneExecution
) -> None:
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


def test_a_cancel_during_the_import_of_main_stops_it(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch("import time\nprint('running')\ntime.sleep(3600)\n@mn.function()\ndef work(): pass")
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}


def test_sys_exit_by_the_functions_own_handling_of_a_cancel_is_a_cancel(
    launch: Launch, control_plane: OneExecution
) -> None:
    worker = launch(
        """
        import os, time
        @mn.function()
        def work():
            try:
                print("running")
                time.sleep(3600)
            except Exception:
                os._exit(7)
        """
    )
    cancel(worker, control_plane)
    assert worker.wait() == 0
    assert control_plane.finished == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}
