"""What is stored about each worker: a folder per launch token, which outlives the server.

    record.json     what was launched; written before the worker starts
    alive           locked (flock) for as long as the worker lives: the server takes the lock, the worker inherits it
    process.json    id and start time of the worker's process
    stop.json       a stop has been requested, and when the worker is killed
    exit.json       how it ended; written only once none of its processes runs any more

The files are independent. One that cannot be read counts as absent, and a starting server renames it to
``<name>.unreadable``, as it does with a folder without a readable record. Files with other names are ignored.

A folder appears complete, by a rename, and its lock is held from then on: first by the server that is about to start
the worker, then by the worker. If the lock is free and there is no exit, the worker is gone, or was never started
because its server died in between. Nothing is started again under its token.
"""

import fcntl
import logging
import math
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from multinode_control_plane.adapters.local.logs import log_file_name
from multinode_control_plane.adapters.local.private_files import JsonObject, read_json, sync_folder, write_json
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import WorkerDetails
from multinode_protocol.process_tree import ProcessId

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TOKEN = re.compile(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)+")
_NEW = ".new-"
_UNREADABLE = ".unreadable"
"""No token contains a full stop, so a name with this suffix no longer belongs to a worker."""


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    token: str
    execution_id: str
    invocation_id: str
    project_name: str
    deployment_id: str

    @property
    def mark(self) -> str:
        """The value of `process_tree.MARK` in the environment of the worker's processes."""
        return mark_of(self.deployment_id, self.token)

    @property
    def worker(self) -> WorkerDetails:
        """The worker's details, with the one type besides ECS that first-generation clients know."""
        return WorkerDetails("TEST", self.token, log_file_name(self.invocation_id, self.execution_id))


def mark_of(deployment_id: str, token: str) -> str:
    return f"{deployment_id}/{token}"


