"""Query strings to values, checked like bodies: raises Refused like `api.validation`."""

import re
from collections.abc import Mapping

from multinode_control_plane.api.fields import shown
from multinode_control_plane.api.validation import parent_ref
from multinode_control_plane.core.errors import invalid
from multinode_control_plane.services.details import WaitQuery
from multinode_control_plane.services.listing import ListingQuery
from multinode_control_plane.services.log_reading import ExecutionLogsQuery, LogsQuery
from multinode_protocol import limits
from multinode_protocol.status import InvocationStatus

Query = Mapping[str, str]

TERMINATED = "TERMINATED"
"""The first generation's word for every final status, once no container is left."""


def listing_query(query: Query) -> ListingQuery:
    """Return what to list. A page never has more than MAX_PAGE results, so a larger `max_results` means MAX_PAGE.

    Raises Refused: PARENT_FUNCTION_NAME_IS_MISSING, PARENT_INVOCATION_ID_IS_MISSING if only one of the two is given.
    """
    function_name, invocation_id = _given(query, "parent_function_name"), _given(query, "parent_invocation_id")
    no_parent = function_name is None and invocation_id is None
    words = [word for word in query.get("status", "").split(",") if word]
    allowed = [*InvocationStatus, TERMINATED]
    for word in words:
        if word not in allowed:
            raise invalid("status", f"is {shown(word)}", f"{', '.join(allowed)}, or several with commas between")
    return ListingQuery(
        max_results=min(_whole(query, "max_results", least=1, default=limits.MAX_PAGE), limits.MAX_PAGE),
        offset=_given(query, "initial_offset"),
        statuses=frozenset(InvocationStatus(word) for word in words if word != TERMINATED),
        terminated=TERMINATED in words,
        parent=None if no_parent else parent_ref(function_name, invocation_id),
    )


def wait_query(query: Query) -> WaitQuery:
    """Return what to wait for; without `wait_s`, for nothing."""
    until = _given(query, "until")
    if until not in (None, "finished"):
        raise invalid("until", f"is {shown(until)}", "finished")
    return WaitQuery(_wait_s(query), _given(query, "since"), until is not None)


def execution_logs_query(query: Query) -> ExecutionLogsQuery:
    """Return which lines of one execution to read."""
    return ExecutionLogsQuery(_max_lines(query), _given(query, "initial_offset"))


def logs_query(query: Query) -> LogsQuery:
    """Return which lines of an invocation to read."""
    tail = _whole(query, "tail", least=0, default=0) if _given(query, "tail") is not None else None
    offset = _given(query, "offset")
    if tail is not None and offset is not None:
        raise invalid("tail", "comes with `offset`", "one of the two")
    return LogsQuery(
        max_lines=_max_lines(query),
        offset=offset,
        tail=None if tail is None else min(tail, limits.MAX_LOG_LINES),
        since_ms=_whole(query, "since_ms", least=0, default=0),
        execution_id=_given(query, "execution_id"),
        wait_s=_wait_s(query),
    )


def _max_lines(query: Query) -> int:
    return min(_whole(query, "max_lines", least=1, default=1000), limits.MAX_LOG_LINES)


def _given(query: Query, name: str) -> str | None:
    """Return the parameter; an empty one counts as not given."""
    return query.get(name) or None


def _whole(query: Query, name: str, *, least: int, default: int) -> int:
    text = _given(query, name)
    if text is None:
        return default
    if re.fullmatch(r"[0-9]{1,15}", text) is None or int(text) < least:
        raise invalid(name, f"is {shown(text)}", f"a whole number, {least} or more")
    return int(text)


def _wait_s(query: Query) -> float:
    """Return how long to wait; more than MAX_WAIT_S means MAX_WAIT_S."""
    text = _given(query, "wait_s")
    if text is None:
        return 0.0
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) is None:
        raise invalid("wait_s", f"is {shown(text)}", f"a number of seconds from 0 to {limits.MAX_WAIT_S}")
    return min(float(text), limits.MAX_WAIT_S)
