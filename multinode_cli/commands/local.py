"""``multinode local``: a whole control plane on this machine, in one process and one folder."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from multinode.invocation.polling import Seen, poll
from multinode_cli.client.api import Api, is_loopback
from multinode_cli.commands.options import json_option
from multinode_cli.console.tables import pairs
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.errors import ControlPlaneFailure
from multinode_control_plane.local_server.control import LocalControl, LocalControlError
from multinode_protocol.env_vars import API_URL, DATA_DIR
from multinode_protocol.status import InvocationStatus

STOP_TIMEOUT_S = 30.0
CANCEL_TIMEOUT_S = 180.0
"""Longer than the longest grace."""
ANSWER_TIMEOUT_S = 3.0
EXIT_NOT_RUNNING = 3

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help=f"Where everything is stored; default: ${DATA_DIR}, else ~/.local/share/multinode.",
)


@click.group()
def local() -> None:
    """Run a control plane on this machine: no account, no Docker."""


@local.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Where to listen on 127.0.0.1; 0 finds a free port. Default: the last one, at first "
    f"{LocalControl.default_port}.",
)
@data_dir_option
@click.option("--detach", is_flag=True, help="Return once it answers, and let it run in the background.")
def start(port: int | None, data_dir: Path | None, detach: bool) -> None:
    """Start the local control plane, and remember it for the other commands.

    It listens on the loopback interface only. However it stops, the next start continues from where it was; running
    functions are not interrupted.
    """
    terminal = current()
    with _failures():
        control = LocalControl(data_dir)
        control.prepare()
        if (pid := control.pid()) is not None:
            _already_running(control, pid, port, detach, terminal)
        elif detach:
            info = control.start_in_background(port)
            _remember(control, info.url, terminal)
            terminal.step(f"The local control plane is running (process {info.pid}, data in {control.root})")
            terminal.print(info.url)
        else:
            _run_here(control, port, terminal)


def _already_running(control: LocalControl, pid: int, port: int | None, detach: bool, terminal: Terminal) -> None:
    """Report it; an error unless the command only asked for a server to be running."""
    info = control.info()
    if not detach or info is None or port not in (None, 0, info.port):
        raise control.already_runs()
    _remember(control, info.url, terminal)
    terminal.step(f"The local control plane is already running (process {pid}, data in {control.root})")
    terminal.print(info.url)


def _run_here(control: LocalControl, port: int | None, terminal: Terminal) -> None:
    def ready(url: str) -> None:
        _remember(control, url, terminal)
        terminal.step(f"The local control plane is running; its data is in {control.root}. Ctrl-C stops it")
        terminal.print(url)

    control.serve(port, lambda info: ready(info.url))
    terminal.step("The local control plane has stopped")
    _say_what_runs(control, terminal)


# --- the profile ---


def _remember(control: LocalControl, url: str, terminal: Terminal) -> None:
    """Write the profile, unless it is for this deployment already, or for a remote one: its key may have no copy."""
    if os.environ.get(API_URL) and os.environ[API_URL].rstrip("/") != url:
        terminal.warning(f"{API_URL} is set to {os.environ[API_URL]} and takes precedence over the profile; unset it")
    try:
        profile = load_profile()
    except ControlPlaneNotConfiguredError as error:
        terminal.warning(str(error))
        return
    if profile is not None:
        if profile.api_url == url and control.accepts(profile.api_key):
            return
        if not is_loopback(profile.api_url):
            terminal.warning(
                f"the profile {profile.source} is for {profile.api_url} and was not changed. To use the local control "
                "plane instead: `multinode logout`, then `multinode local start --detach` again"
            )
            return
    path = save_profile(url, control.make_key())
    if profile is not None and profile.api_url != url:
        terminal.warning(f"the profile {path} was for {profile.api_url}; now it is for this control plane")


# --- stop ---


@local.command()
@data_dir_option
@click.option("--cancel", is_flag=True, help="First cancel everything that runs or waits, and wait until it has ended.")
def stop(data_dir: Path | None, cancel: bool) -> None:
    """Stop the local control plane.

    Running functions are not interrupted: the next start takes them over, and starts what waits.
    """
    terminal = current()
    with _failures():
        control = LocalControl(data_dir)
        pid = control.pid()
        if pid is None:
            terminal.message(f"No local control plane is running on {control.root}")
            return
        if cancel:
            _cancel_all(control, terminal)
        _end(control, pid)
        terminal.step("The local control plane has stopped")
        _say_what_runs(control, terminal)


def _end(control: LocalControl, pid: int) -> None:
    """Return once the server is gone: asked to stop, or else killed, which loses nothing."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise ControlPlaneFailure(f"process {pid}, which serves {control.root}, belongs to another user") from error
        if _until(lambda: control.pid() != pid, every_s=0.05):
            return
    raise ControlPlaneFailure(f"process {pid}, which serves {control.root}, does not stop")


