"""① ``multinode local``: a whole control plane on this machine, in one process and one folder."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import click

from multinode.config import Connection, load_profile, profile_path, save_profile
from multinode.errors import (
    ControlPlaneNotConfiguredError,
    InvocationDoesNotExist,
    InvocationIsAlreadyTerminated,
)
from multinode_cli.client.api import Api
from multinode_cli.commands.options import json_option
from multinode_cli.console.tables import pairs
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.errors import ControlPlaneFailure
from multinode_control_plane.adapters.local.data_dir import (
    DATA_DIR,
    DataDirectory,
    DataDirectoryError,
    default_data_dir,
    prepare,
)
from multinode_control_plane.adapters.local.keychain import LocalKeychain
from multinode_control_plane.adapters.local.server_files import (
    ServerAlreadyRuns,
    ServerInfo,
    read_server_info,
    running_pid,
)
from multinode_control_plane.adapters.local.workers import WorkerFolders
from multinode_control_plane.local_server.__main__ import log_to
from multinode_control_plane.local_server.serve import DEFAULT_PORT, PortInUse, serve
from multinode_control_plane.wiring.local import SettingIsInvalid
from multinode_protocol.env_vars import API_URL
from multinode_protocol.status import InvocationStatus

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
CANCEL_TIMEOUT_S = 180.0
"""Longer than the longest grace."""
ANSWER_TIMEOUT_S = 3.0
EXIT_NOT_RUNNING = 3

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help=f"Where everything is kept; default: ${DATA_DIR}, else ~/.local/share/multinode.",
)


@click.group()
def local() -> None:
    """Run a control plane on this machine: no account, no Docker."""


@local.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help=f"Where to listen on 127.0.0.1; 0 finds a free port. Default: the last one, at first {DEFAULT_PORT}.",
)
@data_dir_option
@click.option("--detach", is_flag=True, help="Return once it answers, and let it run in the background.")
def start(port: int | None, data_dir: Path | None, detach: bool) -> None:
    """Start the local control plane, and remember it for the other commands.

    It listens on the loopback interface only. Killed or stopped at any time, it goes on from where it was when it is
    started again; functions that run meanwhile go on.
    """
    terminal = current()
    with _failures():
        directory = prepare(_data_dir(data_dir))
        if (pid := running_pid(directory)) is not None:
            _already_running(directory, pid, port, detach, terminal)
        elif detach:
            info = _start_in_background(directory, port)
            _remember(directory, info.url, terminal)
            terminal.step(f"The local control plane runs (process {info.pid}, data in {directory.root})")
            terminal.print(info.url)
        else:
            _run_here(directory, port, terminal)


def _already_running(directory: DataDirectory, pid: int, port: int | None, detach: bool, terminal: Terminal) -> None:
    """Say so; an error unless the command asked for no more than that it runs."""
    info = read_server_info(directory)
    if not detach or info is None or port not in (None, 0, info.port):
        raise ServerAlreadyRuns(directory, pid)
    _remember(directory, info.url, terminal)
    terminal.step(f"The local control plane runs already (process {pid}, data in {directory.root})")
    terminal.print(info.url)


def _run_here(directory: DataDirectory, port: int | None, terminal: Terminal) -> None:
    def ready(info: ServerInfo) -> None:
        _remember(directory, info.url, terminal)
        terminal.step(f"The local control plane runs; its data is in {directory.root}. Ctrl-C stops it")
        terminal.print(info.url)

    log_to(directory, quiet=False)
    serve(directory, port, os.environ, ready)
    terminal.step("The local control plane has stopped")
    _say_what_runs(directory, terminal)


def _start_in_background(directory: DataDirectory, port: int | None) -> ServerInfo:
    """Return what the server says once it answers. Raises ControlPlaneFailure with its words when it does not."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-P", "-m", "multinode_control_plane.local_server", "--quiet"]
    options = ["--data-dir", str(directory.root), "--ready-fd", str(write_end)]
    log = os.open(directory.server_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
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
    told = json.loads(line) if line else {"error": f"The server did not start; {directory.server_log} says more."}
    if "error" in told:
        raise ControlPlaneFailure(told["error"])
    return ServerInfo(**told)


# --- the profile ---


def _remember(directory: DataDirectory, url: str, terminal: Terminal) -> None:
    """Write the profile, unless it is of this deployment already, or of one elsewhere, whose key may be precious."""
    keychain = LocalKeychain(directory.keys)
    if os.environ.get(API_URL) and os.environ[API_URL].rstrip("/") != url:
        terminal.warning(f"{API_URL} is set to {os.environ[API_URL]} and goes before the profile; unset it")
    try:
        profile = load_profile()
    except ControlPlaneNotConfiguredError as error:
        terminal.warning(str(error))
        return
    if profile is not None:
        if profile.api_url == url and keychain.accepts(profile.api_key):
            return
        if not _is_local(profile.api_url):
            terminal.warning(
                f"the profile {profile.source} is of {profile.api_url} and stays as it is. To use the local control "
                "plane instead: `multinode logout`, then `multinode local start --detach` again"
            )
            return
    path = save_profile(url, keychain.make_key())
    if profile is not None and profile.api_url != url:
        terminal.warning(f"the profile {path} was of {profile.api_url}; it is of this control plane now")


def _is_local(url: str) -> bool:
    return (urlsplit(url).hostname or "") in {"127.0.0.1", "localhost", "::1"}


# --- stop ---


@local.command()
@data_dir_option
@click.option("--cancel", is_flag=True, help="First cancel all that runs or waits, and wait for its end.")
def stop(data_dir: Path | None, cancel: bool) -> None:
    """Stop the local control plane.

    Functions that run go on; the next start takes them over. What waits is kept for it too.
    """
    terminal = current()
    with _failures():
        directory = DataDirectory(_data_dir(data_dir).absolute())
        pid = running_pid(directory)
        if pid is None:
            terminal.message(f"No local control plane runs on {directory.root}")
            return
        if cancel:
            _cancel_all(directory, terminal)
        _end(directory, pid)
        terminal.step("The local control plane has stopped")
        _say_what_runs(directory, terminal)


def _end(directory: DataDirectory, pid: int) -> None:
    """Return once the server is gone: by its own will, else killed, which loses nothing."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise ControlPlaneFailure(f"process {pid}, which serves {directory.root}, is another user's") from error
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if running_pid(directory) != pid:
                return
            time.sleep(0.05)
    raise ControlPlaneFailure(f"process {pid}, which serves {directory.root}, does not end")


def _say_what_runs(directory: DataDirectory, terminal: Terminal) -> None:
    count = _running(directory)
    if count:
        what = "1 function still runs and is" if count == 1 else f"{count} functions still run and are"
        terminal.message(
            f"{what} taken over by the next `multinode local start`; `multinode local stop --cancel` would end them"
        )


def _running(directory: DataDirectory) -> int:
    """Return how many workers live, by what the disk says."""
    if not directory.workers.is_dir():
        return 0
    return sum(folder.exit is None and folder.alive() for folder in WorkerFolders(directory.workers).all())


def _cancel_all(directory: DataDirectory, terminal: Terminal) -> None:
    info = read_server_info(directory)
    if info is None:
        raise ControlPlaneFailure(f"the server on {directory.root} is only just starting: try again in a moment")
    keychain = LocalKeychain(directory.keys)
    key = keychain.make_key()
    try:
        api = Api(Connection(info.url, key, "the data directory"))
        deadline = time.monotonic() + CANCEL_TIMEOUT_S
        count = 0
        with terminal.live(lambda: f"cancelling: {count} left"):
            # What is being cancelled may still start subtasks, so it is asked again until there is nothing.
            while unfinished := _unfinished(api):
                count = len(unfinished)
                for invocation_id in unfinished:
                    _cancel(api, invocation_id)
                if time.monotonic() > deadline:
                    raise ControlPlaneFailure(f"{count} invocations do not end; the control plane still runs")
                time.sleep(0.2)
    finally:
        keychain.revoke(key)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _running(directory) and time.monotonic() < deadline:
        time.sleep(0.1)


def _cancel(api: Api, invocation_id: str) -> None:
    try:
        api.cancel(invocation_id)
    except (InvocationIsAlreadyTerminated, InvocationDoesNotExist):
        return


def _unfinished(api: Api) -> list[str]:
    """Return the ids of all invocations without a final status."""
    status = ",".join(status for status in InvocationStatus if not status.finished)
    found: list[str] = []
    for project in api.projects():
        name = project["project_name"]
        for listed in api.versions(name):
            version = api.version(name, listed["version_id"])
            for function in version["functions"]:
                place = (name, version["version_id"], function["function_name"])
                offset: str | None = None
                while True:
                    page = api.invocations(*place, status=status, offset=offset)
                    found += [invocation["invocation_id"] for invocation in page["invocations"]]
                    offset = page["next_offset"]
                    if offset is None:
                        break
    return found


# --- status ---


@dataclass(frozen=True, slots=True)
class _Status:
    running: bool
    answers: bool
    info: ServerInfo | None
    pid: int | None
    functions: int


@local.command()
@data_dir_option
@json_option
def status(data_dir: Path | None, as_json: bool) -> int:
    """Say whether the local control plane runs: exit code 0 if so, 3 if not."""
    terminal = current()
    with _failures():
        directory = DataDirectory(_data_dir(data_dir).absolute())
        pid = running_pid(directory)
        info = read_server_info(directory) if pid is not None else None
        found = _Status(
            running=pid is not None,
            answers=info is not None and _answers(info.url),
            info=info,
            pid=pid,
            functions=_running(directory),
        )
    if as_json:
        terminal.json(_facts(found, directory))
    else:
        terminal.print(pairs(_lines(found, directory), terminal.out_style))
    return 0 if found.running else EXIT_NOT_RUNNING


def _facts(found: _Status, directory: DataDirectory) -> dict[str, object]:
    info = found.info
    return {
        "running": found.running,
        "answers": found.answers,
        "url": None if info is None else info.url,
        "pid": found.pid,
        "started_at": None if info is None else int(info.started_at),
        "multinode_version": None if info is None else info.version,
        "running_functions": found.functions,
        "data_dir": str(directory.root),
        "profile": str(profile_path()),
    }


def _lines(found: _Status, directory: DataDirectory) -> list[tuple[str, str]]:
    lines = [("Local control plane", _word(found))]
    if found.info is not None:
        started = datetime.fromtimestamp(found.info.started_at, UTC)
        lines += [
            ("URL", found.info.url),
            ("Process", f"{found.pid}, since {started:%Y-%m-%d %H:%M:%S} UTC"),
            ("Version", found.info.version),
        ]
    lines += [("Running functions", str(found.functions)), ("Data", str(directory.root))]
    return lines


def _word(found: _Status) -> str:
    if not found.running:
        return "not running"
    return "running" if found.answers else "running, but does not answer"


def _answers(url: str) -> bool:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


# --- shared ---


def _data_dir(given: Path | None) -> Path:
    return default_data_dir(os.environ) if given is None else given


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what the control plane's own code raises into how a command fails."""
    try:
        yield
    except (DataDirectoryError, ServerAlreadyRuns, PortInUse, SettingIsInvalid) as error:
        raise ControlPlaneFailure(str(error)) from error
