"""The platform's task events, as EventBridge sends them: one a call.

Events come more than once and in any order. That is the service's matter, which knows what it has seen; here each event
only finds its execution. An event of a task that is not ours says nothing.
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
    """Return what an EventBridge event tells; None for a task of somebody else's, or one that has not ended.

    Raises ValueError on what is no task event.
    """
    detail = event.get("detail")
    if event.get("detail-type") != DETAIL_TYPE or not isinstance(detail, Mapping) or "taskArn" not in detail:
        raise ValueError(f"no event of an ECS task: {event.get('detail-type')!r}")
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
    """Gives each event to `handle`, which may see it twice."""

    def __init__(self, handle: Callable[[TaskEvent], None]) -> None:
        self._handle = handle

    def consume(self, event: Mapping[str, Any]) -> None:
        """Handle an event, or pass it over. Raises what went wrong: Lambda then brings it again, twice."""
        found = task_event(event)
        if found is not None:
            self._handle(found)
