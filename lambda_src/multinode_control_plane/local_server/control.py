"""The interface of `multinode local`: everything that the command needs from a local deployment, running or not."""

import json
import logging
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from multinode_control_plane.adapters.local.data_dir import DataDirectory, DataDirectoryError, default_data_dir, prepare
from multinode_control_plane.adapters.local.keychain import LocalKeychain
from multinode_control_plane.adapters.local.server_files import (
    ServerAlreadyRuns,
    ServerInfo,
    read_server_info,
    running_pid,
)
from multinode_control_plane.adapters.local.workers import WorkerFolders
from multinode_control_plane.local_server.serve import DEFAULT_PORT, PortInUse, serve
from multinode_control_plane.wiring.settings import SettingIsInvalid

START_TIMEOUT_S = 60.0
LOG_BYTES = 10_000_000
LOG_FILES = 3


class LocalControlError(Exception):
    """The local deployment cannot be used as asked; the text says why, and what to do."""


class LocalControl:
    """The local deployment of one data directory. Every method raises LocalControlError."""

    default_port = DEFAULT_PORT

    def __init__(self, data_dir: Path | None) -> None:
        """`data_dir`: None stands for the folder that the environment names, or else the default one."""
        with _failures():
            self._directory = DataDirectory((default_data_dir(os.environ) if data_dir is None else data_dir).absolute())

    @property
    def root(self) -> Path:
        return self._directory.root

    def prepare(self) -> None:
        """Create the data directory if it does not exist."""
        with _failures():
            prepare(self.root)

    # --- the server ---

    def pid(self) -> int | None:
        """Return the server's process id; None if no server is running, or it is just starting."""
        return running_pid(self._directory)

    def info(self) -> ServerInfo | None:
        """Return what the last server noted about itself, which it does a moment after its start."""
        return read_server_info(self._directory)

    def already_runs(self) -> LocalControlError:
        return LocalControlError(str(ServerAlreadyRuns(self._directory, self.pid())))

    def serve(self, port: int | None, on_ready: Callable[[ServerInfo], None], *, quiet: bool = False) -> None:
        """Serve in this process until SIGINT or SIGTERM; `on_ready` is called once requests are answered.

        The log goes to the directory's `server.log` and, unless `quiet`, to stderr.
        """
        with _failures():
            _log_to(self._directory.server_log, quiet=quiet)
            serve(self._directory, port, os.environ, on_ready)

    def start_in_background(self, port: int | None) -> ServerInfo:
        """Start a server that outlives this process; return what it says about itself once it answers."""
        read_end, write_end = os.pipe()
        command = [sys.executable, "-P", "-m", "multinode_control_plane.local_server", "--quiet"]
        options = ["--data-dir", str(self.root), "--ready-fd", str(write_end)]
        log = os.open(self._directory.server_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            subprocess.Popen(
                [*command, *options, *([] if port is None else ["--port", str(port)])],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write_end,),
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(log)
            os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            ready, _, _ = select.select([pipe], [], [], START_TIMEOUT_S)
            line = pipe.readline() if ready else b""
        if not line:
            raise LocalControlError(f"The server did not start; {self._directory.server_log} says more.")
        answer = json.loads(line)
        if "error" in answer:
            raise LocalControlError(answer["error"])
        return ServerInfo(**answer)

    def running_functions(self) -> int:
        """Return the number of running workers, according to the data directory."""
        if not self._directory.workers.is_dir():
            return 0
        return sum(folder.exit is None and folder.alive() for folder in WorkerFolders(self._directory.workers).all())

    # --- keys ---

    def accepts(self, api_key: str) -> bool:
        """Return True for the text of an active API key."""
        with _failures():
            return LocalKeychain(self._directory.keys).accepts(api_key)

    def make_key(self) -> str:
        with _failures():
            return LocalKeychain(self._directory.keys).make_key()

    @contextmanager
    def temporary_key(self) -> Iterator[str]:
        """Yield an API key that is revoked when the block ends."""
        with _failures():
            keychain = LocalKeychain(self._directory.keys)
            key = keychain.make_key()
        try:
            yield key
        finally:
            with _failures():
                keychain.revoke(key)


def _log_to(file: Path, *, quiet: bool) -> None:
    handlers: list[logging.Handler] = [
        RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    ]
    if not quiet:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", handlers=handlers, force=True
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (DataDirectoryError, ServerAlreadyRuns, PortInUse, SettingIsInvalid) as error:
        raise LocalControlError(str(error)) from error
