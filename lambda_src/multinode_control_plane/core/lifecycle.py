"""The state machine, first part: from creation to a launched container, and the rules that every transition shares.

Every transition takes an Invocation, the new facts and `now`, and returns the next Invocation (the same object when
nothing changes). In a state that can be reached it raises nothing but Refused, for a request that is not granted.
Slots and queue entries are not mentioned: they follow from the two states (see `services.commit`).

lifecycle               create · admit · launched · launch_refused · end_with · retry_or_fail · settle
worker_transitions      start · finish                    what the worker reports
external_transitions    container_ended · cancel · due    what the platform, the user and the clock cause
"""

import hashlib
from dataclasses import replace
from datetime import datetime

from multinode_control_plane.core.records import (
    Execution,
    FunctionSpec,
    Invocation,
    ParentRef,
    QueueName,
    Version,
    WorkerDetails,
    seconds,
)
from multinode_control_plane.core.retry import delay_after_failed_launch, delay_before_next
from multinode_protocol.status import AbortReason, InvocationStatus, WorkerStatus

SHORT_ERROR_CHARS = 500
SHORT_TEXT_BYTES = 128
"""Inputs and results up to this many bytes of UTF-8 are stored in the invocation's record, which saves a write and a
read. DynamoDB charges each step of an invocation by the KB, and a record with two such texts still takes one."""
REPAIR_AFTER_S = 60
"""How long an effect may take before the sweep asks for it again."""
LAUNCH_DEADLINE_S = 900
"""From the launch to the worker's start call; then the container is stopped, and the launch counts as failed."""
BACKSTOP_S = 5
"""The worker itself enforces time-out and grace; this long after both, the control plane stops the container."""


def create(
    version: Version,
    spec: FunctionSpec,
    *,
    invocation_id: str,
    parent: ParentRef | None,
    depth: int,
    input_text: str,
    now: datetime,
) -> Invocation:
    """Return a new invocation that waits for a slot. If its `input_text` is None, the input belongs in a Payload."""
    short_input = is_short(input_text)
    invocation = Invocation(
        invocation_id=invocation_id,
        project_name=version.project_name,
        version_id=version.version_id,
        function_name=spec.function_name,
        parent=parent,
        depth=depth,
        resource_spec=spec.resource_spec,
        execution_spec=spec.execution_spec,
        input_digest=None if short_input else _digest(input_text),
        status=InvocationStatus.PENDING,
        status_reason="",
        created_at=now,
        updated_at=now,
        waiting_in=QueueName.QUEUE,
        input_text=input_text if short_input else None,
    )
    return settle(invocation, now)


def has_input(invocation: Invocation, text: str) -> bool:
    """Return True when `text` is the invocation's input; a long input is compared by its digest."""
    if invocation.input_text is not None:
        return invocation.input_text == text
    return invocation.input_digest == _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def is_short(text: str) -> bool:
    """Return True when a user's text is short enough for the invocation's own record."""
    return len(text.encode()) <= SHORT_TEXT_BYTES


def admit(invocation: Invocation, execution_id: str, now: datetime) -> Invocation:
    """Return the invocation with a new execution that holds a slot; unchanged if it is not waiting for one."""
    if invocation.waiting_in is not QueueName.QUEUE:
        return invocation
    execution = Execution(
        execution_id=execution_id,
        attempt=invocation.attempts + 1,
        worker_status=WorkerStatus.PENDING,
        created_at=now,
        updated_at=now,
        not_before=invocation.retry_at,
    )
    admitted = replace(invocation, executions=(*invocation.executions, execution), waiting_in=None, retry_at=None)
    return settle(admitted, now)


def launched(invocation: Invocation, execution_id: str, worker: WorkerDetails, now: datetime) -> Invocation:
    """Return the invocation with the container known; the worker's own start call may have come first."""
    execution = invocation.execution(execution_id)
    if execution is None or not execution.open or execution.container is not None:
        return invocation
    status = WorkerStatus.PROVISIONING if execution.worker_status is WorkerStatus.PENDING else execution.worker_status
    return update_current(invocation, now, worker=worker, worker_status=status, launched_at=now, launch_after=None)


def launch_refused(
    invocation: Invocation,
    execution: Execution,
    reason: str,
    *,
    permanent: bool,
    max_refused_launches: int,
    jitter: float,
    now: datetime,
) -> Invocation:
    """Return the invocation after the backend started no container for this launch attempt.

    The execution keeps its slot and tries again after a backoff, with a new token; at the end of the budget, or when
    another try cannot help, it ends and the invocation with it. An answer to an older launch attempt changes nothing.
    """
    current = invocation.open_execution
    if (
        current is None
        or current.execution_id != execution.execution_id
        or current.launch_attempt != execution.launch_attempt
        or current.worker_status is not WorkerStatus.PENDING
    ):
        return invocation
    invocation = replace(invocation, failed_launches=invocation.failed_launches + 1, last_failure=short(reason))
    exhausted = permanent or invocation.failed_launches >= max_refused_launches
    if exhausted or current.termination_signal_at is not None or invocation.status.finished:
        gone = update_current(invocation, now, worker_status=WorkerStatus.TERMINATED, terminated_at=now)
        return fail_launch(gone, exhausted=exhausted, jitter=jitter, now=now)
    delay_s = delay_after_failed_launch(invocation.failed_launches, jitter)
    return update_current(
        invocation, now, launch_attempt=current.launch_attempt + 1, launch_after=now + seconds(delay_s)
    )


