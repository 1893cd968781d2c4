"""``get``, ``wait`` and ``cancel``: the id of an invocation is enough for each."""

import time
from collections.abc import Sequence

import click

from multinode.errors import InvocationIsAlreadyTerminated
from multinode_cli.client.api import Api, connect
from multinode_cli.client.lookup import Lookup, Scope
from multinode_cli.client.waiting import Patience
from multinode_cli.client.watch import InvocationChanged, InvocationWatcher, WatchFailed
from multinode_cli.commands.follow import come_back, end_with, follow, patience
from multinode_cli.commands.options import arguments_typed, filled, ids_given, json_option, scope_options
from multinode_cli.console.json_output import execution_object, invocation_object, is_final
from multinode_cli.console.tables import execution_card, failure_text, invocation_card, result_text, status_text
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.console.text import one_line
from multinode_cli.errors import EXIT_INTERRUPTED, FunctionFailure, UsageFailure
from multinode_protocol.messages import InvocationInfo
from multinode_protocol.status import InvocationStatus

WAITED_AT_ONCE = 64
"""Invocations watched at the same time; the others follow as these end."""

one_id = click.argument("ids", nargs=-1, metavar="INVOCATION_ID")
many_ids = click.argument("ids", nargs=-1, metavar="INVOCATION_ID…")
id_option = click.option("--invocation-id", metavar="ID", help="The invocation, instead of the argument.")
id_options = click.option("--invocation-id", "named_ids", metavar="ID", multiple=True, help="One more invocation.")


@click.command()
@one_id
@id_option
@click.option("--execution-id", metavar="ID", help="Show only this attempt: its id or its number.")
@scope_options
@json_option
def get(
    ids: tuple[str, ...], invocation_id: str | None, execution_id: str | None, as_json: bool, **scope: str | None
) -> None:
    """Show an invocation: its status, progress, result or error, and its attempts."""
    terminal = current()
    (wanted,) = filled(ids, invocation_id=invocation_id)
    lookup = Lookup(connect(), arguments_typed())
    show_invocation(lookup, lookup.invocation(wanted, Scope(**scope)), execution_id, terminal, as_json=as_json)


def show_invocation(
    lookup: Lookup, invocation: InvocationInfo, execution: str | None, terminal: Terminal, *, as_json: bool
) -> None:
    """Print an invocation, or the attempt that `execution` names."""
    now = time.time()
    if execution is not None:
        found = lookup.execution(invocation, execution)
        if as_json:
            terminal.json(execution_object(found))
        else:
            terminal.print(execution_card(found, now, terminal.out_style))
    elif as_json:
        terminal.json(invocation_object(invocation))
    else:
        terminal.print(invocation_card(invocation, now, terminal.out_style))


@click.command()
@many_ids
@id_options
@click.option("--follow", "follows", is_flag=True, help="Show status, progress and logs on stderr; for one invocation.")
@scope_options
@json_option
def wait(ids: tuple[str, ...], named_ids: tuple[str, ...], follows: bool, as_json: bool, **scope: str | None) -> None:
    """Wait for invocations to end and print their results.

    For one invocation only the result is printed; for several, one line for each as it ends. The exit code is 1 if any
    of them failed, was cancelled or timed out. Ctrl-C stops the waiting, not the functions.
    """
    terminal = current()
    wanted = ids_given(ids, named_ids)
    if follows and len(wanted) > 1:
        raise UsageFailure("--follow shows one invocation; give one id, or leave --follow out")
    api = connect()
    lookup = Lookup(api, arguments_typed())
    found = [lookup.invocation(invocation_id, Scope(**scope)) for invocation_id in wanted]
    patient = Api(api.connection, retry_for_s=0)
    if follows:
        ended = follow(patient, wanted[0], terminal, as_json=as_json)
        end_with(ended, terminal, as_json=as_json, followed=True)
    elif len(found) == 1:
        ended = found[0] if is_final(found[0]) else wait_for(patient, wanted[0], terminal)
        if as_json:
            terminal.json(invocation_object(ended))
        end_with(ended, terminal, as_json=as_json)
    else:
        _wait_for_all(patient, found, terminal, as_json=as_json)


