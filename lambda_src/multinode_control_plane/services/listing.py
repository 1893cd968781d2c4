"""The invocations of a function, newest first, page by page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from multinode_control_plane.core import offsets
from multinode_control_plane.core.keys import (
    Index,
    child_key,
    children_prefix,
    function_index_value,
    invocation_key,
)
from multinode_control_plane.core.records import FunctionKey, Invocation, ParentRef
from multinode_control_plane.services.context import Context
from multinode_control_plane.services.paging import position_of
from multinode_protocol.limits import MAX_PAGE
from multinode_protocol.status import InvocationStatus

MAX_ROWS = 300
"""How many rows one request reads. If few of them pass the filter, the page is short, and its offset continues."""


@dataclass(frozen=True, slots=True)
class ListingQuery:
    """`statuses` is empty for all; `terminated` asks for those that are terminated instead."""

    max_results: int
    offset: str | None
    statuses: frozenset[InvocationStatus]
    terminated: bool
    parent: ParentRef | None


@dataclass(frozen=True, slots=True)
class InvocationsPage:
    """`next_offset` is None on the last page. A page may be short, even empty, without being the last."""

    invocations: Sequence[Invocation]
    next_offset: str | None


def list_invocations(context: Context, key: FunctionKey, query: ListingQuery) -> InvocationsPage:
    """Return the function's invocations that match `query`, the most recently created first.

    The children of one parent are read strongly consistent; a function's list may lag behind the newest changes.
    Raises Refused(OFFSET_IS_INVALID).
    """
    listing = ("invocations", key, sorted(query.statuses), query.terminated, query.parent)
    start = None if query.offset is None else position_of(listing, query.offset, parts=1)[0]
    filtered = bool(query.statuses) or query.terminated
    rows = (
        _function_rows(context, key, start, at_once=(MAX_PAGE if filtered else query.max_results) + 1)
        if query.parent is None
        else _child_rows(context, query.parent.invocation_id, start)
    )
    found: list[Invocation] = []
    position: str | None = None
    for count, (place, invocation) in enumerate(rows):
        # Only a row beyond the page shows that there is more.
        if len(found) == query.max_results or count == MAX_ROWS:
            return InvocationsPage(found, offsets.pack(listing, (position,)))
        position = place
        if invocation is not None and invocation.function_key == key and _wanted(invocation, query):
            found.append(invocation)
    return InvocationsPage(found, None)


def _wanted(invocation: Invocation, query: ListingQuery) -> bool:
    if query.parent is not None and invocation.parent != query.parent:
        return False
    if not query.statuses and not query.terminated:
        return True
    return invocation.status in query.statuses or (query.terminated and invocation.terminated)


Row = tuple[str, Invocation | None]
"""The position of a row, after which the listing can continue, and its invocation."""


def _function_rows(context: Context, key: FunctionKey, start: str | None, *, at_once: int) -> Iterator[Row]:
    value = function_index_value(key)
    offset = None
    while True:
        page = context.store.list(
            Index.BY_FUNCTION, value, limit=at_once, offset=offset, newest_first=True, before=start
        )
        for stored in page.items:
            invocation = cast(Invocation, stored.record)
            yield invocation.queue_position, invocation
        offset = page.next_offset
        if offset is None:
            return


def _child_rows(context: Context, parent_id: str, start: str | None) -> Iterator[Row]:
    child_id = start
    while True:
        after = None if child_id is None else child_key(parent_id, child_id).sort
        links = context.store.query(children_prefix(parent_id), limit=MAX_PAGE + 1, after=after, newest_first=True)
        for link in links:
            child_id = link.record.child_invocation_id
            stored = context.store.get(invocation_key(child_id))
            yield child_id, None if stored is None else stored.record
        if len(links) <= MAX_PAGE:
            return
