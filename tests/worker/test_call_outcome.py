"""What is reported at the end, from what is known."""

import signal
from typing import Any

import pytest

from multinode.worker.call_outcome import CallOutcome, fallback, report
from multinode_protocol.status import AbortReason

ERROR = {
    "error_message": "ValueError: no",
    "error_type": "ValueError",
    "error_bases": ["ValueError"],
    "error_traceback": "Traceback…",
    "retryable": True,
}
EXITED_7 = 7 << 8
"""As in wait(2): the exit code in the second byte, a signal in the first."""


def outcome(**known):
    return CallOutcome(**{"result": None, "status": 0, "reason": None, "oom_kills": 0, **known})


def result(*, interrupted=False):
    return {"interrupted": interrupted, "final_output": "1", "error": None}


def error(*, interrupted=False):
    return {"interrupted": interrupted, "final_output": None, "error": ERROR}


def test_a_result_is_a_success_also_when_a_stop_was_ordered_too_late() -> None:
    assert report(outcome(result=result())) == {"outcome": "SUCCEEDED", "final_output": "1"}
    assert report(outcome(result=result(), reason=AbortReason.CANCELLED)) == {
        "outcome": "SUCCEEDED",
        "final_output": "1",
    }


def test_a_result_after_the_interruption_is_kept_beside_the_reason() -> None:
    assert report(outcome(result=result(interrupted=True), reason=AbortReason.TIMED_OUT)) == {
        "outcome": "ABORTED",
        "abort_reason": "TIMED_OUT",
        "final_output": "1",
    }


def test_an_error_is_a_failure_that_is_not_the_infrastructures() -> None:
    assert report(outcome(result=error())) == {"outcome": "FAILED", "infrastructure": False, **ERROR}


def test_an_error_after_the_interruption_is_the_interruption() -> None:
    assert report(outcome(result=error(interrupted=True), reason=AbortReason.CANCELLED)) == {
        "outcome": "ABORTED",
        "abort_reason": "CANCELLED",
    }


def test_silence_after_an_order_to_stop_is_the_order() -> None:
    assert report(outcome(status=signal.SIGKILL, reason=AbortReason.CANCELLED)) == {
        "outcome": "ABORTED",
        "abort_reason": "CANCELLED",
    }


@pytest.mark.parametrize(
    ("known", "kind", "words", "infrastructure"),
    [
        ({"status": EXITED_7}, "ProcessExited", "exit code 7", False),
        ({"status": 0}, "ProcessExited", "exit code 0", False),
        ({"status": signal.SIGSEGV}, "ProcessKilled", "SIGSEGV (Segmentation fault)", False),
        ({"status": signal.SIGABRT | 0x80}, "ProcessKilled", "SIGABRT", False),  # 0x80: with a core dump
        ({"status": signal.SIGRTMIN + 3}, "ProcessKilled", f"signal {signal.SIGRTMIN + 3}", False),
        ({"status": signal.SIGKILL, "oom_kills": 0}, "ProcessKilled", "no out-of-memory kill", True),
        ({"status": signal.SIGKILL, "oom_kills": 2}, "OutOfMemory", "because memory ran out", True),
        ({"status": signal.SIGKILL, "oom_kills": None}, "OutOfMemory", "most likely because memory ran out", True),
        ({"status": None}, "ProcessLost", "could not be killed", True),
        ({"status": signal.SIGKILL, "broken": "b'hello'"}, "ProcessLost", "b'hello'", False),
    ],
)
def test_silence_without_an_order_is_called_by_how_the_process_ended(known, kind, words, infrastructure) -> None:
    body: Any = report(outcome(**known))
    assert body["outcome"] == "FAILED"
    assert body["error_type"] == kind
    assert body["error_message"].startswith(f"{kind}: ")
    assert words in body["error_message"]
    assert body["infrastructure"] is infrastructure


def test_out_of_memory_names_what_the_function_has_now() -> None:
    body: Any = report(outcome(status=signal.SIGKILL, oom_kills=1, memory_gib=0.25))
    assert "memory=… (now 0.25 GiB)" in body["error_message"]


def test_the_fallback_of_a_result_is_a_small_failure() -> None:
    body: Any = fallback({"outcome": "SUCCEEDED", "final_output": "x" * 250_000}, "why " * 10_000)
    assert body["outcome"] == "FAILED"
    assert body["error_message"].startswith("ReportRejected: the control plane did not take the function's result: why")
    assert len(str(body)) < 3_000


def test_the_fallback_of_an_abort_is_the_abort_without_its_result() -> None:
    body: Any = fallback({"outcome": "ABORTED", "abort_reason": "CANCELLED", "final_output": "x"}, "why")
    assert body == {"outcome": "ABORTED", "abort_reason": "CANCELLED"}
