"""The state file: what it refuses to open, what it survives, and how it fails."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectory, DataDirectoryError
from multinode_control_plane.adapters.local.database import APPLICATION_ID, SCHEMA_VERSION, Database
from multinode_control_plane.adapters.local.sqlite import Outbox, SqliteStore
from multinode_control_plane.core.keys import project_key
from multinode_control_plane.core.records import Project
from multinode_control_plane.ports import ABSENT, Put, StoreUnavailable, Write
from tests.support.records import NOW, invocation


def pragma(path: Path, name: str) -> object:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_file_carries_our_mark_and_version_and_is_in_wal_mode(directory: DataDirectory) -> None:
    Database(directory.state).close()
    assert pragma(directory.state, "application_id") == APPLICATION_ID
    assert pragma(directory.state, "user_version") == SCHEMA_VERSION
    assert pragma(directory.state, "journal_mode") == "wal"


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_was(directory: DataDirectory) -> None:
    Database(directory.state).close()
    with closing(sqlite3.connect(directory.state)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(DataDirectoryError, match=r"newer Multinode.*Upgrade"):
        Database(directory.state)
    assert pragma(directory.state, "user_version") == SCHEMA_VERSION + 1


def test_another_programs_database_is_refused_and_left_as_it_was(directory: DataDirectory) -> None:
    with closing(sqlite3.connect(directory.state)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(DataDirectoryError, match="another program's database"):
        Database(directory.state)
    with closing(sqlite3.connect(directory.state)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_a_file_that_is_no_database_is_refused(directory: DataDirectory) -> None:
    directory.state.write_text("not a database, but long enough to have a header of a hundred bytes " * 4)
    with pytest.raises(DataDirectoryError, match="cannot be opened"):
        Database(directory.state)


def test_a_commit_is_synced_to_the_disk(database: Database) -> None:
    with database.writing() as connection:
        # 2 is FULL: https://www.sqlite.org/pragma.html#pragma_synchronous
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    with database.writing(durable=False) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (1,)


def test_a_transaction_that_raises_changes_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.execute("INSERT INTO changes (invocation_id) VALUES ('inv-1')")
        raise ZeroDivisionError
    assert Outbox(database).after(0, limit=1) == []


def test_a_closed_database_is_unavailable(directory: DataDirectory) -> None:
    database = Database(directory.state)
    store = SqliteStore(database)
    database.close()
    with pytest.raises(StoreUnavailable, match="stopping"):
        store.get(project_key("shop"))
    with pytest.raises(StoreUnavailable, match="stopping"):
        store.commit([Put(Project("shop", NOW), ABSENT)])


def test_a_broken_table_is_unavailable_and_the_next_call_has_a_fresh_connection(database: Database) -> None:
    store = SqliteStore(database)
    with database.writing() as connection:
        connection.execute("ALTER TABLE items RENAME TO hidden")
    with pytest.raises(StoreUnavailable, match="read"):
        store.get(project_key("shop"))
    with pytest.raises(StoreUnavailable, match="written"):
        store.commit([Put(Project("shop", NOW), ABSENT)])
    with database.writing() as connection:
        connection.execute("ALTER TABLE hidden RENAME TO items")
    assert store.get(project_key("shop")) is None


def test_readers_are_not_held_up_by_a_writer(database: Database) -> None:
    store = SqliteStore(database)
    store.commit([Put(Project("shop", NOW), ABSENT)])
    with database.writing() as connection:
        connection.execute("DELETE FROM items")
        stored = store.get(project_key("shop"))
    assert stored is not None


def test_more_readers_than_idle_connections_read_at_the_same_time(database: Database) -> None:
    everybody = threading.Barrier(20)
    found: list[object] = []

    def read() -> None:
        with database.reading() as connection:
            everybody.wait(300)
            found.append(connection.execute("SELECT count(*) FROM items").fetchone())

    threads = [threading.Thread(target=read) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(0,)] * 20


def test_listeners_hear_of_each_commit_after_it_happened_and_of_no_other(database: Database) -> None:
    store = SqliteStore(database)
    heard: list[tuple[list[Write], bool]] = []
    store.subscribe(lambda writes: heard.append((list(writes), store.get(project_key("shop")) is not None)))
    write = Put(Project("shop", NOW), ABSENT)
    store.commit([write])
    with pytest.raises(Exception, match="expected version"):
        store.commit([write])
    store.commit([])
    assert heard == [([write], True)]


def test_a_quarantined_change_is_kept_with_its_reason_and_given_no_more(database: Database) -> None:
    store, outbox = SqliteStore(database), Outbox(database)
    store.commit([Put(invocation(1), ABSENT)])
    ((seq, invocation_id),) = outbox.after(0, limit=10)
    outbox.quarantine(seq, "it failed")
    assert outbox.after(0, limit=10) == []
    assert outbox.get(seq) is None
    ((change, reason),) = outbox.quarantined()
    assert (change.change().new, invocation_id, reason) == (invocation(1), "inv-0001", "it failed")


def test_the_numbers_of_changes_are_never_used_again(database: Database) -> None:
    store, outbox = SqliteStore(database), Outbox(database)
    store.commit([Put(invocation(1), ABSENT)])
    ((first, _),) = outbox.after(0, limit=10)
    outbox.done(first)
    store.commit([Put(invocation(2), ABSENT)])
    # A feed that has read up to `first` asks for what comes after it.
    assert outbox.after(first, limit=10) == [(first + 1, "inv-0002")]


COMMITTER = """
import itertools, sys
from pathlib import Path
from multinode_control_plane.adapters.local.database import Database
from multinode_control_plane.adapters.local.sqlite import SqliteStore
from multinode_control_plane.ports import ABSENT, Put
from tests.support.records import invocation, project
store = SqliteStore(Database(Path(sys.argv[1])))
for number in itertools.count(1):
    store.commit([Put(invocation(number), ABSENT), Put(project(f"p{number}"), ABSENT)])
    print(number, flush=True)
"""


@pytest.mark.slow
def test_what_was_acknowledged_before_a_kill_is_there_whole_afterwards(directory: DataDirectory) -> None:
    root = Path(__file__).parents[4]
    paths = [str(root / part) for part in ("runtime", "lambda_src", ".")]
    committer = subprocess.Popen(
        [sys.executable, "-c", COMMITTER, str(directory.state)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    with committer:
        assert committer.stdout is not None
        acknowledged = [int(next(committer.stdout)) for _ in range(40)]
        committer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in committer.stdout]
        assert committer.wait() == -signal.SIGKILL
    with closing(Database(directory.state)) as database:
        store = SqliteStore(database)
        for number in acknowledged:
            assert store.get(project_key(f"p{number}")) is not None
        with database.reading() as connection:
            counts = connection.execute("SELECT type, count(*) FROM items GROUP BY type").fetchall()
            changes = connection.execute("SELECT count(*) FROM changes").fetchone()[0]
    # One commit may have been made whose acknowledgement was cut off; of none is only a part there.
    assert dict(counts)["Invocation"] == dict(counts)["Project"] == changes
    assert len(acknowledged) <= changes <= len(acknowledged) + 1
