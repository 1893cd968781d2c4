"""The local deployment put together: what it starts with, what it clears away, and how it lets go."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.records import LocalBundle, Version
from multinode_control_plane.core.tokens import TokenScope, read
from multinode_control_plane.ports import ABSENT, Put, StoreUnavailable
from multinode_control_plane.wiring.local import BUNDLE_GRACE_S, LocalDeployment
from tests.contract.samples import NOW, busy_invocation, invocation, project

Eventually = Callable[[Callable[[], object]], None]
URL = "http://127.0.0.1:1"


@pytest.fixture
def deployment(directory: DataDirectory) -> Iterator[LocalDeployment]:
    deployment = LocalDeployment(directory, URL, os.environ)
    yield deployment
    deployment.stop()


def add_bundle(directory: DataDirectory, name: str, age_s: float) -> Path:
    folder = directory.bundles / name
    (folder / "code").mkdir(parents=True)
    changed = folder.stat().st_mtime - age_s
    os.utime(folder, (changed, changed))
    return folder


def test_it_tells_of_itself_where_its_data_is(deployment: LocalDeployment, directory: DataDirectory) -> None:
    assert (deployment.info["backend"], deployment.info["data_dir"]) == ("local", str(directory.root))


def test_bundles_that_no_version_refers_to_are_removed_once_their_deploy_must_be_over(
    deployment: LocalDeployment, directory: DataDirectory, eventually: Eventually
) -> None:
    used = add_bundle(directory, "used", BUNDLE_GRACE_S + 60)
    unused = add_bundle(directory, "unused", BUNDLE_GRACE_S + 60)
    fresh = add_bundle(directory, "fresh", BUNDLE_GRACE_S - 60)
    bundle = LocalBundle(str(used / "code"), sys.executable)
    version = Version("shop", "ver-1", NOW, "image", (), bundle)
    deployment.context.store.commit([Put(project(), ABSENT), Put(version, ABSENT)])
    deployment.start()
    eventually(lambda: not unused.exists())
    assert used.exists()
    assert fresh.exists()


def test_the_token_of_an_execution_speaks_for_it_alone(deployment: LocalDeployment) -> None:
    owner = busy_invocation()
    token = deployment._token_of(owner, owner.executions[1])
    expected = TokenScope("shop", "ver-1", "price", "inv-9999", "exe-2")
    assert read(deployment.keychain.token_secret(), token) == expected
    assert read(b"another secret of thirty-two bytes", token) is None


def test_a_commit_wakes_those_who_wait_for_it(deployment: LocalDeployment, eventually: Eventually) -> None:
    store = deployment.context.store
    store.commit([Put(invocation(1), ABSENT)])
    asked: list[bool] = []

    def changed() -> bool:
        stored = store.get(invocation_key("inv-0001"))
        asked.append(stored is not None and stored.version == 2)
        return asked[-1]

    waiting = threading.Thread(target=lambda: deployment.waiter.wait("inv-0001", changed, 600))
    waiting.start()
    eventually(lambda: asked == [False])
    store.commit([Put(replace(invocation(1), status_reason="changed"), 1)])
    eventually(lambda: not waiting.is_alive())
    assert asked == [False, True]


def test_after_the_stop_the_store_is_closed_and_nobody_waits(directory: DataDirectory) -> None:
    deployment = LocalDeployment(directory, URL, os.environ)
    deployment.start()
    deployment.stop()
    deployment.waiter.wait("inv-0001", lambda: False, 600)
    with pytest.raises(StoreUnavailable):
        deployment.context.store.get(invocation_key("inv-0001"))
