"""The in-memory fake in the Store contract suite: what unit tests stand on behaves as the real stores do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from multinode_control_plane.core.keys import Key
from multinode_control_plane.core.records import Record
from multinode_control_plane.ports import Change
from tests.control_plane.contract.stores import StoreFactory, StoreUnderTest
from tests.support.memory_store import MemoryStore


@contextmanager
def memory_store(folder: Path) -> Iterator[StoreUnderTest]:
    store = MemoryStore()

    def changes() -> Sequence[Change]:
        taken, store.changes = store.changes, []
        return taken

    def corrupt(key: Key[Record]) -> None:
        raise TypeError("it holds records, not bytes: see `encoded_store_under_test`")

    yield StoreUnderTest(store, changes, corrupt, lambda: store)


STORES: dict[str, StoreFactory] = {"memory": memory_store}
