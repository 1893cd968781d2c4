"""Compute on this machine: one supervised process, in a session of its own, per execution.

Workers outlive the server that started them, and the next server on the same data directory takes them over: `workers`
finds them on the disk. The end of a worker is reported to `ended` at once; if that is missed, `describe` shows it to
the sweep.
"""

import heapq
import logging
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from multinode_control_plane.adapters.local import launching
from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.adapters.local.deployment_id import deployment_id
from multinode_control_plane.adapters.local.logs import last_words
from multinode_control_plane.adapters.local.workers import LaunchRecord, WorkerFolder, WorkerFolders, mark_of
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import WorkerDetails
from multinode_control_plane.ports import ContainerState, LaunchRefused, LaunchRequest
from multinode_protocol.limits import PROJECT_NAME_PATTERN
from multinode_protocol.process_tree import ProcessId, find_leader, identify, kill_all, send

logger = logging.getLogger(__name__)

KEEP_ENDED_S = 3600.0
"""How long the folder of a worker that has ended is kept: longer than anything can still ask for it."""
KILL_AGAIN_AFTER_S = 5.0
TELL_TRIES = 5

Ended = Callable[[LaunchRecord, ContainerExit], None]
"""Called for each worker that has ended, possibly twice; it may raise."""


@dataclass
class _Watched:
    """A running worker. `child` is its process if this server started it, and None for an adopted worker."""

    folder: WorkerFolder
    process: ProcessId | None
    child: "subprocess.Popen[bytes] | None"


