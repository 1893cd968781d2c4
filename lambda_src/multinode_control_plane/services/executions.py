"""The reports of workers: the start, the progress and the end of an execution's code."""

from collections.abc import Sequence
from datetime import datetime

from multinode_control_plane.core import worker_transitions
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.keys import invocation_key, output_key
from multinode_control_plane.core.records import Invocation, Output, WorkerDetails
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.ports import ABSENT, Put, Stored, Write
from multinode_control_plane.services import commit
from multinode_control_plane.services.context import Context, commit_with_retries
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.status import InvocationStatus


def start(
    context: Context,
    invocation_id: str,
    execution_id: str,
    *,
    worker_nonce: str | None,
    worker_identifier: str | None = None,
) -> Invocation:
    """Return the invocation with its code started: the worker may run it. The same nonce gets the same answer again.

    `worker_identifier`: the container as the worker itself knows it, shown until the platform reports it.
    Raises Refused: INVOCATION_, EXECUTION_DOES_NOT_EXIST, EXECUTION_HAS_ALREADY_STARTED, _IS_ALREADY_TERMINATED (also
    when this invocation or one above it is being cancelled or has ended, or has waited too long).
    """

    worker = None if worker_identifier is None else _worker(worker_identifier)

    def decide(invocation: Invocation, now: datetime) -> Invocation:
        started = worker_transitions.start(invocation, execution_id, worker_nonce=worker_nonce, worker=worker, now=now)
        if started is not invocation and started.status is InvocationStatus.RUNNING:
            _refuse_below_an_ended_ancestor(context, invocation)
        return started

    started = commit.change(context, invocation_id, decide)
    if started.status is InvocationStatus.TIMED_OUT and started.executions[-1].started_at is None:
        raise Refused(ErrorCode.EXECUTION_IS_ALREADY_TERMINATED)
    return started


def _worker(identifier: str) -> WorkerDetails:
    """Return the container that a worker says it is. Without `logs_identifier`, nothing acts on it."""
    return WorkerDetails("AWS_ECS" if identifier.startswith("arn:") else "TEST", identifier, "")


def _refuse_below_an_ended_ancestor(context: Context, invocation: Invocation) -> None:
    """Raise Refused if an ancestor was cancelled or failed: the cascade may not have reached this invocation yet."""
    parent = invocation.parent
    while parent is not None:
        stored = context.store.get(invocation_key(parent.invocation_id))
        if stored is None:
            return
        ancestor = stored.record
        ended = ancestor.status.finished and ancestor.status is not InvocationStatus.SUCCEEDED
        if ended or ancestor.cancellation_requested_at is not None:
            raise Refused(ErrorCode.EXECUTION_IS_ALREADY_TERMINATED)
        parent = ancestor.parent


def update(context: Context, invocation_id: str, execution_id: str, *, text: str, sequence: int | None) -> Invocation:
    """Return the invocation after its newest progress was stored; an older `sequence` changes nothing.

    Without a sequence number the value counts as the newest. Raises Refused: INVOCATION_,
    EXECUTION_DOES_NOT_EXIST, EXECUTION_HAS_NOT_STARTED, _HAS_ALREADY_FINISHED, _IS_ALREADY_TERMINATED.
    """

    def attempt() -> Invocation:
        invocation = commit.load(context, invocation_id).record
        worker_transitions.progress_allowed(invocation, execution_id)
        stored = context.store.get(output_key(invocation_id, execution_id))
        newest = 0 if stored is None else stored.record.sequence
        number = newest + 1 if sequence is None else sequence
        if number <= newest or (stored is not None and stored.record.final):
            return invocation
        output = Output(invocation_id, execution_id, number, text)
        context.store.commit([Put(output, ABSENT if stored is None else stored.version)])
        return invocation

    return commit_with_retries(context, attempt)


def finish(context: Context, invocation_id: str, execution_id: str, report: FinishReport) -> Invocation:
    """Return the invocation after its code has ended; the same outcome again changes nothing, another is refused.

    Raises Refused: INVOCATION_, EXECUTION_DOES_NOT_EXIST, EXECUTION_HAS_NOT_STARTED, _HAS_ALREADY_FINISHED,
    _IS_ALREADY_TERMINATED.
    """
    jitter = context.ids.jitter()

    def decide(invocation: Invocation, now: datetime) -> Invocation:
        hold_s = context.limits.hold_retry_s
        return worker_transitions.finish(invocation, execution_id, report, hold_s=hold_s, jitter=jitter, now=now)

    def also() -> Sequence[Write]:
        if report.short:
            return []
        stored = context.store.get(output_key(invocation_id, execution_id))
        return [_final_output(stored, invocation_id, execution_id, report)]

    return commit.change(context, invocation_id, decide, also=also)


def _final_output(stored: Stored[Output] | None, invocation_id: str, execution_id: str, report: FinishReport) -> Write:
    """Return the write that stores the code's result; without a final value, the last progress is kept."""
    progress = None if stored is None else stored.record.text
    output = Output(
        invocation_id,
        execution_id,
        sequence=0 if stored is None else stored.record.sequence,
        text=progress if report.final_output is None else report.final_output,
        final=True,
        error_message=report.error_message,
        error_type=report.error_type,
        error_traceback=report.error_traceback,
    )
    return Put(output, ABSENT if stored is None else stored.version)
