"""The Lambda function on the table's stream: every committed change of an invocation becomes its side effects.

A batch that is brought again, whole or in part, changes nothing: every effect reads the present state first.
"""

from collections.abc import Mapping
from typing import Any

from multinode_control_plane.wiring import aws
from multinode_control_plane.wiring.start_up import at_start

_consumer = at_start(aws.stream_consumer)


def handler(event: Mapping[str, Any], lambda_context: object) -> dict[str, list[dict[str, str]]]:  # noqa: ARG001
    """The Lambda function's entry: returns `batchItemFailures`, from which on the stream brings its records again."""
    return _consumer().consume(event)