def fail_launch(invocation: Invocation, *, exhausted: bool, jitter: float, now: datetime) -> Invocation:
    """Return what follows when an execution has gone before its code started: a new launch, or the end.

    `invocation.failed_launches` and `last_failure` tell of it already. `exhausted`: another try cannot or may not be.
    """
    if invocation.status.finished:
        return settle(invocation, now)
    if invocation.cancellation_requested_at is not None:
        return end_with(invocation, InvocationStatus.CANCELLED, now)
    if exhausted:
        return end_with(invocation, InvocationStatus.FAILED, now)
    delay_s = delay_after_failed_launch(invocation.failed_launches, jitter)
    return queue_again(invocation, now + seconds(delay_s), hold_s=0, now=now)


def retry_or_fail(invocation: Invocation, *, hold_s: float, jitter: float, now: datetime) -> Invocation:
    """Return what follows a failed attempt; while its container exists, only the final status if it was the last.

    A retry begins only after the old container is known to be gone, so two attempts never overlap.
    """
    current = invocation.executions[-1]
    spec = invocation.execution_spec
    if not current.retryable or invocation.attempts > spec.max_retries:
        return end_with(invocation, InvocationStatus.FAILED, now)
    if current.open:
        return settle(invocation, now)
    delay_s = delay_before_next(spec.retry, invocation.failed_attempts, jitter)
    failed_at = current.finished_at or now
    return queue_again(invocation, failed_at + seconds(delay_s), hold_s=hold_s, now=now)


def queue_again(invocation: Invocation, at: datetime, *, hold_s: float, now: datetime) -> Invocation:
    """Return the invocation waiting for its next execution, whose code does not start before `at`.

    Up to `hold_s` seconds ahead it takes a slot at once and its worker waits, so that start-up overlaps the delay.
    """
    if at - now <= seconds(hold_s):
        return settle(replace(invocation, waiting_in=QueueName.QUEUE, retry_at=at if at > now else None), now)
    return settle(replace(invocation, waiting_in=QueueName.BACKOFF, retry_at=at), now)


def end_with(invocation: Invocation, status: InvocationStatus, now: datetime) -> Invocation:
    """Return the invocation with this final status; an invocation that already has one keeps it."""
    if invocation.status.finished:
        return settle(invocation, now)
    cascade = invocation.has_children and status is not InvocationStatus.SUCCEEDED
    ended = replace(
        invocation,
        status=status,
        finished_at=now,
        waiting_in=None,
        retry_at=None,
        cascade_pending=invocation.cascade_pending or cascade,
    )
    return settle(ended, now)


def request_stop(invocation: Invocation, reason: AbortReason | None, now: datetime) -> Invocation:
    """Return the invocation with its open execution told to stop, unchanged without one. The first reason stays."""
    current = invocation.open_execution
    if current is None or current.termination_signal_at is not None:
        return invocation
    return update_current(invocation, now, termination_signal_at=now, stop_reason=reason)


def cascade_done(invocation: Invocation, now: datetime) -> Invocation:
    """Return the invocation after all its subtasks have been told to end."""
    return settle(replace(invocation, cascade_pending=False), now) if invocation.cascade_pending else invocation


def update_current(invocation: Invocation, now: datetime, **changes: object) -> Invocation:
    """Return the invocation with fields of its newest execution replaced."""
    current = replace(invocation.executions[-1], updated_at=now, **changes)  # type: ignore[arg-type]
    return settle(replace(invocation, executions=(*invocation.executions[:-1], current)), now)


def settle(invocation: Invocation, now: datetime) -> Invocation:
    """Return the invocation with everything that follows from its state: its status reason, and when it is due."""
    return replace(invocation, status_reason=_reason(invocation), due_at=_due_at(invocation, now), updated_at=now)


def queue_deadline(invocation: Invocation) -> datetime | None:
    """Return when the invocation has waited too long for its first start; None without a limit, or once started."""
    max_queue_s = invocation.execution_spec.max_queue_s
    if max_queue_s is None or invocation.attempts or invocation.status.finished:
        return None
    return invocation.created_at + seconds(max_queue_s)


def run_deadline(invocation: Invocation) -> datetime | None:
    """Return when the running code will have used up its time-out; None if no code is running."""
    current = invocation.open_execution
    if current is None or not current.running_code or current.started_at is None:
        return None
    return current.started_at + seconds(invocation.execution_spec.timeout_s)


