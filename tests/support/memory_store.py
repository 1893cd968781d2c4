"""The Store in memory, held to the same contract suite as the real ones."""

import threading
from collections.abc import Sequence
from typing import TypeVar, cast

from multinode_control_plane.core import offsets
from multinode_control_plane.core.codec import decode, encode
from multinode_control_plane.core.keys import Index, Key, Prefix, index_entries, key_of
from multinode_control_plane.core.records import Invocation, Record
from multinode_control_plane.ports import (
    ABSENT,
    Absent,
    Change,
    Check,
    Conflict,
    Delete,
    Page,
    Put,
    Stored,
    Write,
)
from tests.support.hooks import Hooked

R = TypeVar("R", bound=Record)
Item = tuple[int, Record]


class MemoryStore(Hooked):
    """The Store in a dictionary. `changes` is the feed: whoever consumes it pops from the left."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.changes: list[Change] = []
        self.commits = 0
        self.stale: dict[Index, Sequence[Stored[Record]]] = {}
        """What an index that lags behind lists instead of what is there."""
        self._lock = threading.RLock()

    def get(self, key: Key[R]) -> Stored[R] | None:
        self._run_hooks("get", key)
        found = self._get(key)
        self._run_hooks("get", key, after=True)
        return found

    def _get(self, key: Key[R]) -> Stored[R] | None:
        with self._lock:
            item = self.items.get((key.partition, key.sort))
            return None if item is None else Stored(cast(R, item[1]), item[0])

    def query(
        self, prefix: Prefix[R], *, limit: int | None = None, after: str | None = None, newest_first: bool = False
    ) -> Sequence[Stored[R]]:
        with self._lock:
            sorts = sorted(
                (
                    sort
                    for partition, sort in self.items
                    if partition == prefix.partition and sort.startswith(prefix.sort_prefix)
                ),
                reverse=newest_first,
            )
            if after is not None:
                sorts = [sort for sort in sorts if (sort < after if newest_first else sort > after)]
            found = [self.items[prefix.partition, sort] for sort in sorts[:limit]]
        self._run_hooks("query", prefix, after=True)
        return [Stored(cast(R, record), version) for version, record in found]

    def list(
        self,
        index: Index,
        value: str,
        *,
        limit: int,
        offset: str | None = None,
        newest_first: bool = False,
        before: str | None = None,
    ) -> Page[Record]:
        if index in self.stale:
            return Page(self.stale[index], None)
        past = None if offset is None else str(offsets.unpack((index, value), offset, parts=1)[0])
        with self._lock:
            rows: list[tuple[str, Stored[Record]]] = []
            for version, record in self.items.values():
                rows += [
                    (entry.sort, Stored(record, version))
                    for entry in index_entries(record)
                    if entry.index is index and entry.value == value
                ]
        rows.sort(key=lambda row: row[0], reverse=newest_first)
        if before is not None:
            rows = [row for row in rows if row[0] < before]
        if past is not None:
            rows = [row for row in rows if (row[0] < past if newest_first else row[0] > past)]
        page = rows[:limit]
        more = len(rows) > limit
        return Page([stored for _, stored in page], offsets.pack((index, value), (page[-1][0],)) if more else None)

    def commit(self, writes: Sequence[Write]) -> None:
        self._run_hooks("commit", writes)
        self._commit(writes)
        self._run_hooks("commit", writes, after=True)

    def _commit(self, writes: Sequence[Write]) -> None:
        with self._lock:
            keys = [_key(write) for write in writes]
            assert len(set(keys)) == len(keys), "each key once"
            assert 1 <= len(keys) <= 100
            for write, key in zip(writes, keys, strict=True):
                self._check(key, write.expect)
            changes = [
                change
                for write, key in zip(writes, keys, strict=True)
                if (change := self._apply(write, key)) is not None
            ]
            self.changes += changes
            self.commits += 1

    def _check(self, key: tuple[str, str], expect: int | Absent) -> None:
        found: int | Absent = self.items[key][0] if key in self.items else ABSENT
        if found != expect:
            raise Conflict(f"{key}: version {found}, expected {expect}")

    def _apply(self, write: Write, key: tuple[str, str]) -> Change | None:
        old = self.items.get(key)
        if isinstance(write, Check):
            return None
        if isinstance(write, Delete):
            del self.items[key]
            new_record = None
        else:
            new_record = write.record
            self.items[key] = (1 if old is None else old[0] + 1, decode(encode(write.record)))
        old_record = None if old is None else old[1]
        if isinstance(old_record, Invocation) or isinstance(new_record, Invocation):
            return Change(cast(Invocation | None, old_record), cast(Invocation | None, new_record))
        return None

    def records(self, kind: type[R]) -> Sequence[R]:
        """Return every record of a type, for assertions."""
        return [record for _, record in self.items.values() if isinstance(record, kind)]


def _key(write: Write) -> tuple[str, str]:
    key = key_of(write.record) if isinstance(write, Put) else write.key
    return (key.partition, key.sort)
