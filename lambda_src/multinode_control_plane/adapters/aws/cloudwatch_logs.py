"""The log lines of containers, from CloudWatch Logs: one stream per execution.

The whole account may call `GetLogEvents` 10 to 25 times a second: each read makes as few calls as it can, and the
client backs off when it is throttled.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.core import offsets
from multinode_control_plane.core.records import Execution
from multinode_control_plane.ports import Clock, LogsPage, StoreUnavailable
from multinode_protocol.messages import LogLine

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import GetLogEventsResponseTypeDef, OutputLogEventTypeDef

MOST_EVENTS = 10_000
"""One call returns at most this many."""
MOST_CALLS = 5
"""Calls of one read: pages may be empty without being the last."""
SETTLED_AFTER = timedelta(seconds=5)
"""A container's last lines may appear some seconds after its end."""
THROTTLED = ("ThrottlingException", "LimitExceededException", "ServiceUnavailableException")
_TAG_CHARS = 12
_STREAMS = ("stdout", "stderr", "worker")


class CloudWatchLogs:
    """See `ports.Logs`. `read` raises StoreUnavailable while CloudWatch throttles: the client then tries again."""

    def __init__(self, clients: Clients, log_group: str, clock: Clock) -> None:
        self._clients = clients
        self._log_group = log_group
        self._clock = clock

    def read(self, execution: Execution, *, limit: int, offset: str | None = None, tail: bool = False) -> LogsPage:
        stream = _stream_of(execution)
        token = None if offset is None else offsets.unpack(_listing(execution), offset, parts=1)[0]
        if stream is None:
            return LogsPage((), None, at_end=self._is_settled(execution))
        try:
            if tail and token is None:
                events, token = self._last(stream, limit)
                at_end = True
            else:
                events, token, at_end = self._after(stream, limit, token)
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                return LogsPage((), None, at_end=self._is_settled(execution))
            if _code(error) in THROTTLED:
                raise StoreUnavailable(f"CloudWatch Logs is asked too often: {error}") from error
            raise
        lines = [_line(event, execution) for event in events]
        return LogsPage(lines, offsets.pack(_listing(execution), (token,)), at_end and self._is_settled(execution))

    def delete(self, execution: Execution) -> None:
        stream = _stream_of(execution)
        if stream is None:
            return
        try:
            self._clients.logs.delete_log_stream(logGroupName=self._log_group, logStreamName=stream)
        except ClientError as error:
            if _code(error) != "ResourceNotFoundException":
                raise

    def _after(self, stream: str, limit: int, token: str | None) -> "tuple[Sequence[OutputLogEventTypeDef], str, bool]":
        """Return events after `token` (None: from the first), the next token, and whether those were all."""
        events: list[OutputLogEventTypeDef] = []
        for _ in range(MOST_CALLS):
            answer = self._get(stream, limit - len(events), token, from_head=True)
            events += answer["events"]
            # At the end, CloudWatch returns the token that it was given.
            at_end = answer["nextForwardToken"] == token
            token = answer["nextForwardToken"]
            if at_end or len(events) >= limit:
                return events, token, at_end
        return events, cast(str, token), False

    def _last(self, stream: str, limit: int) -> "tuple[Sequence[OutputLogEventTypeDef], str]":
        """Return the last `limit` events, and where new ones will follow."""
        answer = self._get(stream, limit, None, from_head=False)
        events, forward = answer["events"], answer["nextForwardToken"]
        for _ in range(MOST_CALLS - 1):
            back = answer["nextBackwardToken"]
            if len(events) >= limit:
                break
            answer = self._get(stream, limit - len(events), back, from_head=False)
            events = [*answer["events"], *events]
            if answer["nextBackwardToken"] == back:
                break
        return events, forward

    def _get(self, stream: str, limit: int, token: str | None, *, from_head: bool) -> "GetLogEventsResponseTypeDef":
        arguments: dict[str, Any] = {} if token is None else {"nextToken": token}
        try:
            return self._clients.logs.get_log_events(
                logGroupName=self._log_group,
                logStreamName=stream,
                limit=max(1, min(limit, MOST_EVENTS)),
                startFromHead=from_head,
                **arguments,
            )
        except ClientError as error:
            if token is not None and _code(error) == "InvalidParameterException":
                raise ValueError("the offset does not come from these logs, or it is older than a day") from error
            raise

    def _is_settled(self, execution: Execution) -> bool:
        ended_at = execution.terminated_at
        return ended_at is None or self._clock.now() - ended_at > SETTLED_AFTER


def _stream_of(execution: Execution) -> str | None:
    return execution.worker.logs_identifier or None if execution.worker is not None else None


def _line(event: "OutputLogEventTypeDef", execution: Execution) -> LogLine:
    """Return a log line. A line that is not the worker's JSON was written without it, for example by a failed start."""
    message = event.get("message", "")
    timestamp_ms, stream, text = event.get("timestamp", 0), "worker", message
    try:
        data = json.loads(message)
    except (json.JSONDecodeError, RecursionError):
        data = None
    if isinstance(data, dict) and isinstance(data.get("m"), str):
        text = data["m"]
        timestamp_ms = data["t"] if isinstance(data.get("t"), int) else timestamp_ms
        stream = data["s"] if data.get("s") in _STREAMS else stream
    return LogLine(
        timestamp_ms=timestamp_ms,
        execution_id=execution.execution_id,
        attempt=execution.attempt,
        stream=stream,
        message=text,
    )


def _listing(execution: Execution) -> tuple[str, str]:
    return "CloudWatch logs", execution.execution_id


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]
