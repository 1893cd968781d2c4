"""Local compute with a stub for a worker: what an earlier server, a crash at the worst moment or a project leaves."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectory, prepare
from multinode_control_plane.adapters.local.deployment_id import deployment_id
from multinode_control_plane.adapters.local.workers import LaunchRecord, WorkerFolders
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import LocalBundle
from multinode_control_plane.ports import LaunchRequest
from multinode_protocol.process_tree import find_leader, identify
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
    created = WorkerFolders(directory.workers).create(
        LaunchRecord(
            request.token,
            request.execution.execution_id,
            request.invocation.invocation_id,
            request.invocation.project_name,
            deployment_id(directory),
        )
    )
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
        assert find_leader(f"{deployment_id(directory)}/{request.token}") == identify(pids_of(bundle, request.token)[0])
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
    assert "gone when the control plane restarted" in end.reason


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


# --- what cannot be read ---------------------------------------------------------------------------------------------


def unreadable(path: Path) -> None:
    """Leave what not even root can read: a link to itself."""
    path.unlink()
    path.symlink_to(path)


def copied_by_hand(path: Path) -> None:
    path.write_text(path.read_text().replace("-1", "-2"))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_text(""),
    "garbage": lambda path: path.write_bytes(b"\xff{"),
    "other JSON": lambda path: path.write_text("[1]"),
    "other fields": lambda path: path.write_text('{"pid": -1, "deadline": "NaN", "kind": "?"}'),
    "unreadable": unreadable,
}


@pytest.mark.requires("linux")
@pytest.mark.parametrize(
    "damage", [*DAMAGES.values(), Path.unlink, copied_by_hand], ids=[*DAMAGES, "missing", "copied by hand"]
)
def test_a_worker_whose_record_is_damaged_is_set_aside_killed_and_lost(
    directory: DataDirectory,
    bundle: LocalBundle,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], object],
) -> None:
    damaged, sound = request_of(bundle, "stubborn", 1), request_of(bundle, "sleep", 2)
    with backend(directory, Ends()) as earlier:
        workers = [earlier.launch(request) for request in (damaged, sound)]
        for request in (damaged, sound):
            notes(bundle, request.token, "ready")
    damage(directory.workers / damaged.token / "record.json")
    for _ in range(2):
        with backend(directory, Ends()) as later:
            lost, other = later.describe(workers)
            assert (lost.execution_id, lost.exit is not None and lost.exit.kind) == (
                damaged.execution.execution_id,
                ExitKind.INTERRUPTED,
            )
            assert other.exit is None
            assert later.launch(damaged) == workers[0]
    aside = directory.workers / f"{damaged.token}.unreadable"
    assert aside.is_dir()
    assert len([message for message in caplog.messages if str(aside) in message]) == 1
    eventually(lambda: not runs(pids_of(bundle, damaged.token)[0]))
    assert len(started(bundle)) == 2
    release(bundle, sound.token)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.requires("linux")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["process.json", "stop.json", "exit.json"])
def test_a_damaged_note_is_set_aside_and_its_worker_taken_over(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually, name: str, damage: Callable[[Path], object]
) -> None:
    request = request_of(bundle, "sleep")
    with backend(directory, Ends()) as earlier:
        worker = earlier.launch(request)
        notes(bundle, request.token, "ready")
    path = directory.workers / request.token / name
    path.touch()
    damage(path)
    ends = Ends()
    with backend(directory, ends) as later:
        assert [state.worker for state in later.running()] == [worker]
        assert os.path.lexists(f"{path}.unreadable")
        later.stop(worker, 600)
        eventually(lambda: ends.told)
    assert ends.told == [(request.token, ContainerExit(ExitKind.STOPPED, "stopped"))]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_worker_that_is_gone_and_whose_end_cannot_be_read_is_lost(
    directory: DataDirectory, bundle: LocalBundle, damage: Callable[[Path], object]
) -> None:
    request = request_of(bundle, "sleep")
    crashed_between_folder_and_spawn(directory, request)
    path = directory.workers / request.token / "exit.json"
    path.touch()
    damage(path)
    # The command line may look before a server does: it only reads.
    (folder,) = WorkerFolders(directory.workers).all()
    assert folder.exit is None
    ends = Ends()
    with backend(directory, ends):
        pass
    assert [(token, end.kind) for token, end in ends.told] == [(request.token, ExitKind.INTERRUPTED)]
    assert folder.exit is not None


def test_files_of_other_programs_keep_no_server_from_starting(directory: DataDirectory) -> None:
    (directory.workers / ".DS_Store").write_text("x")
    (directory.workers / "notes.txt").write_text("x")
    (directory.workers / "lost+found").mkdir()
    (directory.workers / "exe-1-1").write_text("x")
    for _ in range(2):
        with backend(directory, Ends()) as compute:
            compute.prune()
            assert list(compute.running()) == []
    names = {path.name for path in directory.workers.iterdir()}
    assert names == {".DS_Store", "notes.txt", "lost+found", "exe-1-1.unreadable"}


# --- copies of the folder ---------------------------------------------------------------------------------------------


def hard_links(source: str, target: str) -> None:
    os.link(source, target)


@pytest.mark.parametrize("how", [shutil.copy2, hard_links])
def test_on_a_copy_of_the_folder_workers_are_lost_and_those_of_the_original_live(
    directory: DataDirectory,
    bundle: LocalBundle,
    tmp_path: Path,
    eventually: Eventually,
    how: Callable[[str, str], object],
) -> None:
    request, original_ends, copy_ends = request_of(bundle, "sleep"), Ends(), Ends()
    with backend(directory, original_ends) as original:
        worker = original.launch(request)
        notes(bundle, request.token, "ready")
        shutil.copytree(directory.root, tmp_path / "copy", copy_function=how)
        with backend(prepare(tmp_path / "copy"), copy_ends) as copy:
            ((token, end),) = copy_ends.told
            assert (token, end.kind) == (request.token, ExitKind.INTERRUPTED)
            assert "copied" in end.reason
            copy.stop(worker, 0)
            assert list(copy.running()) == []
        assert [state.worker for state in original.running()] == [worker]
        release(bundle, request.token)
        eventually(lambda: original_ends.told)
    assert original_ends.told == [(request.token, ContainerExit(ExitKind.EXITED, "its process exited", 0))]


@pytest.mark.requires("linux")
def test_a_damaged_record_in_a_copy_costs_no_worker_of_the_original_its_life(
    directory: DataDirectory, bundle: LocalBundle, tmp_path: Path, eventually: Eventually
) -> None:
    request, ends = request_of(bundle, "sleep"), Ends()
    with backend(directory, ends) as original:
        worker = original.launch(request)
        notes(bundle, request.token, "ready")
        shutil.copytree(directory.root, tmp_path / "copy")
        (tmp_path / "copy" / "workers" / request.token / "record.json").write_text("")
        with backend(prepare(tmp_path / "copy"), Ends()) as copy:
            (state,) = copy.describe([worker])
            assert state.exit is not None
        release(bundle, request.token)
        eventually(lambda: ends.told)
    assert ends.told == [(request.token, ContainerExit(ExitKind.EXITED, "its process exited", 0))]


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
