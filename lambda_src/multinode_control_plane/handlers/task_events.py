"""The Lambda function behind the rule for task events: commits how containers ended.

It is called asynchronously. A call that raises is tried twice more and then becomes a dead letter; the sweep finds out
by itself how that container ended. An event that is delivered again changes nothing.
"""

from collections.abc import Mapping
from typing import Any

from multinode_control_plane.wiring import aws
from multinode_control_plane.wiring.start_up import at_start

_consumer = at_start(aws.task_event_consumer)


def handler(event: Mapping[str, Any], lambda_context: object) -> None:  # noqa: ARG001
    """The Lambda function's entry point. Raises StoreUnavailable, and ValueError if it is not a task event."""
    _consumer().consume(event)
