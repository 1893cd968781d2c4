"""Local compute with a stub for a worker: what it starts, how that ends, and which process gets a signal."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.adapters.local.workers import LaunchRecord, WorkerFolders
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import LocalBundle, WorkerDetails
from multinode_control_plane.ports import LaunchRefused
from multinode_protocol.process_tree import (
    ProcessId,
    identify,
    kill_all,
    kill_group,
    send,
)
from tests.control_plane.conftest import Eventually
from tests.support.local_compute import Ends, backend, request_of
from tests.support.stub_worker import make_bundle, notes, pids_of, release, started

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]


def is_alive(pid: int) -> bool:
    return (Path("/proc") / str(pid)).exists() and kill_zero(pid)


def kill_zero(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- what is started -----------------------------------------------------------------------------------------------


def test_a_worker_starts_in_its_own_session_with_a_clean_environment(
    directory: DataDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (tmp_path / "values.json").write_text(json.dumps({"GREETING": "hello", "MULTINODE_API_URL": "evil"}))
    bundle = make_bundle(tmp_path / "bundle", sys.executable, env_file=str(tmp_path / "values.json"))
    with backend(directory, Ends()) as compute, (tmp_path / "open").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        request = request_of(bundle, "environment")
        compute.launch(request)
        noted: Any = notes(bundle, request.token, "environment")
        environment, folder, descriptors, leads_session = noted
    assert leads_session
    assert folder == bundle.code_dir
    # Standard streams, the lock, and the one that lists the folder of descriptors.
    assert len(descriptors) == 5
    assert environment["GREETING"] == "hello"
    assert environment["MULTINODE_API_URL"] == request.environment["MULTINODE_API_URL"]
    assert environment["MULTINODE_CODE_DIR"] == bundle.code_dir
    assert environment["MULTINODE_LOG_FORMAT"] == "json"
    assert environment["MULTINODE_WORKER_IDENTIFIER"] == request.token
    assert environment["PATH"].split(":")[0] == str(Path(bundle.python).parent)
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    allowed = {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "GREETING"}
    extra = {name for name in environment if not name.startswith("MULTINODE_")} - allowed
    # The shell that the stub goes through sets these itself.
    assert extra <= {"PWD", "OLDPWD", "SHLVL", "_"}


def test_of_many_launches_of_one_token_at_once_one_starts_a_worker(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    request = request_of(bundle, "sleep")
    with backend(directory, Ends()) as first, backend(directory, Ends()) as second:
        workers: list[WorkerDetails] = []
        threads = [
            threading.Thread(target=lambda compute=compute: workers.append(compute.launch(request)))
            for compute in [first, second] * 8
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        eventually(lambda: started(bundle))
        assert len(set(workers)) == 1
        assert len(workers) == 16
        assert len(first.running()) + len(second.running()) == 1
        release(bundle, request.token)
        eventually(lambda: not first.running() and not second.running())
    assert len(started(bundle)) == 1


@pytest.mark.parametrize("missing", ["code_dir", "python", "env_file"])
def test_a_bundle_of_which_a_part_is_gone_is_refused_for_good(
    directory: DataDirectory, bundle: LocalBundle, missing: str
) -> None:
    broken = replace(bundle, **{missing: "/nonexistent/thing"})
    with backend(directory, Ends()) as compute:
        with pytest.raises(
            LaunchRefused, match="/nonexistent/thing no longer exists; deploy the project again"
        ) as refusal:
            compute.launch(request_of(broken, "sleep"))
        assert refusal.value.permanent
        assert list(compute.running()) == []


def test_a_version_of_another_backend_is_refused_for_good(directory: DataDirectory, bundle: LocalBundle) -> None:
    with backend(directory, Ends()) as compute:
        with pytest.raises(LaunchRefused, match="not deployed for the local backend") as refusal:
            compute.launch(replace(request_of(bundle, "sleep"), local_bundle=None))
    assert refusal.value.permanent


def test_values_that_cannot_be_read_are_refused_without_being_quoted(directory: DataDirectory, tmp_path: Path) -> None:
    (tmp_path / "values.json").write_text('{"KEY": "hunter2"')
    bundle = make_bundle(tmp_path / "bundle", sys.executable, env_file=str(tmp_path / "values.json"))
    with backend(directory, Ends()) as compute:
        with pytest.raises(LaunchRefused, match="cannot be read") as refusal:
            compute.launch(request_of(bundle, "sleep"))
    assert "hunter2" not in refusal.value.reason


def test_a_broken_interpreter_is_refused_and_its_token_may_be_tried_again(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    text = Path(bundle.python).read_text()
    Path(bundle.python).chmod(0o644)
    request = request_of(bundle, "sleep")
    ends = Ends()
    with backend(directory, ends) as compute:
        with pytest.raises(LaunchRefused, match="cannot be started") as refusal:
            compute.launch(request)
        assert refusal.value.permanent
        assert list(compute.find(request.execution.execution_id)) == []
        Path(bundle.python).write_text(text)
        Path(bundle.python).chmod(0o755)
        compute.launch(request)
        eventually(lambda: started(bundle))
        release(bundle, request.token)
        eventually(lambda: ends.told)


# --- how it ends ----------------------------------------------------------------------------------------------------


def test_a_worker_that_fails_tells_its_code_and_the_interpreters_last_words(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    ends = Ends()
    with backend(directory, ends) as compute:
        request = request_of(bundle, "exit-3")
        compute.launch(request)
        eventually(lambda: ends.told)
    expected = ContainerExit(ExitKind.EXITED, "its process exited: ModuleNotFoundError: no module named 'x'", 3)
    assert ends.told == [(request.token, expected)]


def test_a_worker_that_somebody_kills_is_an_interruption(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    ends = Ends()
    with backend(directory, ends) as compute:
        request = request_of(bundle, "sleep")
        compute.launch(request)
        eventually(lambda: pids_of(bundle, request.token))
        os.kill(pids_of(bundle, request.token)[0], signal.SIGKILL)
        eventually(lambda: ends.told)
    ((_, end),) = ends.told
    # 128 + 9, as a shell counts signals.
    assert (end.kind, end.exit_code) == (ExitKind.INTERRUPTED, 137)
    assert "SIGKILL" in end.reason


def test_a_stopped_worker_ends_by_sigterm(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    ends = Ends()
    with backend(directory, ends) as compute:
        request = request_of(bundle, "sleep")
        worker = compute.launch(request)
        notes(bundle, request.token, "ready")
        compute.stop(worker, 600)
        eventually(lambda: ends.told)
    assert ends.told == [(request.token, ContainerExit(ExitKind.STOPPED, "stopped", 128 + 15))]


def test_a_worker_that_ignores_its_stop_is_killed_after_the_grace(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    ends = Ends()
    with backend(directory, ends) as compute:
        request = request_of(bundle, "stubborn")
        worker = compute.launch(request)
        notes(bundle, request.token, "ready")
        compute.stop(worker, 600)
        compute.stop(worker, 1)
        compute.stop(worker, 600)
        eventually(lambda: ends.told)
    # The shortest grace counts: a repeated stop does not begin it anew.
    assert ends.told == [(request.token, ContainerExit(ExitKind.STOPPED, "stopped", 128 + 9))]


@pytest.mark.requires("linux")
@pytest.mark.parametrize("how", ["stopped", "killed", "ends"])
def test_nothing_that_a_worker_started_is_left_once_its_end_is_told(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually, how: str
) -> None:
    ends = Ends()
    with backend(directory, ends) as compute:
        request = request_of(bundle, "family")
        worker = compute.launch(request)
        family = notes(bundle, request.token, "family")
        assert isinstance(family, list)
        assert all(is_alive(pid) for pid in family)
        if how == "stopped":
            compute.stop(worker, 0)
        elif how == "killed":
            os.kill(pids_of(bundle, request.token)[0], signal.SIGKILL)
        else:
            release(bundle, request.token)
        eventually(lambda: ends.told)
        assert not any(running_code(pid) for pid in family)


def running_code(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_an_end_that_cannot_be_committed_is_told_again(
    directory: DataDirectory, bundle: LocalBundle, eventually: Eventually
) -> None:
    ends = Ends(RuntimeError("busy"), RuntimeError("busy"))
    with backend(directory, ends) as compute:
        request = request_of(bundle, "sleep")
        compute.launch(request)
        release(bundle, request.token)
        eventually(lambda: ends.told)
    assert [token for token, _ in ends.told] == [request.token]


# --- signals to exactly one process ----------------------------------------------------------------------------------


@pytest.mark.requires("linux")
def test_a_process_of_the_same_number_but_another_start_gets_no_signal(
    directory: DataDirectory, bundle: LocalBundle
) -> None:
    request = request_of(bundle, "sleep")
    with backend(directory, Ends()) as compute:
        compute.launch(request)
        notes(bundle, request.token, "ready")
        (pid,) = pids_of(bundle, request.token)
        earlier = ProcessId(pid, identify(pid).start_time - 1)
        assert not send(earlier, signal.SIGKILL)
        assert kill_all("nobody/exe-1-1", earlier)
        assert running_code(pid)


# --- groups of processes, where there is no /proc --------------------------------------------------------------------


def test_a_group_is_killed_and_found_empty() -> None:
    sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    reaper = threading.Thread(target=sleeper.wait)
    reaper.start()
    assert kill_group(ProcessId(sleeper.pid, 0))
    reaper.join()
    assert sleeper.returncode == -signal.SIGKILL
    assert kill_group(ProcessId(sleeper.pid, 0))


def test_nothing_is_claimed_of_a_group_whose_leader_is_not_known() -> None:
    assert not kill_group(None)


@pytest.mark.parametrize("refuses", [True, False])
def test_a_group_of_which_some_survive_is_not_said_to_be_gone(refuses: bool) -> None:
    def killpg(group: int, number: int) -> None:
        if refuses:
            raise PermissionError

    pauses: list[float] = []
    assert not kill_group(ProcessId(7, 0), killpg=killpg, sleep=pauses.append)
    # As long as on Linux: 200 looks, 25 ms apart.
    assert pauses == [0.025] * 200


def test_a_process_that_is_gone_gets_no_signal() -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], {})
    gone = identify(pid)
    os.waitpid(pid, 0)
    assert not send(gone, signal.SIGTERM)


def test_the_lock_of_a_folder_is_held_exactly_while_somebody_has_it(directory: DataDirectory) -> None:
    folders = WorkerFolders(directory.workers)
    created = folders.create(LaunchRecord("exe-1-1", "exe-1", "inv-1", "shop", "d"))
    assert created is not None
    folder, lock = created
    assert folder.alive()
    assert folders.create(folder.record) is None
    fcntl.flock(lock, fcntl.LOCK_UN)
    assert not folder.alive()
    folder.wait_until_dead()
    os.close(lock)
