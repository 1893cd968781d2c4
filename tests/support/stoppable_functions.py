"""Functions to be stopped, and how the control plane stops them."""

import signal
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
