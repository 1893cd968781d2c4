"""Nothing that the code started outlives its execution, however that ends."""

import fcntl
import os
import signal
from pathlib import Path

import pytest

from tests.support.one_execution import OneExecution
from tests.support.processes import alive
from tests.worker.conftest import Launch

pytestmark = pytest.mark.slow


def test_nothing_that_the_code_started_outlives_the_execution(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch(
        """
        import subprocess
        @mn.function()
        def work():
            plain = subprocess.Popen(["sleep", "3600"])
            daemon = subprocess.Popen(["sleep", "3600"], start_new_session=True)
            return [plain.pid, daemon.pid]
        """
    )
    assert worker.wait() == 0
    plain, daemon = map(int, control_plane.finished["final_output"][1:-1].split(","))
    assert (alive(plain), alive(daemon)) == (False, False)


def test_a_bounded_fork_bomb_is_reported_and_all_of_it_killed(launch: Launch, control_plane: OneExecution) -> None:
    worker = launch(
        """
        import os, time
        @mn.function()
        def work():
            for generation in range(6):
                if os.fork() == 0 and generation % 2:
                    os.setsid()
            if os.getpid() != first:
                print(os.getpid(), flush=True)
                os.write(printed, b"x")
                time.sleep(3600)
            for _ in range(2**6 - 1):
                os.read(told, 1)
        first = os.getpid()
        told, printed = os.pipe()
        """
    )
    assert worker.wait() == 0
    assert control_plane.finished["outcome"] == "SUCCEEDED"
    pids = [int(line) for line in worker.printed()]
    assert len(pids) == 2**6 - 1
    assert [pid for pid in pids if alive(pid)] == []


@pytest.mark.parametrize("to_group", [False, True])
def test_nothing_survives_a_killed_supervisor(launch: Launch, control_plane: OneExecution, to_group) -> None:
    worker = launch(
        """
        import os, subprocess, time
        @mn.function()
        def work():
            plain = subprocess.Popen(["sleep", "3600"])
            daemon = subprocess.Popen(["sleep", "3600"], start_new_session=True)
            print(os.getpid(), plain.pid, daemon.pid)
            time.sleep(3600)
        """
    )
    worker.until(worker.printed)
    pids = [int(pid) for pid in worker.printed()[0].split()]
    assert all(alive(pid) for pid in pids)
    (os.killpg if to_group else os.kill)(worker.process.pid, signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    worker.until(lambda: not any(alive(pid) for pid in pids))
    assert control_plane.finished is None


def test_a_lock_that_the_supervisor_was_given_is_let_go_only_when_all_is_dead(launch: Launch, tmp_path: Path) -> None:
    with (tmp_path / "alive").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        worker = launch(
            """
            import os, subprocess, time
            @mn.function()
            def work():
                print(os.getpid(), subprocess.Popen(["sleep", "3600"]).pid)
                time.sleep(3600)
            """,
            pass_fds=[lock.fileno()],
        )
    worker.until(worker.printed)
    with (tmp_path / "alive").open("w") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        worker.process.kill()
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits until nobody holds it
    assert [pid for pid in map(int, worker.printed()[0].split()) if alive(pid)] == []
