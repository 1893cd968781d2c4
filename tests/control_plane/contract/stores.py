"""What a Store implementation gives the contract suite, and where the suite finds the implementations.

A module `stores_<name>.py` of this folder joins by defining ``STORES: dict[str, StoreFactory]``; each factory is a
context manager over one empty store. It may skip (`pytest.skip`) when what it needs is not installed.
"""

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from multinode_control_plane.core.keys import Key
from multinode_control_plane.core.records import Record
from multinode_control_plane.ports import Change, Store


@dataclass(frozen=True)
class StoreUnderTest:
    """One empty store, and what only its adapter can do for a test."""

    store: Store
    changes: Callable[[], Sequence[Change]]
    """Takes what the change feed has to give since the last call, in the order it gives it."""
    corrupt: Callable[[Key[Record]], None]
    """Overwrites the stored body under a key with something of an unknown record type."""
    reopened: Callable[[], Store]
    """Returns another client of the same data, as another process would have it."""


StoreFactory = Callable[[Path], AbstractContextManager[StoreUnderTest]]


def registered_stores() -> dict[str, StoreFactory]:
    """Return the factories of every module `stores_*.py` beside this one, by name."""
    factories: dict[str, StoreFactory] = {}
    for path in sorted(Path(__file__).parent.glob("stores_*.py")):
        factories.update(importlib.import_module(f"tests.control_plane.contract.{path.stem}").STORES)
    return factories