def _until(condition: Callable[[], bool], *, every_s: float) -> bool:
    """Return True once `condition` holds; False if it does not within `STOP_TIMEOUT_S` seconds."""
    return poll(lambda: Seen.END if condition() else Seen.NOTHING, every_s=every_s, timeout_s=STOP_TIMEOUT_S)


def _say_what_runs(control: LocalControl, terminal: Terminal) -> None:
    count = control.running_functions()
    if count:
        what = "1 function is" if count == 1 else f"{count} functions are"
        terminal.message(
            f"{what} still running and taken over by the next `multinode local start`; `multinode local stop --cancel` "
            "would end them"
        )


def _cancel_all(control: LocalControl, terminal: Terminal) -> None:
    info = control.info()
    if info is None:
        raise ControlPlaneFailure(f"the server on {control.root} is just starting: try again in a moment")
    count = 0

    def ask() -> Seen:
        # What is being cancelled may still start subtasks, so this repeats until nothing is left.
        nonlocal count
        unfinished = _unfinished(api)
        count = len(unfinished)
        for invocation_id in unfinished:
            _cancel(api, invocation_id)
        return Seen.NOTHING if unfinished else Seen.END

    with control.temporary_key() as key, terminal.live(lambda: f"cancelling: {count} left"):
        api = Api(Connection(info.url, key, "the data directory"))
        if not poll(ask, every_s=0.2, timeout_s=CANCEL_TIMEOUT_S):
            raise ControlPlaneFailure(f"{count} invocations do not end; the control plane is still running")
    _until(lambda: control.running_functions() == 0, every_s=0.1)


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


@local.command()
@data_dir_option
@json_option
def status(data_dir: Path | None, as_json: bool) -> int:
    """Show whether the local control plane is running: exit code 0 if it is, 3 if not."""
    terminal = current()
    with _failures():
        control = LocalControl(data_dir)
        pid = control.pid()
        info = control.info() if pid is not None else None
        functions = control.running_functions()
    answers = info is not None and _answers(info.url)
    if as_json:
        terminal.json(
            {
                "running": pid is not None,
                "answers": answers,
                "url": None if info is None else info.url,
                "pid": pid,
                "started_at": None if info is None else int(info.started_at),
                "multinode_version": None if info is None else info.version,
                "running_functions": functions,
                "data_dir": str(control.root),
                "profile": str(profile_path()),
            }
        )
    else:
        running = "running" if answers else "running, but does not answer"
        lines = [("Local control plane", "not running" if pid is None else running)]
        if info is not None:
            started = datetime.fromtimestamp(info.started_at, UTC)
            lines += [
                ("URL", info.url),
                ("Process", f"{pid}, since {started:%Y-%m-%d %H:%M:%S} UTC"),
                ("Version", info.version),
            ]
        lines += [("Running functions", str(functions)), ("Data", str(control.root))]
        terminal.print(pairs(lines, terminal.out_style))
    return 0 if pid is not None else EXIT_NOT_RUNNING


def _answers(url: str) -> bool:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what the control plane's own code raises into how a command fails."""
    try:
        yield
    except LocalControlError as error:
        raise ControlPlaneFailure(str(error)) from error