def wait_for(api: Api, invocation_id: str, terminal: Terminal) -> InvocationInfo:
    """Return an invocation once it has ended. Ctrl-C says how to come back and raises click's Exit with code 130."""
    watch = InvocationWatcher(api, patience(terminal, invocation_id))
    latest: InvocationInfo | None = None

    def live_line() -> str:
        if latest is None:
            return "waiting"
        return f"{latest['status']}  {one_line(latest['status_reason'])}"

    try:
        watch.invocation(invocation_id)
        with terminal.live(live_line):
            while latest is None or not is_final(latest):
                match watch.next_event():
                    case InvocationChanged(invocation):
                        latest = invocation
                    case WatchFailed(error):
                        raise error
    except KeyboardInterrupt:
        terminal.message(f"\nDetached: {come_back(invocation_id)}")
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    return latest


def _wait_for_all(api: Api, found: Sequence[InvocationInfo], terminal: Terminal, *, as_json: bool) -> None:
    """Print a line for each invocation as it ends. Raises FunctionFailure when not all succeeded."""
    again = "multinode wait " + " ".join(invocation["invocation_id"] for invocation in found)
    watch = InvocationWatcher(api, Patience(terminal, come_back=f"They continue; come back with:\n  {again}"))
    failed: list[str] = []
    ended = 0

    def end(invocation: InvocationInfo) -> None:
        nonlocal ended
        ended += 1
        _print_end(invocation, terminal, as_json=as_json)
        if invocation["status"] != InvocationStatus.SUCCEEDED:
            failed.append(invocation["invocation_id"])

    for invocation in filter(is_final, found):
        end(invocation)
    waiting = [invocation["invocation_id"] for invocation in found if not is_final(invocation)]
    try:
        for invocation_id in waiting[:WAITED_AT_ONCE]:
            watch.invocation(invocation_id, until_finished=True)
        del waiting[:WAITED_AT_ONCE]
        with terminal.live(lambda: f"{ended} of {len(found)} have ended"):
            while ended < len(found):
                match watch.next_event():
                    case InvocationChanged(invocation) if is_final(invocation):
                        end(invocation)
                        if waiting:
                            watch.invocation(waiting.pop(0), until_finished=True)
                    case WatchFailed(error):
                        raise error
    except KeyboardInterrupt:
        terminal.message(f"\nDetached: they continue.\n  come back:  {again}")
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    if failed:
        raise FunctionFailure(f"{len(failed)} of {len(found)} did not succeed: {', '.join(failed)}")


def _print_end(invocation: InvocationInfo, terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        terminal.json(invocation_object(invocation))
    elif invocation["status"] == InvocationStatus.SUCCEEDED:
        style = terminal.out_style
        status = status_text(invocation["status"], style)
        terminal.print(f"{invocation['invocation_id']} {status} {result_text(invocation, style)}")
    else:
        terminal.print(one_line(failure_text(invocation)))


@click.command()
@many_ids
@id_options
@scope_options
@json_option
def cancel(ids: tuple[str, ...], named_ids: tuple[str, ...], as_json: bool, **scope: str | None) -> None:
    """Cancel invocations, and everything that they started.

    An invocation that has not started is CANCELLED at once. In a running one, InvocationCancelledError is raised, so
    that it can clean up; until it has ended it is CANCELLING.
    """
    terminal = current()
    wanted = ids_given(ids, named_ids)
    api = connect()
    lookup = Lookup(api, arguments_typed())
    for invocation_id in wanted:
        lookup.invocation(invocation_id, Scope(**scope))
    refused = []
    for invocation_id in wanted:
        try:
            invocation = api.cancel(invocation_id)
        except InvocationIsAlreadyTerminated:
            invocation = api.invocation(invocation_id)
            if invocation["status"] != InvocationStatus.CANCELLED:
                refused.append(f"{invocation_id} has already ended: {invocation['status']}")
                continue
        if as_json:
            terminal.json(invocation_object(invocation))
        else:
            terminal.print(f"{invocation_id} {status_text(invocation['status'], terminal.out_style)}")
    if refused:
        raise UsageFailure("cannot cancel: " + "\n".join(refused))
