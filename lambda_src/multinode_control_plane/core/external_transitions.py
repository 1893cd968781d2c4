"""The state machine, third part: transitions that the platform, the user and the clock cause."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from multinode_control_plane.core.lifecycle import (
    end_with,
    fail_launch,
    launch_deadline,
    queue_deadline,
    request_stop,
    retry_or_fail,
    run_deadline,
    settle,
    short,
    stop_deadline,
    update_current,
)
from multinode_control_plane.core.records import Execution, Invocation, QueueName, WorkerDetails
from multinode_protocol.status import AbortReason, InvocationStatus, Outcome, WorkerStatus


class ExitKind(StrEnum):
    """What ended a container."""

    EXITED = "EXITED"
    """Its program ended by itself; see `exit_code`."""
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    STOPPED = "STOPPED"
    """We stopped it."""
    START_FAILED = "START_FAILED"
    """It never ran: image, network, secrets. `permanent` says that another try cannot help."""
    INTERRUPTED = "INTERRUPTED"
    """The platform took it away: Spot, retirement, host failure, or an unknown cause."""


@dataclass(frozen=True, slots=True)
class ContainerExit:
    """How a container ended. `reason` is a phrase for the user; `exit_code` is None if the platform gave none."""

    kind: ExitKind
    reason: str
    exit_code: int | None = None
    permanent: bool = False


def container_ended(
    invocation: Invocation,
    execution_id: str,
    exit: ContainerExit,  # noqa: A002 - the platform's own word
    *,
    worker: WorkerDetails | None,
    max_lost_containers: int,
    hold_s: float,
    jitter: float,
    now: datetime,
) -> Invocation:
    """Return the invocation after one of its containers has gone for good, without its slot.

    An event about another execution's container, or about an execution that has ended, changes nothing. What the worker
    reported stands; without a report, the exit decides.
    """
    execution = invocation.execution(execution_id)
    if execution is None or not execution.open or _foreign(execution, worker):
        return invocation
    gone: dict[str, object] = {
        "worker_status": WorkerStatus.TERMINATED,
        "terminated_at": now,
        "worker": execution.container or worker or execution.worker,
        "launch_after": None,
    }
    if execution.started_at is None:
        counted = replace(
            invocation,
            failed_launches=invocation.failed_launches + 1,
            lost_containers=invocation.lost_containers + 1,
            last_failure=short(_exit_text(exit)),
        )
        return fail_launch(
            update_current(counted if not invocation.status.finished else invocation, now, **gone),
            exhausted=exit.permanent or counted.lost_containers >= max_lost_containers,
            jitter=jitter,
            now=now,
        )
    if execution.reported:
        ended = update_current(invocation, now, **gone)
        if ended.status.finished:
            return ended
        if ended.cancellation_requested_at is not None:
            return end_with(ended, InvocationStatus.CANCELLED, now)
        return retry_or_fail(ended, hold_s=hold_s, jitter=jitter, now=now)
    return _lost(invocation, exit, gone, hold_s=hold_s, jitter=jitter, now=now)


def _foreign(execution: Execution, worker: WorkerDetails | None) -> bool:
    """Return True for a container that is not the one this execution runs in."""
    known = execution.container
    return worker is not None and known is not None and worker.identifier != known.identifier


def _lost(
    invocation: Invocation,
    exit: ContainerExit,  # noqa: A002
    gone: dict[str, object],
    *,
    hold_s: float,
    jitter: float,
    now: datetime,
) -> Invocation:
    """Return the invocation whose container ended after its code started, without a report."""
    execution = invocation.executions[-1]
    if invocation.cancellation_requested_at is not None:
        ended = update_current(invocation, now, outcome=Outcome.ABORTED, abort_reason=AbortReason.CANCELLED, **gone)
        return end_with(ended, InvocationStatus.CANCELLED, now)
    if execution.stop_reason is AbortReason.TIMED_OUT:
        ended = update_current(invocation, now, outcome=Outcome.ABORTED, abort_reason=AbortReason.TIMED_OUT, **gone)
        return end_with(ended, InvocationStatus.TIMED_OUT, now)
    error = short(_exit_text(exit))
    ended = update_current(
        replace(invocation, last_failure=error),
        now,
        outcome=Outcome.FAILED,
        error=error,
        infrastructure=True,
        **gone,
    )
    return retry_or_fail(ended, hold_s=hold_s, jitter=jitter, now=now)


def _exit_text(exit: ContainerExit) -> str:  # noqa: A002
    if exit.kind is ExitKind.OUT_OF_MEMORY:
        return f"OutOfMemory: {exit.reason}"
    if exit.exit_code not in (None, 0):
        return f"{exit.reason} (exit code {exit.exit_code})"
    return exit.reason


def cancel(invocation: Invocation, cause: str, now: datetime) -> Invocation:
    """Return the invocation being cancelled; unchanged if it is finished or is already being cancelled.

    If none of its code is running, it is CANCELLED at once, and none will start. Otherwise the code is stopped first.
    """
    if invocation.status.finished or invocation.cancellation_requested_at is not None:
        return invocation
    current = invocation.open_execution
    asked = replace(
        invocation,
        cancellation_requested_at=now,
        cancellation_cause=cause,
        cascade_pending=invocation.has_children,
    )
    asked = request_stop(asked, AbortReason.CANCELLED, now)
    if current is not None and current.running_code:
        return settle(replace(asked, status=InvocationStatus.CANCELLING), now)
    return end_with(asked, InvocationStatus.CANCELLED, now)


def due(invocation: Invocation, now: datetime) -> Invocation:
    """Return the invocation after its expired deadlines took effect, with one more nudge for the reactor.

    The nudge makes the reactor perform again what the state calls for: a lost launch, stop, admission or cascade.
    Unchanged if it is not due.
    """
    if invocation.due_at is None or now < invocation.due_at:
        return invocation
    nudged = replace(invocation, nudges=invocation.nudges + 1)
    deadline = queue_deadline(nudged)
    if deadline is not None and now >= deadline:
        return end_with(request_stop(nudged, AbortReason.TIMED_OUT, now), InvocationStatus.TIMED_OUT, now)
    if nudged.waiting_in is QueueName.BACKOFF:
        return settle(replace(nudged, waiting_in=QueueName.QUEUE, retry_at=None), now)
    deadline = run_deadline(nudged)
    if deadline is not None and now >= stop_deadline(nudged, deadline):
        nudged = request_stop(nudged, AbortReason.TIMED_OUT, now)
    current = nudged.open_execution
    if current is not None and current.reported:
        nudged = request_stop(nudged, None, now)
    if current is not None and current.started_at is None:
        deadline = launch_deadline(current)
        if deadline is not None and now >= deadline:
            nudged = request_stop(nudged, AbortReason.INTERRUPTED, now)
    return settle(nudged, now)
