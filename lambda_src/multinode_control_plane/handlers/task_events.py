"""⑥ The Lambda function on the queue of task events: commits how containers fare.

EventBridge may also call it directly; an event that is brought again changes nothing.
"""

from collections.abc import Mapping
from typing import Any

from multinode_control_plane.wiring import aws
from multinode_control_plane.wiring.start_up import at_start

__all__ = ["handler"]

_consumer = at_start(aws.task_event_consumer)


def handler(event: Mapping[str, Any], lambda_context: object) -> dict[str, list[dict[str, str]]]:  # noqa: ARG001
    """The Lambda function's entry: returns `batchItemFailures`, the messages that the queue must bring again."""
    return _consumer().consume(event)
