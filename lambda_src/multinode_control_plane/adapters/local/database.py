"""The state file of the local deployment: SQLite in WAL mode, with one writer at a time and concurrent readers."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from multinode_control_plane.adapters.local.data_dir import DataDirectoryError
from multinode_control_plane.ports import StoreUnavailable

APPLICATION_ID = 0x4D4E4F44
"""ASCII "MNOD" in the file's header, which distinguishes our state file from other SQLite databases."""
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 10.0
"""How long to wait for another program that holds the file, such as the sqlite3 shell."""
IDLE_READERS = 8
"""Connections that are kept open for reading. Under load, more are opened and closed after use."""

_SCHEMA = """
CREATE TABLE items (
    partition TEXT NOT NULL,
    sort      TEXT NOT NULL,
    version   INTEGER NOT NULL,
    type      TEXT NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (partition, sort)
) WITHOUT ROWID;
CREATE TABLE index_entries (
    name      TEXT NOT NULL,
    value     TEXT NOT NULL,
    sort      TEXT NOT NULL,
    partition TEXT NOT NULL,
    item_sort TEXT NOT NULL,
    PRIMARY KEY (name, value, sort, partition, item_sort)
) WITHOUT ROWID;
CREATE INDEX index_entries_by_item ON index_entries (partition, item_sort);
CREATE TABLE changes (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    invocation_id TEXT NOT NULL,
    old           TEXT,
    new           TEXT
);
CREATE TABLE quarantined_changes (
    seq            INTEGER PRIMARY KEY,
    invocation_id  TEXT NOT NULL,
    old            TEXT,
    new            TEXT,
    reason         TEXT NOT NULL,
    quarantined_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""


class Database:
    """Connections to one state file. Every method may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, creating it with an empty schema if necessary. Raises DataDirectoryError."""
        self._path = path
        self._writing = threading.Lock()
        self._pool = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        try:
            self._writer = self._connect()
            _prepare(self._writer, path)
        except sqlite3.Error as error:
            raise DataDirectoryError(
                f"{path} cannot be opened as Multinode's state ({error}). Choose another folder with --data-dir."
            ) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection whose every statement sees everything committed before it. Raises StoreUnavailable."""
        connection = self._borrow()
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            connection.close()
            raise StoreUnavailable(f"{self._path} could not be read: {error}") from error
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Yield the one writing connection inside a transaction; commit at the end, roll back on any exception.

        `durable`: the commit is on disk before this returns, and survives a power failure; otherwise it only survives
        the death of this process. Raises StoreUnavailable.
        """
        with self._writing:
            try:
                if self._closed:
                    raise StoreUnavailable(f"{self._path} is closed: the server is stopping")
                self._writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._writer.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                self._roll_back()
                raise StoreUnavailable(f"{self._path} could not be written: {error}") from error
            except BaseException:
                self._roll_back()
                raise

    def close(self) -> None:
        """Close every unused connection, after the write under way. Later calls raise StoreUnavailable."""
        with self._writing, self._pool:
            self._closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()
            self._writer.close()

    def _roll_back(self) -> None:
        if not self._closed and self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _borrow(self) -> sqlite3.Connection:
        with self._pool:
            if self._closed:
                raise StoreUnavailable(f"{self._path} is closed: the server is stopping")
            if self._idle:
                return self._idle.pop()
        try:
            return self._connect("query_only = ON")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._path} could not be opened: {error}") from error

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._pool:
            if not self._closed and len(self._idle) < IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self, *pragmas: str) -> sqlite3.Connection:
        # Autocommit mode: transactions are begun and ended above and nowhere else. A connection is used by one thread
        # at a time, but not always by the same one.
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            # On macOS fsync alone leaves data in the disk's own cache; elsewhere fullfsync does nothing.
            for pragma in ("fullfsync = ON", *pragmas):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file is ours and of a known version, or create the schema. Raises DataDirectoryError."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application_id != APPLICATION_ID:
            if application_id or version or tables:
                raise DataDirectoryError(
                    f"{path} is another program's database. Choose another folder with --data-dir."
                )
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version > SCHEMA_VERSION:
            raise DataDirectoryError(
                f"{path} was written by a newer Multinode (state version {version}, this one reads up to "
                f"{SCHEMA_VERSION}). Upgrade Multinode, or choose another folder with --data-dir."
            )
        connection.execute("COMMIT")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise DataDirectoryError(
                f"{path} is on a file system without shared memory, such as a network drive. "
                "Choose a folder on a local disk with --data-dir."
            )
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.close()
        raise
