"""Local compute with a stub for a worker: what an earlier server, a crash at the worst moment or a project leaves."""

import os
import signal

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.adapters.local.process_tree import find_leader, identify
from multinode_control_plane.adapters.local.workers import LaunchRecord, WorkerFolders
from multinode_control_plane.core.records import LocalBundle
from multinode_control_plane.ports import ContainerExit, ExitKind, LaunchRequest
from tests.control_plane.conftest import Eventually
from tests.support.local_compute import Ends, backend, request_of
from tests.support.stub_worker import notes, pids_of, release, started

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]


# --- what another server left ---------------------------------------------------------------------------------------


def test_a_worker_of_an_earlier_server_is_taken_over_with_its_end(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    request = request_of(bundle, "sleep")
    with backend(directory, Ends()) as earlier:
        worker = earlier.launch(request)
        notes(bundle, request.token, "ready")
    ends = Ends()
    with backend(directory, ends) as later:
        (state,) = later.running()
        assert (state.worker, state.exit) == (worker, None)
        assert later.launch(request) == worker
        later.stop(worker, 600)
        eventually(lambda: ends.told)
        assert list(later.running()) == []
    assert ends.told == [(request.token, ContainerExit(ExitKind.STOPPED, "stopped"))]
    assert len(started(bundle)) == 1


def test_a_stop_of_an_earlier_server_is_carried_through(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    request = request_of(bundle, "stubborn")
    with backend(directory, Ends()) as earlier:
        worker = earlier.launch(request)
        notes(bundle, request.token, "ready")
        earlier.stop(worker, 1)
    ends = Ends()
    with backend(directory, ends):
        eventually(lambda: ends.told)
    assert ends.told[0][0] == request.token


def crashed_between_folder_and_spawn(directory: DataDirectory, request: LaunchRequest) -> None:
    """Leave what a server leaves that is killed after it made the worker's folder, and before it started the worker."""
    record = LaunchRecord(
        request.token, request.execution.execution_id, request.invocation.invocation_id, request.invocation.project_name
    )
    created = WorkerFolders(directory.workers).create(record)
    assert created is not None
    os.close(created[1])


def test_a_launch_cut_off_before_its_process_is_lost_and_its_token_unusable(
    directory: DataDirectory, bundle: LocalBundle
) -> None:
    request = request_of(bundle, "sleep")
    crashed_between_folder_and_spawn(directory, request)
    ends = Ends()
    with backend(directory, ends) as compute:
        assert [(token, end.kind) for token, end in ends.told] == [(request.token, ExitKind.INTERRUPTED)]
        worker = compute.launch(request)
        (state,) = compute.describe([worker])
    assert state.exit is not None
    assert started(bundle) == []


@pytest.mark.requires("linux")
def test_a_launch_cut_off_before_its_process_was_noted_is_taken_over(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    request = request_of(bundle, "sleep")
    with backend(directory, Ends()) as earlier:
        worker = earlier.launch(request)
        notes(bundle, request.token, "ready")
    (directory.workers / request.token / "process.json").unlink()
    ends = Ends()
    with backend(directory, ends) as later:
        assert find_leader(request.token) == identify(pids_of(bundle, request.token)[0])
        later.stop(worker, 600)
        eventually(lambda: ends.told)
    assert len(started(bundle)) == 1


def test_a_folder_that_was_only_half_made_is_cleared_away(directory: DataDirectory, bundle: LocalBundle) -> None:
    half = directory.workers / ".new-0123456789abcdef"
    half.mkdir()
    (half / "record.json").write_text("{}")
    with backend(directory, Ends()) as compute:
        assert not half.exists()
        assert list(compute.running()) == []


def test_a_worker_that_ended_while_no_server_ran_is_told_at_the_next_start(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    request = request_of(bundle, "sleep")
    with backend(directory, Ends()) as earlier:
        earlier.launch(request)
        notes(bundle, request.token, "ready")
    # The earlier backend is closed but its process, this one, is still the parent: it notes the end without telling.
    os.kill(pids_of(bundle, request.token)[0], signal.SIGKILL)
    (folder,) = WorkerFolders(directory.workers).all()
    eventually(lambda: folder.exit is not None)
    (folder.path / "exit.json").unlink()
    ends = Ends()
    with backend(directory, ends):
        ((token, end),) = ends.told
    assert (token, end.kind) == (request.token, ExitKind.INTERRUPTED)
    assert "gone when the control plane came back" in end.reason


def test_folders_are_removed_long_after_the_end_and_never_before(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    ended, running = request_of(bundle, "sleep", 1), request_of(bundle, "sleep", 2)
    ends = Ends()
    with backend(directory, ends) as compute:
        for request in (ended, running):
            compute.launch(request)
        release(bundle, ended.token)
        eventually(lambda: ends.told)
        compute.prune()
        assert len(compute.find(ended.execution.execution_id)) == 1
        for name in ("exit.json", "record.json"):
            os.utime(directory.workers / ended.token / name, (0, 0))
        os.utime(directory.workers / running.token / "record.json", (0, 0))
        compute.prune()
        assert list(compute.find(ended.execution.execution_id)) == []
        assert len(compute.find(running.execution.execution_id)) == 1


# --- forgetting a project --------------------------------------------------------------------------------------------


def test_forgetting_a_project_removes_its_values_and_no_others(directory: DataDirectory) -> None:
    for name in ("shop", "shop2"):
        (directory.secrets / name).mkdir()
        (directory.secrets / name / "1.json").write_text("{}")
    with backend(directory, Ends()) as compute:
        compute.forget_project("shop")
        compute.forget_project("..")
    assert [path.name for path in directory.secrets.iterdir()] == ["shop2"]
    assert directory.state.parent.exists()


def test_forgetting_a_project_removes_its_workers_folders_once_they_have_ended(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    ended, running = request_of(bundle, "sleep", 1), request_of(bundle, "sleep", 2)
    ends = Ends()
    with backend(directory, ends) as compute:
        for request in (ended, running):
            compute.launch(request)
        release(bundle, ended.token)
        eventually(lambda: ends.told)
        compute.forget_project("another")
        assert len(list(directory.workers.iterdir())) == 2
        compute.forget_project(ended.invocation.project_name)
        assert [path.name for path in directory.workers.iterdir()] == [running.token]
