"""``undeploy``: says what will be stopped, asks, and waits until nothing is left of the project."""

import contextlib

import click

from multinode.errors import FunctionDoesNotExist, ProjectDoesNotExist, ProjectIsBeingDeleted, VersionDoesNotExist
from multinode.invocation.polling import Seen, poll
from multinode_cli.backends.base import Leftovers
from multinode_cli.backends.factory import backend_of
from multinode_cli.client.api import Api, connect
from multinode_cli.client.lookup import Lookup
from multinode_cli.client.waiting import Patience
from multinode_cli.commands.options import arguments_typed, filled, project_option
from multinode_cli.console.questions import confirm
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.errors import EXIT_INTERRUPTED, UsageFailure
from multinode_protocol.limits import MAX_PAGE

COUNTED_VERSIONS = 20
COUNTED_PAGES = 4
"""Of each function: 200 unfinished invocations are "200 or more"."""
ASK_EVERY_S = 0.5
COUNT_EVERY = 4
UNFINISHED = "PENDING,RUNNING,CANCELLING"


@click.command()
@click.argument("names", nargs=-1, metavar="PROJECT")
@project_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def undeploy(names: tuple[str, ...], project_name: str | None, yes: bool) -> None:
    """Stop everything in a project and delete it: versions, invocations, results, logs and secrets.

    Running invocations are cancelled first and may clean up. The command waits until everything is gone; Ctrl-C stops
    only the waiting.
    """
    terminal = current()
    (name,) = filled(names, project_name=project_name)
    api = connect()
    cleanup = backend_of(api, terminal).cleanup  # without credentials for it, nothing is half deleted
    try:
        project = Lookup(api, arguments_typed()).project(name)
    except UsageFailure:
        left = cleanup.leftovers(name)
        if not left:
            raise
        _remove_leftovers(left, name, terminal, yes=yes)
        return
    if project["deletion_request_time"] is None:
        terminal.message(_summary(api, name))
        if not yes:
            _confirm(name, terminal)
    cleanup.stop_schedules(name)
    try:
        with contextlib.suppress(ProjectIsBeingDeleted, ProjectDoesNotExist):
            api.delete_project(name)  # if somebody else was faster, only the waiting is left
        _wait_until_gone(Api(api.connection, retry_for_s=0), name, terminal)
    except KeyboardInterrupt:
        terminal.message(f"\n{name} is still being deleted. Check whether it is gone:\n  multinode list")
        terminal.message(f"Then remove what its deploys left behind:\n  multinode undeploy {name}")
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    cleanup.leftovers(name).remove()
    terminal.step(f"Project {name} is gone")


def _remove_leftovers(left: Leftovers, name: str, terminal: Terminal, *, yes: bool) -> None:
    """Remove what deploys left behind of a project that does not exist."""
    terminal.message(f"There is no project {name}, but an interrupted deploy or undeploy of it left {left}.")
    if not yes:
        _confirm(name, terminal)
    left.remove()
    terminal.step(f"What was left of project {name} is gone")


def _summary(api: Api, name: str) -> str:
    versions = api.versions(name)
    unfinished, more = count_unfinished(api, name)
    number = f"{len(versions)} {'version' if len(versions) == 1 else 'versions'}"
    stopped = (
        f"{unfinished}{' or more' if more else ''} unfinished {'invocation' if unfinished == 1 else 'invocations'}"
    )
    return f"This will delete project {name}: {number}, {stopped} to cancel, all results and logs."


def count_unfinished(api: Api, name: str) -> tuple[int, bool]:
    """Return how many invocations of a project have not ended, and whether counting stopped before the end."""
    versions = api.versions(name)
    total, more = 0, len(versions) > COUNTED_VERSIONS
    for listing in versions[:COUNTED_VERSIONS]:
        try:
            version = api.version(name, listing["version_id"])
            for function in version["functions"]:
                count, stopped = _count_of(api, name, version["version_id"], function["function_name"])
                total += count
                more = more or stopped
        except (VersionDoesNotExist, FunctionDoesNotExist):
            continue  # deleted while we counted
    return total, more


def _count_of(api: Api, project_name: str, version_id: str, function_name: str) -> tuple[int, bool]:
    count, offset = 0, None
    for _ in range(COUNTED_PAGES):
        page = api.invocations(
            project_name, version_id, function_name, status=UNFINISHED, limit=MAX_PAGE, offset=offset
        )
        count += len(page["invocations"])
        offset = page["next_offset"]
        if offset is None:
            return count, False
    return count, True


def _confirm(name: str, terminal: Terminal) -> None:
    confirm(
        f"Delete project {name}?",
        terminal,
        unasked=f"cannot ask for confirmation here; to delete project {name}, add --yes",
        declined="Nothing was deleted",
    )


def _wait_until_gone(api: Api, name: str, terminal: Terminal) -> None:
    patience = Patience(terminal, come_back=f"Project {name} is still being deleted; check with: multinode list")
    text = f"Deleting project {name}"
    asked, shown = 0, ""

    def ask() -> Seen:
        nonlocal asked, shown, text
        try:
            patience.call(api.project, name)
            if asked % COUNT_EVERY == 0:
                left, more = patience.call(count_unfinished, api, name)
                text = f"Deleting project {name}: {left}{' or more' if more else ''} left to stop"
                if left and text != shown and not terminal.animated:
                    terminal.message(text)
                    shown = text
        except ProjectDoesNotExist:
            return Seen.END
        asked += 1
        return Seen.NOTHING

    with terminal.live(lambda: text):
        poll(ask, every_s=ASK_EVERY_S)
