"""Walking through an index page by page, and the offsets that clients send back."""

from collections.abc import Iterator

from multinode_control_plane.core import offsets
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.keys import Index
from multinode_control_plane.core.records import Record
from multinode_control_plane.ports import Store, Stored
from multinode_protocol.error_codes import ErrorCode

PAGE = 100


def listed(
    store: Store, index: Index, value: str, *, before: str | None = None, limit: int | None = None
) -> Iterator[Stored[Record]]:
    """Yield at most `limit` records of an index, in its order; the index may lag behind the records.

    Pages are read as they are needed, so changes committed in between may or may not show.
    """
    offset: str | None = None
    left = limit
    while left is None or left > 0:
        page = store.list(index, value, limit=PAGE if left is None else min(PAGE, left), offset=offset, before=before)
        yield from page.items
        if page.next_offset is None:
            return
        offset = page.next_offset
        left = None if left is None else left - len(page.items)


def position_of(listing: tuple[object, ...], offset: str, *, parts: int) -> tuple[str | None, ...]:
    """Return the position, of `parts` values, that a client's offset stands for. Raises Refused(OFFSET_IS_INVALID)."""
    try:
        return offsets.unpack(listing, offset, parts=parts)
    except ValueError as error:
        raise Refused(ErrorCode.OFFSET_IS_INVALID) from error
