"""What is reported at the end. It follows from what the child said, how it ended, and why it was stopped.

| the child said | stop ordered | report |
|---|---|---|
| a result | not raised in the code before it was complete | SUCCEEDED |
| a result | raised in the code, which still returned | ABORTED, the reason, and the result |
| an exception | not raised in the code | FAILED |
| an exception | raised in the code | ABORTED, the reason |
| nothing | yes | ABORTED, the reason |
| nothing | no | FAILED: how the process ended |
"""

import os
import signal
from dataclasses import dataclass

from multinode.worker.channel import CallResult
from multinode_protocol.messages import FinishBody
from multinode_protocol.status import AbortReason, Outcome


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What is known once the child is gone."""

    result: CallResult | None
    """What the child reported, if it did."""
    status: int | None
    """What `os.waitpid` said of the child. None: it could not even be killed."""
    reason: AbortReason | None
    """Why it was interrupted. None: it was not."""
    oom_kills: int | None
    """How many processes of the container the kernel killed for memory meanwhile. None: unknown."""
    memory_gib: float | None = None
    """What the function asked for."""
    broken: str | None = None
    """What was wrong with the bytes from the child, if they made no sense."""


def report(outcome: CallOutcome) -> FinishBody:
    """Return the report. It holds an `error_message` exactly when the outcome is FAILED."""
    result = outcome.result
    if result is None:
        return _aborted(outcome.reason) if outcome.reason is not None else _lost(outcome)
    if result["interrupted"]:
        body = _aborted(outcome.reason or AbortReason.INTERRUPTED)
        if result["final_output"] is not None:
            body["final_output"] = result["final_output"]
        return body
    error = result["error"]
    if error is None:
        return {"outcome": Outcome.SUCCEEDED, "final_output": result["final_output"]}
    return {
        "outcome": Outcome.FAILED,
        "error_message": error["error_message"],
        "error_type": error["error_type"],
        "error_bases": error["error_bases"],
        "error_traceback": error["error_traceback"],
        "retryable": error["retryable"],
        "infrastructure": False,
    }


def fallback(body: FinishBody, why: str) -> FinishBody:
    """Return a report that always fits, for when the control plane will not take `body`."""
    if body["outcome"] == Outcome.ABORTED:
        return {"outcome": Outcome.ABORTED, "abort_reason": body.get("abort_reason")}
    what = "result" if body["outcome"] == Outcome.SUCCEEDED else "error"
    return _failed("ReportRejected", f"the control plane did not take the function's {what}: {why}"[:2_000])


def _aborted(reason: AbortReason | None) -> FinishBody:
    return {"outcome": Outcome.ABORTED, "abort_reason": reason}


def _failed(kind: str, message: str, *, infrastructure: bool = False) -> FinishBody:
    return {
        "outcome": Outcome.FAILED,
        "error_message": f"{kind}: {message}",
        "error_type": kind,
        "error_bases": [kind],
        "retryable": True,
        "infrastructure": infrastructure,
    }


def _lost(outcome: CallOutcome) -> FinishBody:
    """Return the report on a child that ended without reporting."""
    if outcome.broken is not None:
        return _failed(
            "ProcessLost",
            f"the function's process wrote into the worker's pipe, so its result is lost ({outcome.broken});"
            " does the code write to file descriptors that it did not open?",
        )
    if outcome.status is None:
        return _failed("ProcessLost", "the function's process could not be killed", infrastructure=True)
    if not os.WIFSIGNALED(outcome.status):
        code = os.waitstatus_to_exitcode(outcome.status)
        return _failed(
            "ProcessExited",
            f"the function's process ended with exit code {code} before the function returned:"
            " the code, or a library, called os._exit or the like (the logs may say more)",
        )
    number = os.WTERMSIG(outcome.status)
    name = _signal_name(number)
    if number != signal.SIGKILL:
        return _failed("ProcessKilled", f"the function's process was ended by {name} ({signal.strsignal(number)})")
    if outcome.oom_kills == 0:
        return _failed(
            "ProcessKilled",
            "something outside ended the function's process with SIGKILL;"
            " the kernel counted no out-of-memory kill in this container",
            infrastructure=True,
        )
    size = f" (now {outcome.memory_gib:g} GiB)" if outcome.memory_gib else ""
    certainty = (
        "the kernel ended the function's process with SIGKILL because memory ran out"
        if outcome.oom_kills
        else "the function's process was ended by SIGKILL, most likely because memory ran out"
    )
    return _failed("OutOfMemory", f"{certainty}; give the function more with memory=…{size}", infrastructure=True)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
