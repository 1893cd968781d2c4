"""Functions to be stopped, and how the control plane stops them."""

import signal

__all__ = ["COMPUTES", "SLEEPS", "STUBBORN", "UNTIL_TOLD", "cancel", "timed_out"]

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


def timed_out(launch, control_plane, source, **environ):
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


def cancel(worker, control_plane, reason="CANCELLED"):
    """Do what the control plane does: note the reason, then have the compute backend send SIGTERM."""
    worker.until_printed("running")
    control_plane.stop_reason = reason
    worker.process.send_signal(signal.SIGTERM)
