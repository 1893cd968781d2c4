"""Functions to be stopped, and how the control plane stops them."""

import signal

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


def cancel(worker, control_plane, reason="CANCELLED"):
    """Do what the control plane does: note the reason, then have the compute backend send SIGTERM."""
    worker.until_printed("running")
    control_plane.stop_reason = reason
    worker.process.send_signal(signal.SIGTERM)
