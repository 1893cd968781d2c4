"""What tests of the local backend share."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectory, prepare
from multinode_control_plane.adapters.local.database import Database
from multinode_control_plane.adapters.local.workers import WorkerFolders
from multinode_control_plane.core.records import LocalBundle
from multinode_protocol.process_tree import kill_all
from tests.support.local_server import LocalServer
from tests.support.stub_worker import make_bundle
from tests.support.waiting import until

Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return prepare(tmp_path / "data")


@pytest.fixture
def database(directory: DataDirectory) -> Iterator[Database]:
    with closing(Database(directory.state)) as opened:
        yield opened


@pytest.fixture
def bundle(tmp_path: Path) -> LocalBundle:
    return make_bundle(tmp_path / "bundle", sys.executable)


@pytest.fixture
def nothing_left(directory: DataDirectory) -> Iterator[None]:
    """In the end no worker of this data directory runs."""
    yield
    for folder in WorkerFolders(directory.workers).all():
        kill_all(folder.record.mark, folder.process)


@pytest.fixture
def eventually() -> Eventually:
    """Wait for a condition that other threads or processes bring about."""

    def wait(condition: Callable[[], object]) -> None:
        until(condition, "it to come about", every_s=0.02)

    return wait


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    """A running local server, which a test may kill and start again; in the end nothing of it is left."""
    server = LocalServer(tmp_path / "server")
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
        server.clear_away()
