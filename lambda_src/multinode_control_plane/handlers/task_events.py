"""The Lambda function that the rule of task events calls: commits how containers ended.

It is called asynchronously. What it raises is tried twice more and ends in the dead letters; the sweep finds by itself
what became of that container. An event that is brought again changes nothing.
"""

from collections.abc import Mapping
from typing import Any

from multinode_control_plane.wiring import aws
from multinode_control_plane.wiring.start_up import at_start

_consumer = at_start(aws.task_event_consumer)


def handler(event: Mapping[str, Any], lambda_context: object) -> None:  # noqa: ARG001
    """The Lambda function's entry. Raises ValueError for what is no task event, StoreUnavailable."""
    _consumer().consume(event)
