"""What tests of the API over real HTTP share."""

import sys
from collections.abc import Iterator

import pytest

from multinode_control_plane.adapters.local.process_tree import kill_all
from multinode_control_plane.adapters.local.workers import WorkerFolders
from tests.support.http_client import Client
from tests.support.local_server import LocalServer
from tests.support.stub_worker import make_bundle


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a local server in a process of its own.

    The workers that it launches are stand-ins that sleep: the tests speak for them.
    """
    folder = tmp_path_factory.mktemp("over-http")
    bundle = make_bundle(folder / "bundle", sys.executable)
    server = LocalServer(folder / "server")
    server.start()
    try:
        yield Client(server, bundle.code_dir, bundle.python)
    finally:
        server.kill()
        for worker in WorkerFolders(server.directory.workers).all():
            kill_all(worker.record.token, worker.process)
