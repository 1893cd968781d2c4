"""One invocation and its attempts, as they were when they were read: nothing here changes by itself."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from multinode.errors import (
    InvalidUseError,
    InvocationCancelledError,
    InvocationFailedError,
    InvocationTimedOutError,
    MultinodeError,
)
from multinode.payload import decode_value
from multinode_protocol.messages import ExecutionSummary, InvocationInfo
from multinode_protocol.status import InvocationStatus, Outcome, WorkerStatus

__all__ = ["Execution", "Invocation", "value_of"]


@dataclass(frozen=True)
class Execution:
    """One attempt at an invocation, in its own container. Times are aware, in UTC."""

    execution_id: str
    attempt: int
    """Counts from 1."""
    worker_status: WorkerStatus
    outcome: Outcome | None
    """None until the function's code has ended."""
    error: str | None
    """``Class: message`` of a failed attempt."""
    traceback: str | None
    """The traceback in the worker of a failed attempt, if it raised."""
    created_at: datetime
    started_at: datetime | None
    """When the function's code began."""
    finished_at: datetime | None
    """When the function's code ended."""
    encoded_output: str | None = field(repr=False)

    @cached_property
    def output(self) -> Any:
        """The value that the attempt yielded last, or returned; None when there is none yet.

        Raises: PayloadError when it cannot be unpickled here.
        """
        return None if self.encoded_output is None else decode_value(self.encoded_output)


@dataclass(frozen=True)
class Invocation:
    """One request to run a function, as it was when it was read. Times are aware, in UTC.

    Results are decoded on access: `status` and the rest can be read even if `result` cannot.
    """

    invocation_id: str
    status: InvocationStatus
    status_reason: str
    """In words: what it is waiting for, or how it ended."""
    error: str | None
    """Why it is FAILED, TIMED_OUT or CANCELLED; None otherwise."""
    traceback: str | None
    """The traceback in the worker, if it is FAILED because the function raised."""
    terminated: bool
    """True once it is finished and its last container is gone."""
    num_failed_attempts: int
    created_at: datetime
    finished_at: datetime | None
    executions: tuple[Execution, ...]
    """Its attempts, oldest first."""
    project_name: str
    version_id: str
    function_name: str
    parent_invocation_id: str | None
    """The invocation that started this one, if one did."""
    encoded_result: str | None = field(repr=False)

    @cached_property
    def result(self) -> Any:
        """What the function returned; while it runs, the value that it yielded last. None when there is none.

        A function that was cancelled or timed out may have a result, too: what it returned after the interruption, or
        else the last value that it yielded.

        Raises: PayloadError when it cannot be unpickled here.
        """
        return None if self.encoded_result is None else decode_value(self.encoded_result)

    @classmethod
    def from_info(cls, info: InvocationInfo) -> "Invocation":
        """Return the invocation that a body of the REST API describes."""
        try:
            status = InvocationStatus(info["status"])
        except ValueError as error:
            raise MultinodeError(
                f"The control plane says that {info['invocation_id']} is {info['status']!r}, a status which this "
                "version of multinode does not know: upgrade it"
            ) from error
        executions = tuple(_execution(summary) for summary in info["executions"])
        encoded_result = info["result"]
        if encoded_result is None and not status.finished:
            outputs = (execution.encoded_output for execution in reversed(executions))
            encoded_result = next((output for output in outputs if output is not None), None)
        parent = info["parent_invocation"]
        return cls(
            invocation_id=info["invocation_id"],
            status=status,
            status_reason=info["status_reason"],
            error=info["error"],
            traceback=info["error_traceback"],
            terminated=info["terminated"],
            num_failed_attempts=info["num_failed_attempts"],
            created_at=_time(info["creation_time_ms"]),
            finished_at=_optional_time(info["finish_time_ms"]),
            executions=executions,
            project_name=info["project_name"],
            version_id=info["version_id"],
            function_name=info["function_name"],
            parent_invocation_id=None if parent is None else parent["invocation_id"],
            encoded_result=encoded_result,
        )


def value_of(invocation: Invocation) -> Any:
    """Return the result of a finished invocation.

    Raises: InvocationFailedError, InvocationCancelledError, InvocationTimedOutError; PayloadError when the result
    cannot be unpickled here; InvalidUseError when it is not finished.
    """
    name = f"Invocation {invocation.invocation_id} of {invocation.project_name}/{invocation.function_name}"
    match invocation.status:
        case InvocationStatus.SUCCEEDED:
            return invocation.result
        case InvocationStatus.FAILED:
            attempts = invocation.num_failed_attempts
            after = f" after {attempts} attempts" if attempts > 1 else ""
            raise InvocationFailedError(
                f"{name} failed{after}: {invocation.error or invocation.status_reason}",
                invocation_id=invocation.invocation_id,
                error=invocation.error,
                remote_traceback=invocation.traceback,
            )
        case InvocationStatus.CANCELLED:
            message = f"{name} was cancelled: {invocation.status_reason}"
            raise InvocationCancelledError(message, invocation_id=invocation.invocation_id)
        case InvocationStatus.TIMED_OUT:
            message = f"{name} timed out: {invocation.status_reason}"
            raise InvocationTimedOutError(message, invocation_id=invocation.invocation_id)
        case _:
            raise InvalidUseError(f"{name} is not finished, it is {invocation.status}: wait for it with await_result")


def _execution(summary: ExecutionSummary) -> Execution:
    created = summary.get("creation_time_ms", summary["creation_time"] * 1000)
    outcome = summary["outcome"]
    return Execution(
        execution_id=summary["execution_id"],
        attempt=summary.get("attempt", 1),
        worker_status=WorkerStatus(summary["worker_status"]),
        outcome=None if outcome is None else Outcome(outcome),
        error=summary["error_message"],
        traceback=summary.get("error_traceback"),
        created_at=_time(created),
        started_at=_optional_time(summary.get("execution_start_time_ms")),
        finished_at=_optional_time(summary.get("execution_finish_time_ms")),
        encoded_output=summary["output"],
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _optional_time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _time(milliseconds)
