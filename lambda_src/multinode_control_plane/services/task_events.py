"""Committing how containers ended."""

from datetime import datetime

from multinode_control_plane.core import external_transitions
from multinode_control_plane.core.external_transitions import ContainerExit
from multinode_control_plane.core.records import Invocation, WorkerDetails
from multinode_control_plane.services import commit
from multinode_control_plane.services.context import Context


def container_ended(
    context: Context,
    invocation_id: str,
    execution_id: str,
    exit: ContainerExit,  # noqa: A002 - the platform's own word
    *,
    worker: WorkerDetails | None = None,
) -> Invocation | None:
    """Return the invocation after one of its containers has gone for good, or None if it no longer exists. Idempotent.

    This is the only way in which an execution ends: events, sweep and reactor all call it.
    """
    jitter = context.ids.jitter()

    def decide(invocation: Invocation, now: datetime) -> Invocation:
        return external_transitions.container_ended(
            invocation,
            execution_id,
            exit,
            worker=worker,
            max_lost_containers=context.limits.max_lost_containers,
            hold_s=context.limits.hold_retry_s,
            jitter=jitter,
            now=now,
        )

    return commit.change_if_present(context, invocation_id, decide)
