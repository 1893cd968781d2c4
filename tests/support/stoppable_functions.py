"""Functions to be stopped, and how the control plane stops them."""

import signal
from collections.abc import Callable
from typing import Any

from tests.support.one_execution import OneExecution

REPORTS_WHAT_IT_SEES = """
import time
@mn.function()
def work():
    try:
        print("running")
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
    while True:
        try:
            print("running")
            time.sleep(3600)
        except Exception:
            print("swallowed")
"""
UNTIL_TOLD = """
import pathlib, time
def until_told(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.01)
"""
"""Before a function's source: it may wait until the test makes a file in the folder of the project."""


def timed_out(launch: Callable[..., Any], control_plane: OneExecution, source: str, **environ: str) -> Any:
    """Return a worker, which has ended, whose function printed "running" before its time-out came.

    The time-out counts from the answer to `start`: on a busy machine a second is over before the function runs.
    """
    for control_plane.timeout_s in (1, 5, 25, 125):
        worker = launch(source, **environ)
        worker.wait()
        if "running" in worker.log.read_text():
            break
        control_plane.forget()
    return worker


def interrupt(worker: Any) -> None:
    """Send SIGTERM once the function runs, as a platform does that takes its machine back."""
    worker.until_printed("running")
    worker.process.send_signal(signal.SIGTERM)


def cancel(worker: Any, control_plane: OneExecution) -> None:
    """Do what the control plane does: note the reason, then have the compute backend send SIGTERM."""
    worker.until_printed("running")
    control_plane.cancels()
    interrupt(worker)


def time_out(worker: Any, control_plane: OneExecution) -> None:
    """Do what the control plane does when a worker has not stopped by itself at the end of its time."""
    worker.until_printed("running")
    control_plane.times_out()
    interrupt(worker)
