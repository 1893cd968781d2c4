"""``logs``: the lines that an invocation wrote, all of its attempts merged by time."""

import time
from collections.abc import Iterable

import click

from multinode_cli.client.api import Api, connect
from multinode_cli.client.lookup import Lookup, Scope
from multinode_cli.client.watch import InvocationWatcher, LinesWritten, LogsEnded, WatchFailed
from multinode_cli.commands.follow import patience
from multinode_cli.commands.options import arguments_typed, filled, json_option, scope_options
from multinode_cli.console.json_output import log_object
from multinode_cli.console.tables import log_text
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.console.text import parse_duration
from multinode_cli.errors import EXIT_INTERRUPTED, UsageFailure
from multinode_protocol.messages import LogLine


@click.command()
@click.argument("ids", nargs=-1, metavar="INVOCATION_ID")
@click.option("--invocation-id", metavar="ID", help="The invocation, instead of the argument.")
@click.option("-f", "--follow", "follows", is_flag=True, help="Keep printing until the invocation ends.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Start with the last N lines.")
@click.option("--since", metavar="TIME", help="Only what was written in the last 90s, 10m, 2h, 1d …")
@click.option("--execution", metavar="N", help="Only one attempt: its number (from 1) or its id.")
@click.option("--execution-id", metavar="ID", help="The same as --execution.")
@click.option("-t", "--timestamps", is_flag=True, help="Put the time (UTC) before each line.")
@scope_options
@json_option
def logs(
    *,
    ids: tuple[str, ...],
    invocation_id: str | None,
    follows: bool,
    tail: int | None,
    since: str | None,
    execution: str | None,
    execution_id: str | None,
    timestamps: bool,
    as_json: bool,
    **scope: str | None,
) -> None:
    """Print what an invocation wrote to stdout and stderr.

    Lines of all attempts are printed in order of time; a message on stderr marks where another attempt begins.
    """
    terminal = current()
    (wanted,) = filled(ids, invocation_id=invocation_id)
    if execution is not None and execution_id is not None:
        raise UsageFailure("use either --execution or --execution-id, not both")
    since_ms = _since_ms(since, time.time())
    api = connect()
    lookup = Lookup(api, arguments_typed())
    invocation = lookup.invocation(wanted, Scope(**scope))
    one_of_them = execution or execution_id
    only = lookup.execution(invocation, one_of_them)["execution_id"] if one_of_them else None
    printer = _Printer(terminal, as_json=as_json, timestamps=timestamps)
    try:
        offset = _print_present(api, wanted, printer, tail=tail, since_ms=since_ms, only=only)
        if follows and offset is not None:
            watch = InvocationWatcher(Api(api.connection, retry_for_s=0), patience(terminal, wanted))
            watch.logs(wanted, offset=offset, execution_id=only, since_ms=since_ms)
            _print_further(watch, printer)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None


def _since_ms(since: str | None, now: float) -> int | None:
    if since is None:
        return None
    try:
        return int((now - parse_duration(since)) * 1000)
    except ValueError as error:
        raise UsageFailure(f"--since: {error}") from error


def _print_present(
    api: Api, invocation_id: str, printer: "_Printer", *, tail: int | None, since_ms: int | None, only: str | None
) -> str | None:
    """Print the lines that exist and return the offset to continue from; None when there will be no more."""
    offset: str | None = None
    page = api.logs(invocation_id, tail=tail, since_ms=since_ms, execution_id=only)
    while True:
        printer.print(page["lines"])
        if page["complete"]:
            return None
        offset, before = page["next_offset"], offset
        if tail is not None or (not page["lines"] and offset == before):  # an empty page may have skipped old lines
            return offset
        page = api.logs(invocation_id, offset=offset, since_ms=since_ms, execution_id=only)


def _print_further(watch: InvocationWatcher, printer: "_Printer") -> None:
    while True:
        match watch.next_event():
            case LinesWritten(lines):
                printer.print(lines)
            case LogsEnded():
                return
            case WatchFailed(error):
                raise error


class _Printer:
    def __init__(self, terminal: Terminal, *, as_json: bool, timestamps: bool) -> None:
        self._terminal = terminal
        self._as_json = as_json
        self._timestamps = timestamps
        self._execution: str | None = None

    def print(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            if self._as_json:
                self._terminal.json(log_object(line))
                continue
            if line["execution_id"] != self._execution:
                if self._execution is not None or line["attempt"] > 1:
                    head = f"--- attempt {line['attempt']}, {line['execution_id']} ---"
                    self._terminal.message(self._terminal.err_style.paint(head, dim=True))
                self._execution = line["execution_id"]
            self._terminal.print(log_text(line, self._terminal.out_style, timestamps=self._timestamps))
