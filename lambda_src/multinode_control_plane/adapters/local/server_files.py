"""Which server owns a data directory: a lock that it holds until its process ends, and a note of where it listens.

ServerAlreadyRuns(Exception)    another server holds the lock
"""

import fcntl
import os
import time
from dataclasses import asdict, dataclass

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.adapters.local.private_files import read_json, write_json

PATIENCE_S = 1.0
"""`running_pid` takes the lock for a moment, which must not keep a server from starting."""


class ServerAlreadyRuns(Exception):
    """`pid` is the process id of the server that owns the data directory; None if it has not noted it yet."""

    def __init__(self, directory: DataDirectory, pid: int | None) -> None:
        who = "A server" if pid is None else f"A server (process {pid})"
        super().__init__(
            f"{who} already runs on {directory.root}. Stop it with `multinode local stop`, or choose another folder "
            "with --data-dir."
        )
        self.pid = pid


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server notes about itself. The note outlives the server: only the lock says whether it still runs."""

    pid: int
    port: int
    url: str
    started_at: float
    version: str


class ServerLock:
    """Held until the process ends, however it ends."""

    def __init__(self, directory: DataDirectory) -> None:
        """Take the lock. Raises ServerAlreadyRuns."""
        self._descriptor = os.open(directory.server_lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    pid = _noted_pid(self._descriptor)
                    os.close(self._descriptor)
                    raise ServerAlreadyRuns(directory, pid) from None
                time.sleep(0.05)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Release the data directory."""
        os.close(self._descriptor)


def running_pid(directory: DataDirectory) -> int | None:
    """Return the id of the process that serves the directory now; None if there is none, or it is just starting."""
    try:
        descriptor = os.open(directory.server_lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _noted_pid(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def read_server_info(directory: DataDirectory) -> ServerInfo | None:
    """Return what the last server noted; None if there was none, or its note cannot be read."""
    try:
        document = read_json(directory.server)
        return None if document is None else ServerInfo(**document)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return None


def write_server_info(directory: DataDirectory, info: ServerInfo) -> None:
    write_json(directory.server, asdict(info))


def _noted_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
