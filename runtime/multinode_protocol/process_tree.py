"""All processes that a process has started: finding them, and killing them all. Standard library only.

The first process leads its own session, and all that it starts inherits both the session and the environment, in which
a variable marks them. A process that has left the session is still known by its environment, one that has wiped its
environment by the session. Linux shows both in ``/proc`` (proc(5)); elsewhere only the process group of the first
process can be reached.

The local backend finds a worker and all that it started by it, the worker what the user's code has started.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MARK", "ProcessId", "find_leader", "identify", "kill_all", "kill_group", "send", "signal_group"]

MARK = "MULTINODE_WORKER_MARK"
"""The environment variable by which the processes of a worker are found: it names deployment and launch."""
PROC = Path("/proc")
ROUNDS = 200
PAUSE_S = 0.025
_GONE_STATES = frozenset("ZX")
"""Zombies run no code: their parent has not yet asked for their exit."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told from a later one of the same number by its start time (clock ticks since boot; 0: not known)."""

    pid: int
    start_time: int


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    session: int
    start_time: int


def identify(pid: int) -> ProcessId:
    """Return the process that has this number now."""
    stat = _stat(pid)
    return ProcessId(pid, 0 if stat is None else stat.start_time)


def send(process: ProcessId, number: signal.Signals) -> bool:
    """Send a signal to exactly this process. Return False when it is gone."""
    handle = None
    if sys.platform == "linux":
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return False
        except OSError:
            # A kernel before 5.3, or a sandbox: the start time alone has to do.
            handle = None
    try:
        # With the handle open, the number cannot pass to another process between the look and the signal.
        if process.start_time and identify(process.pid) != process:
            return False
        if handle is not None:
            signal.pidfd_send_signal(handle, number)
        else:
            os.kill(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if handle is not None:
            os.close(handle)
    return True


def find_leader(mark: str) -> ProcessId | None:
    """Return the worker that was launched under `mark`, where the system can tell; else None.

    The worker's guard and child lead sessions too, but their parent is one of its processes.
    """
    if sys.platform != "linux":
        return None
    members = {pid: stat for pid in _members(mark, None) if (stat := _stat(pid)) is not None}
    leaders = [(pid, stat) for pid, stat in members.items() if stat.session == pid]
    leaders.sort(key=lambda each: (each[1].parent in members, each[1].start_time, each[0]))
    return ProcessId(leaders[0][0], leaders[0][1].start_time) if leaders else None


def kill_all(mark: str, leader: ProcessId | None, *, variable: str = MARK) -> bool:
    """Kill the session's leader and all that it started, and wait until none of it runs.

    `variable` holds `mark` in the environment of each. Return False when some survive, or when nobody can tell. Outside
    Linux only the leader's process group counts.
    """
    if sys.platform != "linux":
        return kill_group(leader)
    for _ in range(ROUNDS):
        session = _session(leader)
        if session is not None:
            # It reaches every member at once: none can fork itself past it.
            signal_group(session)
        alive = list(_members(mark, leader, variable))
        if not alive:
            return True
        for pid in alive:
            stat = _stat(pid)
            if stat is not None:
                send(ProcessId(pid, stat.start_time), signal.SIGKILL)
        time.sleep(PAUSE_S)
    return False


def kill_group(
    leader: ProcessId | None,
    *,
    killpg: Callable[[int, int], None] = os.killpg,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """Kill the process group of `leader` and wait until it is empty; as `kill_all` where there is no ``/proc``."""
    if leader is None:
        return False
    for _ in range(ROUNDS):
        try:
            killpg(leader.pid, signal.SIGKILL)
        except ProcessLookupError:
            return True
        except PermissionError:
            # Another user's process; on macOS also a zombie, which is gone as soon as its parent asks for its exit.
            pass
        sleep(PAUSE_S)
    return False


def signal_group(group: int) -> None:
    """Send SIGKILL to every process of a group. No error when it has none."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone; on macOS, PermissionError when only zombies are left
        return


def _session(leader: ProcessId | None) -> int | None:
    """Return the number of the leader's session and process group. None when it may be another's by now."""
    if leader is None:
        return None
    if leader.start_time:
        now = _stat(leader.pid)
        if now is not None and now.start_time != leader.start_time:
            # The number has passed on, which it can only do once nobody of the old session is left.
            return None
    return leader.pid


def _members(mark: str, leader: ProcessId | None, variable: str = MARK) -> Iterator[int]:
    """Yield the numbers of the processes that belong to the leader and still run."""
    entry_of_mark = f"{variable}={mark}".encode()
    session = _session(leader)
    own = os.getpid()
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == own:
            continue
        pid = int(entry.name)
        stat = _stat(pid)
        if stat is None or stat.state in _GONE_STATES:
            continue
        if stat.session == session or entry_of_mark in _environment(entry):
            yield pid


def _environment(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (OSError, ValueError):
        return None
    # The name in field 2 may hold blanks and brackets: fields 3 and on follow its last bracket.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], parent=int(fields[1]), session=int(fields[3]), start_time=int(fields[19]))
