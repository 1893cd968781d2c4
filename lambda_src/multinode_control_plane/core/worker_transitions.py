"""The state machine, second part: what a worker reports about its execution."""

from dataclasses import dataclass, replace
from datetime import datetime

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.lifecycle import (
    end_with,
    is_short,
    queue_deadline,
    request_stop,
    retry_or_fail,
    run_deadline,
    short,
    update_current,
)
from multinode_control_plane.core.records import Execution, Invocation, WorkerDetails
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.status import AbortReason, InvocationStatus, Outcome, WorkerStatus


@dataclass(frozen=True, slots=True)
class FinishReport:
    """How the code of an execution ended. `error_message` is present exactly when the outcome is FAILED."""

    outcome: Outcome
    final_output: str | None = None
    error_message: str | None = None
    error_type: str | None = None
    error_bases: tuple[str, ...] = ()
    error_traceback: str | None = None
    retryable: bool = True
    infrastructure: bool = False
    abort_reason: AbortReason | None = None

    @property
    def short(self) -> bool:
        """True when it consists of a short result alone: the Execution holds that, and needs no Output."""
        told = (self.error_message, self.error_type, self.error_traceback)
        return self.final_output is not None and is_short(self.final_output) and told == (None, None, None)


def start(
    invocation: Invocation,
    execution_id: str,
    *,
    worker_nonce: str | None,
    worker: WorkerDetails | None,
    now: datetime,
) -> Invocation:
    """Return the invocation with its code started. The same worker may ask again; any other is refused.

    After `max_queue_time` the invocation is TIMED_OUT instead, and the worker must not run the code.
    Raises Refused: EXECUTION_DOES_NOT_EXIST, _IS_ALREADY_TERMINATED (also when it has been told to stop),
    _HAS_ALREADY_STARTED.
    """
    execution = _existing(invocation, execution_id)
    if not execution.open:
        raise Refused(ErrorCode.EXECUTION_IS_ALREADY_TERMINATED)
    if execution.started_at is not None:
        if worker_nonce is not None and execution.worker_nonce == worker_nonce:
            return invocation
        raise Refused(ErrorCode.EXECUTION_HAS_ALREADY_STARTED)
    told_to_stop = execution.termination_signal_at is not None or invocation.cancellation_requested_at is not None
    if told_to_stop or invocation.status.finished:
        raise Refused(ErrorCode.EXECUTION_IS_ALREADY_TERMINATED)
    deadline = queue_deadline(invocation)
    if deadline is not None and now >= deadline:
        return end_with(request_stop(invocation, AbortReason.TIMED_OUT, now), InvocationStatus.TIMED_OUT, now)
    return update_current(
        replace(invocation, status=InvocationStatus.RUNNING),
        now,
        worker_status=WorkerStatus.RUNNING,
        started_at=now,
        worker_nonce=worker_nonce,
        worker=execution.worker or worker,
        launch_after=None,
    )


def progress_allowed(invocation: Invocation, execution_id: str) -> Execution:
    """Return the execution if it may report progress now. Raises Refused, with its state as the reason."""
    execution = _existing(invocation, execution_id)
    if execution.started_at is None:
        raise Refused(
            ErrorCode.EXECUTION_HAS_NOT_STARTED if execution.open else ErrorCode.EXECUTION_IS_ALREADY_TERMINATED
        )
    if execution.reported:
        raise Refused(ErrorCode.EXECUTION_HAS_ALREADY_FINISHED)
    if not execution.open:
        raise Refused(ErrorCode.EXECUTION_IS_ALREADY_TERMINATED)
    return execution


def finish(
    invocation: Invocation,
    execution_id: str,
    report: FinishReport,
    *,
    hold_s: float,
    jitter: float,
    now: datetime,
) -> Invocation:
    """Return the invocation after its code has ended; the same outcome again changes nothing.

    A success counts even after a cancellation request; any other outcome then ends the invocation as CANCELLED.
    Raises Refused: EXECUTION_DOES_NOT_EXIST, _HAS_NOT_STARTED, _HAS_ALREADY_FINISHED, _IS_ALREADY_TERMINATED.
    """
    execution = _existing(invocation, execution_id)
    if execution.reported and execution.outcome is report.outcome:
        return invocation
    progress_allowed(invocation, execution_id)
    policy = invocation.execution_spec.retry
    wanted = policy.retry_on is None or report.infrastructure or bool({*policy.retry_on} & {*report.error_bases})
    abort_reason = _abort_reason(invocation, execution, report, now)
    error = _error(report, abort_reason)
    reported = update_current(
        replace(invocation, last_failure=error if error is not None else invocation.last_failure),
        now,
        finished_at=now,
        outcome=report.outcome,
        final_output=report.final_output if report.short else None,
        abort_reason=abort_reason,
        error=error,
        retryable=report.retryable and wanted,
        infrastructure=report.infrastructure or abort_reason is AbortReason.INTERRUPTED,
    )
    if report.outcome is Outcome.SUCCEEDED:
        return end_with(reported, InvocationStatus.SUCCEEDED, now)
    if invocation.cancellation_requested_at is not None:
        return end_with(reported, InvocationStatus.CANCELLED, now)
    if abort_reason is AbortReason.TIMED_OUT or execution.stop_reason is AbortReason.TIMED_OUT:
        # The first generation's clients recognise a time-out by this time. The worker ends anyway: a stop does no harm.
        return end_with(request_stop(reported, AbortReason.TIMED_OUT, now), InvocationStatus.TIMED_OUT, now)
    return retry_or_fail(reported, hold_s=hold_s, jitter=jitter, now=now)


def _existing(invocation: Invocation, execution_id: str) -> Execution:
    execution = invocation.execution(execution_id)
    if execution is None:
        raise Refused(ErrorCode.EXECUTION_DOES_NOT_EXIST)
    return execution


def _abort_reason(
    invocation: Invocation, execution: Execution, report: FinishReport, now: datetime
) -> AbortReason | None:
    """Return why the code was interrupted, as far as the control plane's own records confirm it."""
    if report.outcome is not Outcome.ABORTED:
        return None
    if invocation.cancellation_requested_at is not None:
        return AbortReason.CANCELLED
    deadline = run_deadline(invocation)
    overdue = deadline is not None and now >= deadline
    if execution.stop_reason is AbortReason.TIMED_OUT or overdue or report.abort_reason is AbortReason.TIMED_OUT:
        return AbortReason.TIMED_OUT
    return AbortReason.INTERRUPTED


def _error(report: FinishReport, abort_reason: AbortReason | None) -> str | None:
    if report.outcome is Outcome.FAILED:
        return short(report.error_message or "failed without a message")
    if abort_reason is AbortReason.INTERRUPTED:
        return "the platform stopped the container"
    return None
