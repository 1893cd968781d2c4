"""The Lambda function that EventBridge rules and schedules call: starts the function that the event asks for.

It is called asynchronously. A call that raises is tried twice more and then becomes a dead letter, with the reason. An
event that is delivered again leads to the same invocation id, and starts nothing twice.
"""

import logging
from collections.abc import Mapping
from typing import Any

from multinode_control_plane.wiring import aws
from multinode_control_plane.wiring.start_up import at_start

logger = logging.getLogger(__name__)

_trigger = at_start(aws.trigger)


def handler(event: Mapping[str, Any], lambda_context: object) -> dict[str, str]:  # noqa: ARG001
    """The Lambda function's entry point: returns the ids of the invocation. Raises EventIsInvalid, NotStarted."""
    invocation = _trigger()(event)
    started = {"invocation_id": invocation.invocation_id, "version_id": invocation.version_id}
    logger.info("started %s/%s: %s", invocation.project_name, invocation.function_name, started)
    return started
