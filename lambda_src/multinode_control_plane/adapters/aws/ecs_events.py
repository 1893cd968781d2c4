"""The platform's task events, as EventBridge sends them: one per call.

Events come more than once and in any order, which `services.task_events` handles. Here, each event is only matched to
its execution; an event about a task that is not ours is ignored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from multinode_control_plane.adapters.aws.task_exit import (
    Task,
    container_exit,
    execution_id_of,
    invocation_id_of,
    is_stopped,
    worker_of,
)
from multinode_control_plane.core.external_transitions import ContainerExit
from multinode_control_plane.core.records import WorkerDetails

DETAIL_TYPE = "ECS Task State Change"


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One container has ended."""

    execution_id: str
    invocation_id: str
    worker: WorkerDetails
    exit: ContainerExit


def task_event(event: Mapping[str, Any]) -> TaskEvent | None:
    """Return what an EventBridge event says; None for a task that is not ours, or has not ended.

    Raises ValueError if it is not a task event.
    """
    detail = event.get("detail")
    if event.get("detail-type") != DETAIL_TYPE or not isinstance(detail, Mapping) or "taskArn" not in detail:
        raise ValueError(f"not an event about an ECS task: {event.get('detail-type')!r}")
    task = cast(Task, detail)
    execution_id, invocation_id = execution_id_of(task), invocation_id_of(task)
    if execution_id is None or invocation_id is None or not is_stopped(task):
        return None
    return TaskEvent(
        execution_id=execution_id,
        invocation_id=invocation_id,
        worker=worker_of(str(task["taskArn"])),
        exit=container_exit(task),
    )


class TaskEventConsumer:
    """Passes each event to `handle`, which may see it twice."""

    def __init__(self, handle: Callable[[TaskEvent], None]) -> None:
        self._handle = handle

    def consume(self, event: Mapping[str, Any]) -> None:
        """Handle an event, or ignore it. Raises what went wrong; Lambda then delivers it up to twice more."""
        found = task_event(event)
        if found is not None:
            self._handle(found)