class LocalCompute:
    """See `ports.Compute`."""

    def __init__(self, directory: DataDirectory, server_environment: Mapping[str, str], ended: Ended) -> None:
        self._directory = directory
        self._server_environment = server_environment
        self._ended = ended
        self._folders = WorkerFolders(directory.workers)
        self._deployment_id = deployment_id(directory)
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._closing = False
        self._kills = threading.Condition()
        self._deadlines: list[tuple[float, str]] = []
        """Heap of the times at which stopping workers are killed (seconds since the epoch), with their tokens."""
        self._killer = threading.Thread(target=self._kill_when_due, name="killer", daemon=True)

    def start(self) -> None:
        """Take over the workers that still run, and settle those that ended while no server ran."""
        self._folders.remove_unfinished()
        self._folders.prune(KEEP_ENDED_S)
        for token in self._folders.set_aside_unreadable():
            # The first sweep settles its execution, because `describe` reports it as lost.
            self._clear_away(mark_of(self._deployment_id, token), None)
        self._killer.start()
        for folder in self._folders.all():
            if folder.exit is not None:
                continue
            if self._owns(folder) and folder.alive():
                self._adopt(folder)
            else:
                self._tell(folder.record, self._settle_lost(folder))

    def close(self) -> None:
        """Stop watching the workers, which keep running; nothing is reported any more."""
        self._closing = True
        with self._kills:
            self._kills.notify_all()

    def prune(self) -> None:
        self._folders.prune(KEEP_ENDED_S)

    # --- the port ---

    def launch(self, request: LaunchRequest) -> WorkerDetails:
        record = LaunchRecord(
            request.token,
            request.execution.execution_id,
            request.invocation.invocation_id,
            request.invocation.project_name,
            self._deployment_id,
        )
        if self._folders.known(request.token):
            return record.worker
        bundle = launching.bundle_of(request)
        variables = launching.worker_environment(request, bundle, self._server_environment, record.mark)
        try:
            created = self._folders.create(record)
        except OSError as error:
            raise LaunchRefused(f"its folder cannot be made: {error}") from error
        if created is None:
            return record.worker
        folder, lock = created
        try:
            child = launching.spawn(bundle, variables, self._directory.logs / record.worker.logs_identifier, lock)
        except BaseException:
            folder.remove()
            raise
        finally:
            # The worker holds the lock by now; from here on it is free exactly when the worker is gone.
            os.close(lock)
        process = identify(child.pid)
        folder.note_process(process)
        self._watch(_Watched(folder, process, child))
        return record.worker

    def stop(self, worker: WorkerDetails, grace_s: int) -> None:
        folder = self._folders.get(worker.identifier)
        if folder is None or folder.exit is not None:
            return
        deadline = folder.note_stop(time.time() + grace_s)
        with self._lock:
            watched = self._watched.get(worker.identifier)
        process = None if watched is None else watched.process or find_leader(watched.folder.record.mark)
        if process is not None:
            send(process, signal.SIGTERM)
        self._kill_at(deadline, worker.identifier)

    def describe(self, workers: Sequence[WorkerDetails]) -> Sequence[ContainerState]:
        states = (self._describe(worker) for worker in workers)
        return [state for state in states if state is not None]

    def find(self, execution_id: str) -> Sequence[ContainerState]:
        return [self._state(folder) for folder in self._folders.of_execution(execution_id)]

    def running(self) -> Sequence[ContainerState]:
        # Every running worker is watched: `launch` watches the one that it started, `start` all that it found.
        with self._lock:
            folders = [watched.folder for watched in self._watched.values()]
        states = [self._state(folder) for folder in folders]
        return [state for state in states if state.exit is None]

    def forget_project(self, project_name: str) -> None:
        if re.fullmatch(PROJECT_NAME_PATTERN, project_name):
            shutil.rmtree(self._directory.secrets / project_name, ignore_errors=True)
            self._folders.remove_ended(project_name)

    # --- watching ---

    def _describe(self, worker: WorkerDetails) -> ContainerState | None:
        with self._lock:
            watched = self._watched.get(worker.identifier)
        folder = self._folders.get(worker.identifier) if watched is None else watched.folder
        if folder is not None:
            return self._state(folder)
        if self._folders.known(worker.identifier):
            lost = ContainerExit(ExitKind.INTERRUPTED, "the notes about its process could not be read")
            return ContainerState(worker, worker.identifier.rpartition("-")[0], lost)
        return None

    def _owns(self, folder: WorkerFolder) -> bool:
        """Return False for a worker of the deployment from which this data directory was copied: leave it alone."""
        return folder.record.deployment_id == self._deployment_id

    def _state(self, folder: WorkerFolder) -> ContainerState:
        exit = folder.exit  # noqa: A001 - the port's word
        if exit is None and not self._lives(folder):
            # Its end may have been noted between the two checks.
            exit = folder.exit or self._settle_lost(folder)  # noqa: A001
        return ContainerState(folder.record.worker, folder.record.execution_id, exit, folder.record.invocation_id)

    def _lives(self, folder: WorkerFolder) -> bool:
        with self._lock:
            watched = folder.record.token in self._watched
        return watched or folder.alive()

    def _watch(self, watched: _Watched) -> None:
        token = watched.folder.record.token
        with self._lock:
            self._watched[token] = watched
        threading.Thread(target=self._follow, args=(watched,), name=f"watch-{token}", daemon=True).start()

    def _adopt(self, folder: WorkerFolder) -> None:
        """Take over a worker that another server started; if a stop was requested, continue it."""
        token = folder.record.token
        process = folder.process or find_leader(folder.record.mark)
        logger.info("adopted %s (process %s)", token, "unknown" if process is None else process.pid)
        self._watch(_Watched(folder, process, None))
        deadline = folder.stop_deadline
        if deadline is not None:
            if process is not None:
                send(process, signal.SIGTERM)
            self._kill_at(deadline, token)

    def _follow(self, watched: _Watched) -> None:
        """Wait for a worker's end, kill the processes that it left running, and report the end."""
        folder, token = watched.folder, watched.folder.record.token
        try:
            if watched.child is not None:
                status = self._end_child(watched, watched.child)
                stopped = folder.stop_deadline is not None
                exit = _exit_of(status, stopped, self._directory.logs / folder.record.worker.logs_identifier)  # noqa: A001
            else:
                _wait_for_adopted(watched)
                exit = self._gone(folder, watched.process)  # noqa: A001
            folder.note_exit(exit)
        except (OSError, ValueError):
            if not self._closing:
                logger.exception("the end of %s could not be noted; the sweep will look again", token)
            return
        finally:
            with self._lock:
                self._watched.pop(token, None)
        self._tell(folder.record, exit)

    def _end_child(self, watched: _Watched, child: "subprocess.Popen[bytes]") -> int:
        """Return the exit status of a worker once none of its processes runs; its pid is not reused before that."""
        if sys.platform == "linux":
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        else:
            child.wait()
        self._clear_away(watched.folder.record.mark, watched.process)
        return child.wait()

    def _gone(self, folder: WorkerFolder, process: ProcessId | None) -> ContainerExit:
        """Return the exit of a worker that has gone without anybody reading its status."""
        if not self._owns(folder):
            return ContainerExit(
                ExitKind.INTERRUPTED, "it was started by the deployment from which this one was copied"
            )
        self._clear_away(folder.record.mark, process)
        if folder.stop_deadline is not None:
            return ContainerExit(ExitKind.STOPPED, "stopped")
        return ContainerExit(ExitKind.INTERRUPTED, "its process was gone when the control plane restarted")

    def _settle_lost(self, folder: WorkerFolder) -> ContainerExit:
        """Note and return the exit of a worker that died, or was never started, while no server ran."""
        exit = self._gone(folder, folder.process)  # noqa: A001
        try:
            folder.note_exit(exit)
        except OSError as error:
            # The end is reported all the same; the next request for it settles it again.
            logger.error("the end of %s cannot be noted: %s", folder.record.token, error)  # noqa: TRY400
        return exit

    def _clear_away(self, mark: str, process: ProcessId | None) -> None:
        if not kill_all(mark, process):
            logger.error("processes of %s may still run; look for them with `ps`", mark.rpartition("/")[2])

    def _tell(self, record: LaunchRecord, exit: ContainerExit) -> None:  # noqa: A002 - the port's word
        pause_s = 0.1
        for _ in range(TELL_TRIES):
            if self._closing:
                return
            try:
                self._ended(record, exit)
            except Exception as error:
                logger.warning("the end of %s could not be committed: %r", record.token, error)
                time.sleep(pause_s)
                pause_s *= 3
            else:
                return
        logger.error("the end of %s could not be committed; the sweep will try again", record.token)

    # --- killing workers that do not stop in time ---

    def _kill_at(self, deadline: float, token: str) -> None:
        with self._kills:
            heapq.heappush(self._deadlines, (deadline, token))
            self._kills.notify_all()

    def _kill_when_due(self) -> None:
        while not self._closing:
            with self._kills:
                now = time.time()
                if not self._deadlines or self._deadlines[0][0] > now:
                    # Short enough that setting the clock back does not keep a worker alive for long.
                    self._kills.wait(min(self._deadlines[0][0] - now, 10.0) if self._deadlines else None)
                    continue
                _, token = heapq.heappop(self._deadlines)
            with self._lock:
                watched = self._watched.get(token)
            if watched is not None:
                logger.info("%s did not end in time: killing it", token)
                if not kill_all(watched.folder.record.mark, watched.process):
                    self._kill_at(time.time() + KILL_AGAIN_AFTER_S, token)


def _wait_for_adopted(watched: _Watched) -> None:
    """Return once the worker's own process has ended."""
    process = watched.process
    if process is not None and sys.platform == "linux":
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return
        except OSError:
            # A kernel before 5.3, or a sandbox.
            watched.folder.wait_until_dead()
            return
        try:
            if identify(process.pid) == process:
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                poll.poll()
            return
        finally:
            os.close(handle)
    watched.folder.wait_until_dead()


def _exit_of(status: int, stopped: bool, log_file: Path) -> ContainerExit:
    """Return the exit for a `Popen.returncode`: negative for a signal."""
    code = status if status >= 0 else 128 - status
    if stopped:
        return ContainerExit(ExitKind.STOPPED, "stopped", code)
    if status >= 0:
        words = last_words(log_file) if status else None
        return ContainerExit(ExitKind.EXITED, f"its process exited: {words}" if words else "its process exited", code)
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    hint = ", as the system does when memory runs out" if -status == signal.SIGKILL else ""
    return ContainerExit(ExitKind.INTERRUPTED, f"its process was killed with {name}{hint}", code)
