"""The Store on SQLite: records as rows of JSON, conditional commits in one transaction, an outbox as change feed."""

import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

from multinode_control_plane.adapters.local.database import Database
from multinode_control_plane.core import offsets
from multinode_control_plane.core.codec import decode, encode
from multinode_control_plane.core.keys import Index, Key, Prefix, end_of_prefix, index_entries
from multinode_control_plane.core.records import Invocation, Record
from multinode_control_plane.core.times import whole_us
from multinode_control_plane.ports import ABSENT, Change, Check, Conflict, Delete, Page, Stored, Write, keys_of

logger = logging.getLogger(__name__)
R = TypeVar("R", bound=Record)


_INVOCATION = Invocation.__name__


class SqliteStore:
    """See `ports.Store`. Listings do not lag here. Safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: list[Callable[[Sequence[Write]], None]] = []

    def subscribe(self, listener: Callable[[Sequence[Write]], None]) -> None:
        """Call `listener` with the writes of every commit from now on, after the commit and in the thread that made it.

        It must be quick and must not raise, because the commit has happened. Calls may come in any order.
        """
        self._listeners.append(listener)

    def get(self, key: Key[R]) -> Stored[R] | None:
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT version, body FROM items WHERE partition = ? AND sort = ?", (key.partition, key.sort)
            ).fetchone()
        return None if row is None else _stored(row[0], row[1])

    def query(
        self, prefix: Prefix[R], *, limit: int | None = None, after: str | None = None, newest_first: bool = False
    ) -> Sequence[Stored[R]]:
        clauses, values = ["partition = ?", "sort >= ?"], [prefix.partition, prefix.sort_prefix]
        if (end := end_of_prefix(prefix.sort_prefix)) is not None:
            clauses.append("sort < ?")
            values.append(end)
        if after is not None:
            clauses.append("sort < ?" if newest_first else "sort > ?")
            values.append(after)
        statement = (
            f"SELECT version, body FROM items WHERE {' AND '.join(clauses)} "  # noqa: S608 - fixed clauses, bound values
            f"ORDER BY sort {'DESC' if newest_first else 'ASC'} LIMIT ?"
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement, (*values, -1 if limit is None else limit)).fetchall()
        return [_stored(version, body) for version, body in rows]

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
        clauses: list[str] = ["e.name = ?", "e.value = ?"]
        values: list[str | None] = [str(index), value]
        if before is not None:
            clauses.append("e.sort < ?")
            values.append(before)
        if offset is not None:
            clauses.append(f"(e.sort, e.partition, e.item_sort) {'<' if newest_first else '>'} (?, ?, ?)")
            values.extend(offsets.unpack((index, value), offset, parts=3))
        direction = "DESC" if newest_first else "ASC"
        statement = (
            "SELECT e.sort, e.partition, e.item_sort, i.version, i.body FROM index_entries AS e "  # noqa: S608 - as above
            "JOIN items AS i ON i.partition = e.partition AND i.sort = e.item_sort "
            f"WHERE {' AND '.join(clauses)} "
            f"ORDER BY e.sort {direction}, e.partition {direction}, e.item_sort {direction} LIMIT ?"
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement, (*values, limit + 1)).fetchall()
        next_offset = offsets.pack((index, value), rows[limit - 1][:3]) if len(rows) > limit else None
        return Page(_readable(rows[:limit]), next_offset)

    def ended_before(self, time: datetime, *, limit: int) -> Sequence[Stored[Record]]:
        """Return invocations that ended before `time` and to which nothing more can happen. Reads all of them."""
        finished_at = "CASE WHEN json_valid(body) THEN json_extract(body, '$.finished_at') END"
        statement = (
            "SELECT '', partition, sort, version, body FROM items "  # noqa: S608 - a fixed expression
            f"WHERE type = ? AND {finished_at} < ? "
            "AND json_extract(body, '$.due_at') IS NULL LIMIT ?"
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement, (_INVOCATION, whole_us(time), limit)).fetchall()
        return _readable(rows)

    def commit(self, writes: Sequence[Write]) -> None:
        keyed = list(zip(keys_of(writes), writes, strict=True))
        if not keyed:
            return
        with self._database.writing() as connection:
            found = [_check(connection, key, write) for key, write in keyed]
            for (key, write), before in zip(keyed, found, strict=True):
                _apply(connection, key, write, before)
        for listener in self._listeners:
            listener(writes)


@dataclass(frozen=True, slots=True)
class PendingChange:
    """One row of the outbox, which only `change()` decodes."""

    seq: int
    invocation_id: str
    old: str | None
    new: str | None

    def change(self) -> Change:
        """Return the change itself. Raises ValueError if the row cannot be decoded."""
        return Change(_invocation(self.old), _invocation(self.new))


class Outbox:
    """The change feed as stored in the file: each commit appends to it, in the order of `seq`, until it is `done`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, seq: int, *, limit: int) -> Sequence[tuple[int, str]]:
        """Return number and invocation id of the changes after `seq` that are not done, oldest first."""
        with self._database.reading() as connection:
            return connection.execute(
                "SELECT seq, invocation_id FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
            ).fetchall()

    def get(self, seq: int) -> PendingChange | None:
        """Return a change that is not done, or None."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT seq, invocation_id, old, new FROM changes WHERE seq = ?", (seq,)
            ).fetchone()
        return None if row is None else PendingChange(*row)

    def done(self, seq: int) -> None:
        """Remove a change. Not durable: after a power failure it is delivered again, which does no harm."""
        with self._database.writing(durable=False) as connection:
            connection.execute("DELETE FROM changes WHERE seq = ?", (seq,))

    def quarantine(self, seq: int, reason: str) -> None:
        """Set a change aside, for a person to look at; it is not delivered again."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO quarantined_changes (seq, invocation_id, old, new, reason) "
                "SELECT seq, invocation_id, old, new, ? FROM changes WHERE seq = ?",
                (reason, seq),
            )
            connection.execute("DELETE FROM changes WHERE seq = ?", (seq,))

    def quarantined(self) -> Sequence[tuple[PendingChange, str]]:
        """Return the changes that were set aside, with the reasons."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT seq, invocation_id, old, new, reason FROM quarantined_changes ORDER BY seq"
            ).fetchall()
        return [(PendingChange(*row[:4]), row[4]) for row in rows]


@dataclass(frozen=True, slots=True)
class _Row:
    version: int
    type: str
    body: str


def _check(connection: sqlite3.Connection, key: Key[Record], write: Write) -> _Row | None:
    """Return the row under `key`, whose version is the expected one. Raises Conflict."""
    found = connection.execute(
        "SELECT version, type, body FROM items WHERE partition = ? AND sort = ?", (key.partition, key.sort)
    ).fetchone()
    version = ABSENT if found is None else found[0]
    if version != write.expect:
        raise Conflict(f"{key.partition} {key.sort}: expected version {write.expect}, found {version}")
    return None if found is None else _Row(*found)


def _apply(connection: sqlite3.Connection, key: Key[Record], write: Write, before: _Row | None) -> None:
    if isinstance(write, Check):
        return
    place = (key.partition, key.sort)
    if before is not None:
        connection.execute("DELETE FROM index_entries WHERE partition = ? AND item_sort = ?", place)
    if isinstance(write, Delete):
        connection.execute("DELETE FROM items WHERE partition = ? AND sort = ?", place)
        if before is not None and before.type == _INVOCATION:
            _record_change(connection, key, before.body, None)
        return
    record = write.record
    body = json.dumps(encode(record), separators=(",", ":"), allow_nan=False)
    connection.execute(
        "INSERT OR REPLACE INTO items (partition, sort, version, type, body) VALUES (?, ?, ?, ?, ?)",
        (*place, 1 if before is None else before.version + 1, type(record).__name__, body),
    )
    connection.executemany(
        "INSERT INTO index_entries (name, value, sort, partition, item_sort) VALUES (?, ?, ?, ?, ?)",
        [(str(entry.index), entry.value, entry.sort, *place) for entry in index_entries(record)],
    )
    if isinstance(record, Invocation):
        _record_change(connection, key, None if before is None else before.body, body)


def _record_change(connection: sqlite3.Connection, key: Key[Record], old: str | None, new: str | None) -> None:
    connection.execute(
        "INSERT INTO changes (invocation_id, old, new) VALUES (?, ?, ?)",
        (key.partition.removeprefix("INV#"), old, new),
    )


def _stored(version: int, body: str) -> Stored[R]:
    # The key's type says which record it identifies; the contract suite checks that.
    return Stored(cast(R, _record(body)), version)


def _record(body: str) -> Record:
    data = json.loads(body)
    if not isinstance(data, dict):
        raise ValueError(f"a stored item is not a JSON object: {body[:100]!r}")  # noqa: TRY004 - callers expect it
    return decode(data)


def _readable(rows: Sequence[tuple[str, str, str, int, str]]) -> Sequence[Stored[Record]]:
    items: list[Stored[Record]] = []
    for _, partition, sort, version, body in rows:
        try:
            items.append(_stored(version, body))
        except ValueError as error:
            logger.error("left out: %s %s cannot be read: %s", partition, sort, error)  # noqa: TRY400
    return items


def _invocation(body: str | None) -> Invocation | None:
    if body is None:
        return None
    record = _record(body)
    if not isinstance(record, Invocation):
        raise ValueError(f"a stored change holds a {type(record).__name__}, not an Invocation")  # noqa: TRY004 - as above
    return record
