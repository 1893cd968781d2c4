"""The Lambda function on the table's stream: performs the side effects of every committed change of an invocation.

A batch that is delivered again, whole or in part, changes nothing: every effect reads the current state first.
"""

from collections.abc import Mapping
from typing import Any

from multinode_control_plane.wiring import aws
from multinode_control_plane.wiring.start_up import at_start

_consumer = at_start(aws.stream_consumer)


def handler(event: Mapping[str, Any], lambda_context: object) -> dict[str, list[dict[str, str]]]:  # noqa: ARG001
    """The Lambda function's entry point: returns `batchItemFailures`, the record from which the stream redelivers."""
    return _consumer().consume(event)
