"""SQLite in the Store contract suite."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from multinode_control_plane.adapters.local.database import Database
from multinode_control_plane.adapters.local.sqlite import Outbox, SqliteStore
from multinode_control_plane.core.keys import Key
from multinode_control_plane.core.records import Record
from multinode_control_plane.ports import Change
from tests.control_plane.contract.stores import StoreFactory, StoreUnderTest


@contextmanager
def sqlite_store(folder: Path) -> Iterator[StoreUnderTest]:
    path = folder / "state.sqlite3"
    with closing(Database(path)) as database, closing(Database(path)) as other:
        outbox = Outbox(database)

        def changes() -> Sequence[Change]:
            pending = [outbox.get(seq) for seq, _ in outbox.after(0, limit=10_000)]
            for change in pending:
                assert change is not None
                outbox.done(change.seq)
            return [change.change() for change in pending if change is not None]

        def corrupt(key: Key[Record]) -> None:
            with database.writing() as connection:
                connection.execute(
                    'UPDATE items SET body = \'{"type":"Nonsense"}\' WHERE partition = ? AND sort = ?',
                    (key.partition, key.sort),
                )

        yield StoreUnderTest(SqliteStore(database), changes, corrupt, lambda: SqliteStore(other))


STORES: dict[str, StoreFactory] = {"sqlite": sqlite_store}