class WorkerFolder:
    """The folder of one launch token."""

    def __init__(self, path: Path, record: LaunchRecord) -> None:
        self.path = path
        self.record = record

    def alive(self) -> bool:
        """Return True while the lock is held: the worker is alive, or just being started."""
        try:
            descriptor = os.open(self.path / "alive", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
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
        """The worker's process as noted at its start; None if the server died before it could note it."""
        return _noted(self.path / "process.json", _process)

    def note_process(self, process: ProcessId) -> None:
        write_json(self.path / "process.json", asdict(process))

    @property
    def stop_deadline(self) -> float | None:
        """When a stopping worker is killed, in seconds since the epoch; None if no stop has been requested."""
        return _noted(self.path / "stop.json", _deadline)

    def note_stop(self, deadline: float) -> float:
        """Note a stop and return its deadline: of several stops, the earliest."""
        noted = self.stop_deadline
        if noted is not None and noted <= deadline:
            return noted
        write_json(self.path / "stop.json", {"deadline": deadline})
        return deadline

    @property
    def exit(self) -> ContainerExit | None:
        return _noted(self.path / "exit.json", _exit)

    def note_exit(self, exit: ContainerExit) -> None:  # noqa: A002 - the port's word
        document = {"kind": exit.kind.value, "reason": exit.reason, "exit_code": exit.exit_code}
        write_json(self.path / "exit.json", document, durable=True)

    def set_aside_unreadable(self) -> None:
        """Rename the files that cannot be read, which count as absent, so that they can still be inspected."""
        noted = {"process.json": self.process, "stop.json": self.stop_deadline, "exit.json": self.exit}
        for name, value in noted.items():
            if value is None and os.path.lexists(self.path / name):
                _set_aside(self.path / name)

    def remove(self) -> None:
        """Remove the folder, for a launch that started no process."""
        shutil.rmtree(self.path)


class WorkerFolders:
    """All folders of a deployment."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self, record: LaunchRecord) -> tuple[WorkerFolder, int] | None:
        """Return a new folder and the descriptor that holds its lock; None if the token has a folder already.

        Of two calls with one token, even in different processes, exactly one gets the folder.
        """
        new = self._root / f"{_NEW}{secrets.token_hex(8)}"
        path = self._root / record.token
        descriptor = -1
        try:
            new.mkdir(mode=0o700)
            write_json(new / "record.json", asdict(record), durable=True)
            descriptor = os.open(new / "alive", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # rename(2) does not replace a folder that has files in it.
            new.rename(path)
            sync_folder(self._root)
        except OSError:
            if descriptor >= 0:
                os.close(descriptor)
            shutil.rmtree(new, ignore_errors=True)
            if path.is_dir():
                return None
            raise
        return WorkerFolder(path, record), descriptor

    def get(self, token: str) -> WorkerFolder | None:
        """Return the folder of a token, None for an unknown one. Any text is safe: a worker may have sent it."""
        return _folder(self._root / token) if _TOKEN.fullmatch(token) else None

    def known(self, token: str) -> bool:
        """Return True if the token has been launched, even if nothing that was noted about it can be read."""
        paths = (self._root / token, self._root / f"{token}{_UNREADABLE}")
        return _TOKEN.fullmatch(token) is not None and any(os.path.lexists(path) for path in paths)

    def of_execution(self, execution_id: str) -> list[WorkerFolder]:
        """Return the folders of all launch attempts of an execution."""
        if not _TOKEN.fullmatch(execution_id):
            return []
        found = (_folder(path) for path in self._paths() if path.name.startswith(f"{execution_id}-"))
        return [folder for folder in found if folder is not None]

    def all(self) -> Iterator[WorkerFolder]:
        for path in self._paths():
            if (folder := _folder(path)) is not None:
                yield folder

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._root.iterdir() if _TOKEN.fullmatch(path.name))

    def set_aside_unreadable(self) -> list[str]:
        """Rename and log files that cannot be read; return the tokens whose very record cannot be read."""
        lost = []
        for path in self._paths():
            folder = _folder(path)
            if folder is None:
                _set_aside(path)
                lost.append(path.name)
            else:
                folder.set_aside_unreadable()
        return lost

    def remove_unfinished(self) -> None:
        """Remove folders that a server was creating when it died: nothing was started from them."""
        for path in self._root.glob(f"{_NEW}*"):
            shutil.rmtree(path, ignore_errors=True)

    def prune(self, older_than_s: float) -> None:
        """Remove the folders of workers that ended more than `older_than_s` seconds ago."""
        limit = time.time() - older_than_s
        for path in self._paths():
            try:
                ended_at = (path / "exit.json").stat().st_mtime
            except OSError:
                continue
            if ended_at < limit:
                shutil.rmtree(path, ignore_errors=True)

    def remove_ended(self, project_name: str) -> None:
        """Remove the folders of a project's workers that have ended."""
        for folder in self.all():
            if folder.record.project_name == project_name and folder.exit is not None:
                shutil.rmtree(folder.path, ignore_errors=True)


def _folder(path: Path) -> WorkerFolder | None:
    """Return the folder at `path`; None if its record cannot be read."""
    record = _noted(path / "record.json", _record)
    # A folder that was copied by hand to another name does not belong to that launch.
    return WorkerFolder(path, record) if record is not None and record.token == path.name else None


def _record(document: JsonObject) -> LaunchRecord:
    return LaunchRecord(**{name: str(value) for name, value in document.items()})


def _noted(path: Path, parse: Callable[[JsonObject], T]) -> T | None:
    """Return what a file says; None if it does not exist or cannot be read."""
    try:
        document = read_json(path)
        return None if document is None else parse(document)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _process(document: JsonObject) -> ProcessId:
    pid, start_time = document["pid"], document["start_time"]
    # Signals to 0, 1 and negative numbers would reach other processes than the worker.
    if not (isinstance(pid, int) and pid > 1 and isinstance(start_time, int)):
        raise ValueError("no process")
    return ProcessId(pid, start_time)


def _deadline(document: JsonObject) -> float:
    deadline = float(str(document["deadline"]))
    if not math.isfinite(deadline):
        raise ValueError("no time")
    return deadline


def _exit(document: JsonObject) -> ContainerExit:
    code = document["exit_code"]
    return ContainerExit(
        ExitKind(str(document["kind"])), str(document["reason"]), code if isinstance(code, int) else None
    )


def _set_aside(path: Path) -> None:
    aside = path.with_name(f"{path.name}{_UNREADABLE}")
    try:
        path.rename(aside)
    except OSError as error:
        logger.error("%s cannot be read or renamed: %s", path, error)  # noqa: TRY400 - the cause says it all
    else:
        logger.error("%s could not be read: it is now %s, and its worker counts as lost", path, aside)
