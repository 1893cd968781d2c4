"""④ What the disk knows of each worker: a folder per launch token, which outlives the server.

    record.json     what was launched; there before the worker is
    alive           locked (flock) for as long as the worker lives: the server takes the lock, the worker inherits it
    process.json    number and start time of the worker's process
    stop.json       a stop has been asked for, and when patience ends
    exit.json       how it ended; there only once nothing of it runs any more

The folder appears whole, by a rename, and its lock is held from then on: first by the server that is about to start
the worker, then by the worker. So a folder whose lock is free and which has no exit is that of a worker that is gone,
or was never started because its server died in between; under its token nothing is started again.
"""

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from multinode_control_plane.adapters.local.logs import log_file_name
from multinode_control_plane.adapters.local.private_files import read_json, write_json
from multinode_control_plane.core.records import WorkerDetails
from multinode_control_plane.ports import ContainerExit, ExitKind
from multinode_protocol.process_tree import ProcessId

__all__ = ["LaunchRecord", "WorkerFolder", "WorkerFolders"]

_TOKEN = re.compile(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)+")
_NEW = ".new-"


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    token: str
    execution_id: str
    invocation_id: str
    project_name: str

    @property
    def worker(self) -> WorkerDetails:
        """The worker's details. Its type is the one that first-generation clients know besides ECS."""
        return WorkerDetails("TEST", self.token, log_file_name(self.invocation_id, self.execution_id))


class WorkerFolder:
    """The folder of one launch token."""

    def __init__(self, path: Path, record: LaunchRecord) -> None:
        self.path = path
        self.record = record

    def alive(self) -> bool:
        """Return True while the lock is held: the worker lives, or is just being started."""
        try:
            descriptor = os.open(self.path / "alive", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)

    def wait_until_dead(self) -> None:
        """Return once the lock is free."""
        descriptor = os.open(self.path / "alive", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    @property
    def process(self) -> ProcessId | None:
        """The worker's process as noted at its start; None when the server died before it could note it."""
        document = read_json(self.path / "process.json")
        return None if document is None else ProcessId(**document)  # type: ignore[arg-type]

    def note_process(self, process: ProcessId) -> None:
        write_json(self.path / "process.json", asdict(process))

    @property
    def stop_deadline(self) -> float | None:
        """When patience with a stop ends, in seconds since the epoch; None when none has been asked for."""
        document = read_json(self.path / "stop.json")
        return None if document is None else float(str(document["deadline"]))

    def note_stop(self, deadline: float) -> float:
        """Note a stop and return when patience ends: of several stops, at the earliest deadline."""
        noted = self.stop_deadline
        if noted is not None and noted <= deadline:
            return noted
        write_json(self.path / "stop.json", {"deadline": deadline})
        return deadline

    @property
    def exit(self) -> ContainerExit | None:
        document = read_json(self.path / "exit.json")
        if document is None:
            return None
        code = document["exit_code"]
        return ContainerExit(
            ExitKind(str(document["kind"])), str(document["reason"]), code if isinstance(code, int) else None
        )

    def note_exit(self, exit: ContainerExit) -> None:  # noqa: A002 - the port's word
        write_json(
            self.path / "exit.json", {"kind": exit.kind.value, "reason": exit.reason, "exit_code": exit.exit_code}
        )

    def remove(self) -> None:
        """Remove the folder: only for a launch that started no process."""
        shutil.rmtree(self.path)


class WorkerFolders:
    """All folders of a deployment."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self, record: LaunchRecord) -> tuple[WorkerFolder, int] | None:
        """Return a new folder and the descriptor that holds its lock; None when the token has a folder already.

        Of two calls with one token, in whatever processes, exactly one gets the folder.
        """
        new = self._root / f"{_NEW}{secrets.token_hex(8)}"
        path = self._root / record.token
        descriptor = -1
        try:
            new.mkdir(mode=0o700)
            write_json(new / "record.json", asdict(record))
            descriptor = os.open(new / "alive", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # rename(2) does not replace a folder that has files in it.
            new.rename(path)
        except OSError:
            if descriptor >= 0:
                os.close(descriptor)
            shutil.rmtree(new, ignore_errors=True)
            if path.is_dir():
                return None
            raise
        return WorkerFolder(path, record), descriptor

    def get(self, token: str) -> WorkerFolder | None:
        """Return the folder of a token; None for an unknown one, whatever its text: a worker may have sent it."""
        return self._folder(self._root / token) if _TOKEN.fullmatch(token) else None

    def of_execution(self, execution_id: str) -> list[WorkerFolder]:
        """Return the folders of all launch attempts of an execution."""
        if not _TOKEN.fullmatch(execution_id):
            return []
        found = (self._folder(path) for path in sorted(self._root.glob(f"{execution_id}-*")))
        return [folder for folder in found if folder is not None]

    def all(self) -> Iterator[WorkerFolder]:
        for path in sorted(self._root.iterdir()):
            if not path.name.startswith(".") and (folder := self._folder(path)) is not None:
                yield folder

    def remove_unfinished(self) -> None:
        """Remove what a server left behind that died while it made a folder: nothing was started from it."""
        for path in self._root.glob(f"{_NEW}*"):
            shutil.rmtree(path, ignore_errors=True)

    def prune(self, older_than_s: float) -> None:
        """Remove the folders of workers that ended longer ago than that."""
        limit = time.time() - older_than_s
        for path in self._root.iterdir():
            try:
                ended_at = (path / "exit.json").stat().st_mtime
            except FileNotFoundError:
                continue
            if ended_at < limit:
                shutil.rmtree(path, ignore_errors=True)

    def remove_ended(self, project_name: str) -> None:
        """Remove the folders of a project's workers that have ended."""
        for folder in self.all():
            if folder.record.project_name == project_name and folder.exit is not None:
                shutil.rmtree(folder.path, ignore_errors=True)

    def _folder(self, path: Path) -> WorkerFolder | None:
        document = read_json(path / "record.json")
        return None if document is None else WorkerFolder(path, LaunchRecord(**document))  # type: ignore[arg-type]
