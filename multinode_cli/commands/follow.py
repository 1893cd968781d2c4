"""An invocation as it proceeds: status, reason, progress and log lines, as they come, until it ends.

All of it goes to stderr, and the result to stdout; with ``--json`` one event per line goes to stdout.
"""

import time
from collections.abc import Callable

import click

from multinode_cli.client.api import Api
from multinode_cli.client.waiting import Patience
from multinode_cli.client.watch import InvocationChanged, InvocationWatcher, LinesWritten, LogsEnded, WatchFailed
from multinode_cli.console.json_output import invocation_object, is_final, log_object, progress_of
from multinode_cli.console.payload_text import as_text
from multinode_cli.console.tables import failure_text, log_text, result_text, status_text
from multinode_cli.console.terminal import Terminal
from multinode_cli.console.text import clean, duration, one_line
from multinode_cli.errors import EXIT_INTERRUPTED, FunctionFailure
from multinode_protocol.messages import InvocationInfo, LogLine
from multinode_protocol.status import InvocationStatus

LOGS_PATIENCE_S = 10.0
"""How long the last log lines may take to arrive once the invocation has ended."""
PROGRESS_COLUMNS = 500


def come_back(invocation_id: str) -> str:
    """Return how to continue watching an invocation, or cancel it."""
    return (
        f"{invocation_id} continues.\n"
        f"  come back:  multinode wait {invocation_id} --follow\n"
        f"  cancel it:  multinode cancel {invocation_id}"
    )


def patience(terminal: Terminal, invocation_id: str) -> Patience:
    """Return what keeps the watching of an invocation going through an outage."""
    return Patience(terminal, come_back=come_back(invocation_id))


def follow(api: Api, invocation_id: str, terminal: Terminal, *, as_json: bool) -> InvocationInfo:
    """Show an invocation until it ends, and return it.

    Ctrl-C stops only the watching: it says how to come back, and raises click's Exit with code 130.
    Raises: ControlPlaneFailure when the control plane stays away.
    """
    watch = InvocationWatcher(api, patience(terminal, invocation_id))
    view = _JsonView(terminal) if as_json else _TextView(terminal)
    try:
        watch.invocation(invocation_id)
        watch.logs(invocation_id)
        with terminal.live(view.live_line):
            return _show_until_end(watch, view)
    except KeyboardInterrupt:
        terminal.message(f"\nDetached: {come_back(invocation_id)}")
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None


def _show_until_end(
    watch: InvocationWatcher, view: "_JsonView | _TextView", monotonic: Callable[[], float] = time.monotonic
) -> InvocationInfo:
    ended: InvocationInfo | None = None
    logs_ended = False
    give_up_at: float | None = None
    while ended is None or not logs_ended:
        timeout_s = None if give_up_at is None else give_up_at - monotonic()
        event = watch.next_event(timeout_s) if timeout_s is None or timeout_s > 0 else None
        match event:
            case InvocationChanged(invocation) if is_final(invocation):
                ended = invocation
                give_up_at = monotonic() + LOGS_PATIENCE_S
            case InvocationChanged(invocation):
                view.changed(invocation)
            case LinesWritten(lines):
                view.wrote(lines)
            case LogsEnded():
                logs_ended = True
            case WatchFailed(error):
                raise error
            case None:  # the log is late or incomplete; the end is known
                break
    if ended is None:
        raise AssertionError("the loop above ends with an ended invocation only")
    view.changed(ended)
    return ended


class _JsonView:
    """``{"event": "invocation" | "log", …}``, one object per line."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def changed(self, invocation: InvocationInfo) -> None:
        self._terminal.json({"event": "invocation", "invocation": invocation_object(invocation)})

    def wrote(self, lines: list[LogLine]) -> None:
        for line in lines:
            self._terminal.json({"event": "log", "line": log_object(line)})

    def live_line(self) -> str:
        return "following"


class _TextView:
    """Lines for people; what the function writes is set off from what Multinode says about it."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._style = terminal.err_style
        self._shown: tuple[str, str] | None = None
        self._progress: str | None = None
        self._began_at = time.monotonic()
        self._headline = "waiting for the control plane"

    def changed(self, invocation: InvocationInfo) -> None:
        if self._shown is None:  # times of the control plane alone: its clock may differ from ours
            age_s = (invocation["last_update_time_ms"] - invocation["creation_time_ms"]) / 1000
            self._began_at = time.monotonic() - max(age_s, 0)
        status, reason = invocation["status"], one_line(invocation["status_reason"])
        progress = None if is_final(invocation) else progress_of(invocation)
        if progress is not None and progress != self._progress:
            self._progress = progress
            if not self._terminal.animated:
                self._say(f"progress: {one_line(as_text(progress), PROGRESS_COLUMNS)}")
        if status == InvocationStatus.SUCCEEDED:
            reason = ""
        if (status, reason) != self._shown:
            self._shown = (status, reason)
            self._say(status_text(status, self._style) + (f"  {reason}" if reason else ""))
        self._headline = f"{status}  {reason}" if reason else status

    def _say(self, text: str) -> None:
        self._terminal.message(f"{self._style.paint(f'[{self._elapsed()}]', dim=True)} {text}")

    def _elapsed(self) -> str:
        return duration(time.monotonic() - self._began_at)

    def wrote(self, lines: list[LogLine]) -> None:
        mark = self._style.paint("│" if self._style.unicode else "|", dim=True)
        for line in lines:
            for part in log_text(line, self._style).split("\n"):
                self._terminal.message(f"{mark} {part}")

    def live_line(self) -> str:
        progress = (
            "" if self._progress is None else f"  progress: {one_line(as_text(self._progress), PROGRESS_COLUMNS)}"
        )
        return f"{self._elapsed()}  {self._headline}{progress}"


def end_with(invocation: InvocationInfo, terminal: Terminal, *, as_json: bool, followed: bool = False) -> None:
    """Print the result of an invocation that succeeded (`as_json`: it has been printed).

    Raises: FunctionFailure if it did not succeed, after showing its traceback (`followed`: among its log lines).
    """
    if invocation["status"] == InvocationStatus.SUCCEEDED:
        if not as_json:
            terminal.print(result_text(invocation, terminal.out_style))
        return
    traceback = clean(invocation["error_traceback"] or "").strip()
    if "\n" in traceback and not followed:  # of a single line, the message below says the same
        terminal.message(traceback)
    if invocation["result"] is not None:
        terminal.message(f"It returned: {one_line(as_text(invocation['result']))}")
    raise FunctionFailure(failure_text(invocation))
