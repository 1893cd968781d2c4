"""The server killed at any time: what it had acknowledged goes on, once, and what ran meanwhile is taken over."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from multinode_control_plane.adapters.local.workers import WorkerFolder, WorkerFolders
from tests.support.local_server import LocalServer, spec
from tests.support.waiting import until

pytestmark = pytest.mark.slow(about_s=20)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def the_worker(server: LocalServer) -> WorkerFolder:
    (folder,) = WorkerFolders(server.directory.workers).all()
    return folder


def pid_of(folder: WorkerFolder) -> int:
    assert folder.process is not None
    return folder.process.pid


@pytest.mark.timeout(400)
def test_killed_again_and_again_amid_fifty_invocations_all_end_and_none_runs_twice(
    server: LocalServer, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("note", max_concurrency=6))
    ids = [server.start_function("note", str(path), f"{number}", 0.2) for number in range(50)]
    for progress in (1, 10, 25, 40):
        until(lambda progress=progress: len(lines(path)) >= 2 * progress, f"{progress} executions")  # type: ignore[misc]
        server.kill()
        server.start()
    ended = [server.terminated(invocation_id) for invocation_id in ids]
    assert [invocation["status"] for invocation in ended] == ["SUCCEEDED"] * 50
    assert [invocation["result"] for invocation in ended] == [f'"{number}"' for number in range(50)]
    # The function itself has written, in order, that it began and that it ended: once each.
    assert sorted(lines(path)) == sorted(f"{word} {number}" for number in range(50) for word in ("begin", "end"))
    folders = list(WorkerFolders(server.directory.workers).all())
    assert all(folder.exit is not None for folder in folders)


def test_a_worker_that_still_runs_is_taken_over_and_can_be_cancelled(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("until_cancelled"))
    invocation_id = server.start_function("until_cancelled", str(path))
    until(lambda: lines(path), "the start")
    pid = pid_of(the_worker(server))
    server.kill()
    server.start()
    assert server.invocation(invocation_id)["status"] == "RUNNING"
    assert pid_of(the_worker(server)) == pid
    server.cancel(invocation_id)
    assert server.terminated(invocation_id)["status"] == "CANCELLED"
    assert lines(path) == ["begin", "cancelled"]


def test_a_function_that_ends_while_no_server_runs_is_reported_afterwards(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("note"))
    invocation_id = server.start_function("note", str(path), "a", 1.0)
    until(lambda: lines(path), "the start")
    server.kill()
    until(lambda: lines(path) == ["begin a", "end a"], "the end of the function")
    server.start()
    ended = server.terminated(invocation_id)
    assert (ended["status"], ended["result"]) == ("SUCCEEDED", '"a"')
    assert lines(path) == ["begin a", "end a"]


def test_an_orderly_stop_leaves_workers_running_for_the_next_server(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("note"))
    invocation_id = server.start_function("note", str(path), "a", 1.0)
    until(lambda: lines(path), "the start")
    assert server.stop() == 0
    server.start()
    assert server.terminated(invocation_id)["status"] == "SUCCEEDED"
    assert lines(path) == ["begin a", "end a"]


@pytest.mark.parametrize("server_is_away", [True, False])
def test_a_lost_worker_is_a_failed_attempt_and_tried_again(
    server: LocalServer, tmp_path: Path, server_is_away: bool
) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("lost_once", max_retries=1))
    invocation_id = server.start_function("lost_once", str(path))
    until(lambda: lines(path), "the start")
    worker = the_worker(server)
    if server_is_away:
        server.kill()
    os.kill(pid_of(worker), signal.SIGKILL)
    if server_is_away:
        until(lambda: not worker.alive(), "the end of the worker")
        server.start()
    ended = server.terminated(invocation_id)
    assert (ended["status"], ended["num_failed_attempts"], ended["result"]) == ("SUCCEEDED", 1, '"ended"')
    # The first attempt was killed together with its worker.
    assert lines(path) == ["begin", "begin", "end"]


def test_a_lost_worker_without_retries_fails_with_a_reason(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("note"))
    invocation_id = server.start_function("note", str(path), "a", 600.0)
    until(lambda: lines(path), "the start")
    os.kill(pid_of(the_worker(server)), signal.SIGKILL)
    ended = server.terminated(invocation_id)
    assert ended["status"] == "FAILED"
    assert "killed with SIGKILL" in ended["error"]


def test_a_stop_that_was_asked_for_is_carried_through_by_the_next_server(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("stubborn", grace_seconds=2))
    invocation_id = server.start_function("stubborn", str(path))
    until(lambda: lines(path), "the start")
    server.cancel(invocation_id)
    server.kill()
    server.start()
    ended = server.terminated(invocation_id)
    assert ended["status"] == "CANCELLED"
    assert the_worker(server).exit is not None


def test_what_waited_when_the_server_was_killed_is_started_by_the_next(server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("narrow", max_concurrency=1))
    ids = [server.start_function("narrow", str(path), f"{number}", 0.2) for number in range(3)]
    server.kill()
    server.start()
    assert [server.terminated(invocation_id)["status"] for invocation_id in ids] == ["SUCCEEDED"] * 3
    written = lines(path)
    began = [line.split()[1] for line in written if line.startswith("begin")]
    assert written == [f"{word} {number}" for number in began for word in ("begin", "end")]  # one after the other
    # One may have been killed with the server amid its launch: then it backs off, and the others do not wait.
    assert sorted(began) == ["0", "1", "2"]


@pytest.mark.requires("linux")
def test_a_damaged_record_costs_one_attempt_and_keeps_no_server_from_starting(
    server: LocalServer, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("note", max_retries=1))
    invocation_id = server.start_function("note", str(path), "a", 600.0)
    until(lambda: server.invocation(invocation_id)["status"] == "RUNNING", "the start")
    worker = the_worker(server)
    server.kill()
    (worker.path / "record.json").write_text("")
    (server.directory.workers / ".DS_Store").write_text("x")
    server.start()
    until(lambda: lines(path) == ["begin a", "begin a"], "the second attempt")
    assert server.invocation(invocation_id)["num_failed_attempts"] == 1
    assert not worker.alive()
    server.cancel(invocation_id)
    assert server.terminated(invocation_id)["status"] == "CANCELLED"
    assert (
        f"{worker.path} could not be read: it is now {worker.path}.unreadable"
        in server.directory.server_log.read_text()
    )


def test_a_server_on_a_copy_of_the_folder_leaves_the_originals_workers_alone(
    server: LocalServer, tmp_path: Path
) -> None:
    path = tmp_path / "notes"
    server.deploy(spec("until_cancelled", max_retries=1))
    invocation_id = server.start_function("until_cancelled", str(path))
    until(lambda: lines(path), "the start")
    assert server.stop() == 0
    shutil.copytree(server.data_dir, tmp_path / "copy")
    server.start()
    copy = LocalServer(tmp_path / "copy")
    copy.start()
    try:
        until(lambda: lines(path) == ["begin"] * 2, "the second attempt, on the copy")
        assert copy.invocation(invocation_id)["num_failed_attempts"] == 1
        assert server.invocation(invocation_id)["num_failed_attempts"] == 0
        copy.cancel(invocation_id)
        assert copy.terminated(invocation_id)["status"] == "CANCELLED"
        assert lines(path) == ["begin", "begin", "cancelled"]
        assert the_worker(server).alive()
    finally:
        copy.kill()
        copy.clear_away()
    server.cancel(invocation_id)
    assert server.terminated(invocation_id)["status"] == "CANCELLED"
    assert lines(path) == ["begin", "begin", "cancelled", "cancelled"]
