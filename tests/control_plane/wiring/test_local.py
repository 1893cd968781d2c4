"""The local deployment put together: what it starts with, what it clears away, and how it lets go."""

import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.core.keys import Prefix, invocation_key
from multinode_control_plane.core.records import (
    ChildLink,
    Invocation,
    LocalBundle,
    Output,
    Payload,
    Record,
    Version,
    WorkerDetails,
)
from multinode_control_plane.core.tokens import TokenScope, execution_token, read
from multinode_control_plane.ports import ABSENT, Put, StoreUnavailable
from multinode_control_plane.wiring.local import BUNDLE_GRACE_S, LocalDeployment
from multinode_control_plane.wiring.settings import SettingIsInvalid
from multinode_protocol.status import InvocationStatus
from tests.support.records import NOW, busy_invocation, invocation, project

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
    assert (deployment.api_ports.deployment["backend"], deployment.api_ports.deployment["data_dir"]) == (
        "local",
        str(directory.root),
    )


def test_bundles_without_a_version_are_removed_once_their_deploy_must_be_over(
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


def ended(number: int, days_ago: float) -> Invocation:
    """Return an invocation that succeeded, with an execution whose log is in a file."""
    finished_at = datetime.now(UTC) - timedelta(days=days_ago)
    run = replace(
        busy_invocation().executions[0],
        execution_id=f"exe-{number}",
        worker=WorkerDetails("TEST", f"exe-{number}-1", f"inv-{number:04d}/exe-{number}.jsonl"),
    )
    return replace(
        invocation(number),
        waiting_in=None,
        status=InvocationStatus.SUCCEEDED,
        executions=(run,),
        finished_at=finished_at,
        due_at=None,
    )


def keep(deployment: LocalDeployment, directory: DataDirectory, record: Invocation) -> Path:
    """Store an invocation with all that may belong to it; return the file of its log."""
    run, invocation_id = record.executions[0], record.invocation_id
    belongings: list[Record] = [
        Payload(invocation_id, "[]"),
        Output(invocation_id, run.execution_id, 1, "7", final=True),
        ChildLink(invocation_id, "inv-child"),
    ]
    deployment.context.store.commit([Put(each, ABSENT) for each in [record, *belongings]])
    assert run.worker is not None
    log = directory.logs / run.worker.logs_identifier
    log.parent.mkdir(parents=True)
    log.write_text("{}\n")
    return log


def left_of(deployment: LocalDeployment, record: Invocation) -> int:
    """Return how many records are left of an invocation."""
    return len(deployment.context.store.query(Prefix(invocation_key(record.invocation_id).partition, "")))


def test_what_ended_is_forgotten_with_all_of_it_when_its_retention_is_over(
    deployment: LocalDeployment, directory: DataDirectory
) -> None:
    over, kept = ended(1, days_ago=30.01), ended(2, days_ago=29.99)
    told_late = replace(ended(3, days_ago=40), cascade_pending=True, due_at=NOW + timedelta(days=9999))
    logs = [keep(deployment, directory, each) for each in (over, kept, told_late)]
    deployment.context.store.commit([Put(invocation(4, due_at=NOW + timedelta(days=9999)), ABSENT)])
    deployment._sweep(reconcile=False)
    assert [left_of(deployment, each) for each in (over, kept, told_late, invocation(4))] == [0, 4, 4, 1]
    assert [log.exists() for log in logs] == [False, True, True]
    assert not logs[0].parent.exists()


def test_more_than_a_round_takes_is_forgotten_soon_after(
    deployment: LocalDeployment,
) -> None:
    """A round takes 100."""
    store = deployment.context.store
    for numbers in (range(100), range(100, 101)):
        store.commit([Put(ended(number, days_ago=31), ABSENT) for number in numbers])
    assert [deployment._forget(), deployment._forget()] == [True, False]
    assert sum(left_of(deployment, ended(number, days_ago=31)) for number in range(101)) == 0


def test_a_retention_of_no_days_keeps_everything(directory: DataDirectory) -> None:
    deployment = LocalDeployment(directory, URL, {"MULTINODE_RETENTION_DAYS": "0"})
    deployment.context.store.commit([Put(ended(1, days_ago=9999), ABSENT)])
    assert deployment._forget() is False
    assert left_of(deployment, ended(1, days_ago=9999)) == 1
    deployment.stop()


@pytest.mark.parametrize("body", ["{", '{"type": "Invocation", "finished_at": 1}'])
def test_a_record_that_cannot_be_read_keeps_no_other_from_being_forgotten(
    deployment: LocalDeployment, directory: DataDirectory, body: str
) -> None:
    over = ended(1, days_ago=31)
    deployment.context.store.commit([Put(over, ABSENT), Put(ended(2, days_ago=31), ABSENT)])
    with closing(sqlite3.connect(directory.state)) as connection, connection:
        connection.execute("UPDATE items SET body = ? WHERE partition = 'INV#inv-0002'", (body,))
    connection.close()
    deployment._forget()
    assert left_of(deployment, over) == 0


@pytest.mark.parametrize("value", ["-1", "1.5", "month", "100000", "٣"])
def test_a_retention_that_is_no_number_of_days_is_refused(directory: DataDirectory, value: str) -> None:
    with pytest.raises(SettingIsInvalid, match=r"MULTINODE_RETENTION_DAYS is .*: set it to whole days"):
        LocalDeployment(directory, URL, {"MULTINODE_RETENTION_DAYS": value})


def test_the_token_of_an_execution_speaks_for_it_alone(deployment: LocalDeployment) -> None:
    owner = busy_invocation()
    token = execution_token(deployment.keychain.token_secret(), owner, owner.executions[1])
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