def stop_deadline(invocation: Invocation, run_until: datetime) -> datetime:
    """Return when the control plane stops a container whose worker should have ended after time-out and grace."""
    return run_until + seconds(invocation.execution_spec.grace_s + BACKSTOP_S)


def launch_deadline(execution: Execution) -> datetime | None:
    """Return when the code of a launched execution must have started; None before the launch."""
    if execution.launched_at is None:
        return None
    return max(execution.launched_at, execution.not_before or execution.launched_at) + seconds(LAUNCH_DEADLINE_S)


def waiting_reason(invocation: Invocation, taken: int | None = None) -> str:
    """Return what an invocation in the queue waits for; `taken`: how many of its function's slots are, if known."""
    most = invocation.resource_spec.max_concurrency
    slots = "" if taken is None else f": {taken} of {most} running"
    again = f"; attempt {invocation.attempts + 1} is next, after: {invocation.last_failure}"
    return f"waiting for a free slot{slots}{again if invocation.last_failure else ''}"


def short(text: str) -> str:
    """Return `text` cut to what the invocation's own record may hold."""
    return text if len(text) <= SHORT_ERROR_CHARS else text[: SHORT_ERROR_CHARS - 1] + "…"


def _due_at(invocation: Invocation, now: datetime) -> datetime | None:
    """Return when the sweep must look at it at the latest: at its next deadline, or to check for a lost effect."""
    candidates = [queue_deadline(invocation), _waiting_due_at(invocation, now), _execution_due_at(invocation, now)]
    if invocation.cascade_pending:
        candidates.append(now + seconds(REPAIR_AFTER_S))
    return min((at for at in candidates if at is not None), default=None)


def _waiting_due_at(invocation: Invocation, now: datetime) -> datetime | None:
    if invocation.waiting_in is QueueName.BACKOFF:
        return invocation.retry_at
    if invocation.waiting_in is QueueName.QUEUE:
        # The longer it has waited, the less often it is checked: a long queue costs the sweep next to nothing.
        return now + max(seconds(REPAIR_AFTER_S), now - invocation.created_at)
    return None


def _execution_due_at(invocation: Invocation, now: datetime) -> datetime | None:
    current = invocation.open_execution
    if current is None:
        return None
    if current.termination_signal_at is not None or current.reported:
        return now + seconds(REPAIR_AFTER_S)
    deadline = run_deadline(invocation)
    if deadline is not None:
        backstop = stop_deadline(invocation, deadline)
        return backstop if current.container is not None else min(backstop, now + seconds(REPAIR_AFTER_S))
    if current.launched_at is not None:
        return launch_deadline(current)
    repair_at = now + seconds(REPAIR_AFTER_S)
    return current.launch_after if current.launch_after is not None and current.launch_after > now else repair_at


def _reason(invocation: Invocation) -> str:
    current = invocation.open_execution
    if invocation.status.finished:
        ending = _ending_reason(invocation)
        if current is None:
            return ending
        return f"{ending}; its container is stopping" if ending else "its container is stopping"
    if invocation.status is InvocationStatus.CANCELLING:
        return f"stopping: {invocation.cancellation_cause}"
    attempt = invocation.attempts + 1
    after = f" after: {invocation.last_failure}" if invocation.last_failure else ""
    if current is None:
        if invocation.waiting_in is QueueName.BACKOFF and invocation.retry_at is not None:
            return f"waiting until {invocation.retry_at:%Y-%m-%d %H:%M:%S} UTC to launch attempt {attempt}{after}"
        return waiting_reason(invocation)
    return _execution_reason(invocation, current, after)


def _execution_reason(invocation: Invocation, current: Execution, after: str) -> str:
    if current.reported:
        return f"attempt {current.attempt} failed: {current.error}; trying again once its container has gone"
    if current.stop_reason is AbortReason.TIMED_OUT:
        return f"stopping: it ran longer than its time-out of {invocation.execution_spec.timeout_s} s"
    if current.termination_signal_at is not None:
        return f"stopping the container of attempt {current.attempt}{after}"
    if current.started_at is not None:
        return f"running attempt {current.attempt} of at most {invocation.execution_spec.max_retries + 1}"
    if current.launch_after is not None:
        return f"launching attempt {current.attempt} again at {current.launch_after:%H:%M:%S} UTC{after}"
    if current.worker_status is WorkerStatus.PROVISIONING:
        return f"starting the container of attempt {current.attempt}{after}"
    return f"launching attempt {current.attempt}{after}"


def _ending_reason(invocation: Invocation) -> str:
    match invocation.status:
        case InvocationStatus.CANCELLED:
            return invocation.cancellation_cause or "cancelled"
        case InvocationStatus.TIMED_OUT if not invocation.attempts:
            return f"it waited longer than its max_queue_time of {invocation.execution_spec.max_queue_s} s"
        case InvocationStatus.TIMED_OUT:
            return f"it ran longer than its time-out of {invocation.execution_spec.timeout_s} s"
        case InvocationStatus.FAILED:
            return invocation.last_failure or "failed"
        case _:
            return ""
