"""``list`` and ``describe``: everything from the projects down to one attempt of one invocation."""

import time

import click

from multinode.errors import VersionDoesNotExist
from multinode_cli.client.api import Api, connect
from multinode_cli.client.lookup import Lookup, Scope
from multinode_cli.commands.invocations import show_invocation
from multinode_cli.commands.options import (
    arguments_typed,
    function_option,
    json_option,
    project_option,
    version_option,
)
from multinode_cli.console.json_output import (
    described_function,
    described_version,
    listing_object,
    project_object,
    versions_objects,
)
from multinode_cli.console.next_runs import next_run_words
from multinode_cli.console.tables import (
    function_card,
    functions_table,
    invocations_table,
    moment,
    pairs,
    projects_table,
    table,
    versions_table,
)
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.console.text import one_line
from multinode_cli.errors import UsageFailure
from multinode_protocol.ids import LATEST
from multinode_protocol.limits import MAX_PAGE
from multinode_protocol.messages import InvocationListing, ProjectInfo, VersionInfo
from multinode_protocol.status import InvocationStatus

SHOWN_INVOCATIONS = 10


@click.command("list")
@click.argument("names", nargs=-1, metavar="[PROJECT [FUNCTION]]")
@project_option
@version_option
@function_option
@click.option(
    "--status",
    type=click.Choice([status.value for status in InvocationStatus], case_sensitive=False),
    help="Only invocations with this status.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=MAX_PAGE, show_default=True, help="The most invocations to list."
)
@json_option
def list_command(
    *,
    names: tuple[str, ...],
    project_name: str | None,
    version_id: str | None,
    function_name: str | None,
    status: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List projects, a project's versions, or a function's invocations.

    Without a name: the projects. With a project: its versions. With a function: its invocations, newest first, of the
    newest version or of the one given by --version-id.
    """
    terminal = current()
    project, function = _two_names(names, project_name, function_name)
    api = connect()
    lookup = Lookup(api, arguments_typed())
    if project is None:
        if version_id is not None or status is not None:
            raise UsageFailure("which project? Give --project-name")
        _list_projects(api, terminal, as_json=as_json)
    elif function is None:
        if version_id is not None or status is not None:
            raise UsageFailure("which function? Give --function-name")
        lookup.project(project)
        _list_versions(api, project, terminal, as_json=as_json)
    else:
        version = lookup.version(project, version_id or LATEST)
        lookup.function(version, function)
        _list_invocations(api, version, function, terminal, status=status, limit=limit, as_json=as_json)


def _two_names(
    names: tuple[str, ...], project_name: str | None, function_name: str | None
) -> tuple[str | None, str | None]:
    """Return project and function, each from its option or else from the positional names in that order."""
    left = list(names)
    project = project_name if project_name is not None else (left.pop(0) if left else None)
    function = function_name if function_name is not None else (left.pop(0) if left else None)
    if left:
        raise UsageFailure(f"{left[0]!r} is one argument too many: a project and a function can be given")
    if function is not None and project is None:
        raise UsageFailure("which project? Give --project-name")
    return project, function


def _list_projects(api: Api, terminal: Terminal, *, as_json: bool) -> None:
    projects = api.projects()
    if as_json:
        terminal.json({"projects": [project_object(project) for project in projects]})
    elif projects:
        terminal.print(projects_table(projects, time.time(), terminal.out_style))
    else:
        terminal.message("No projects yet. Create one: multinode deploy CODE_PATH --project-name NAME")


def _list_versions(api: Api, project_name: str, terminal: Terminal, *, as_json: bool) -> None:
    versions = api.versions(project_name)
    if as_json:
        terminal.json({"project_name": project_name, "versions": versions_objects(versions)})
    elif versions:
        terminal.print(versions_table(versions, time.time(), terminal.out_style))
    else:
        terminal.message(f"No versions yet. Add one: multinode deploy CODE_PATH --project-name {project_name}")


def _list_invocations(
    api: Api,
    version: VersionInfo,
    function_name: str,
    terminal: Terminal,
    *,
    status: str | None,
    limit: int,
    as_json: bool,
) -> None:
    found, more = newest_invocations(api, version, function_name, limit, status)
    if as_json:
        terminal.json(
            {
                "project_name": version["project_name"],
                "version_id": version["version_id"],
                "function_name": function_name,
                "invocations": [listing_object(invocation) for invocation in found],
                "more": more,
            }
        )
    elif found:
        terminal.print(invocations_table(found, time.time(), terminal.out_style))
        if more:
            terminal.message(f"There are more; see them with --limit {limit * 10}")
    else:
        terminal.message(f"No invocations of {function_name} in version {version['version_id']}")


def newest_invocations(
    api: Api, version: VersionInfo, function_name: str, limit: int, status: str | None = None
) -> tuple[list[InvocationListing], bool]:
    """Return at most `limit` invocations of a function, newest first, and whether there are more."""
    found: list[InvocationListing] = []
    offset: str | None = None
    while True:
        page = api.invocations(
            version["project_name"],
            version["version_id"],
            function_name,
            status=status,
            limit=min(limit - len(found), MAX_PAGE),
            offset=offset,
        )
        found += page["invocations"]
        offset = page["next_offset"]
        if offset is None or len(found) >= limit:
            return found[:limit], offset is not None or len(found) > limit


@click.command()
@click.argument("names", nargs=-1, metavar="[PROJECT [FUNCTION]]")
@project_option
@version_option
@function_option
@click.option("--invocation-id", metavar="ID", help="The invocation; enough by itself.")
@click.option("--execution-id", metavar="ID", help="One attempt of the invocation: its id or its number.")
@json_option
def describe(
    *,
    names: tuple[str, ...],
    project_name: str | None,
    version_id: str | None,
    function_name: str | None,
    invocation_id: str | None,
    execution_id: str | None,
    as_json: bool,
) -> None:
    """Describe a project, a version, a function or an invocation: the most specific one given."""
    terminal = current()
    project, function = _two_names(names, project_name, function_name)
    if invocation_id is None and execution_id is not None:
        raise UsageFailure("which invocation? Give --invocation-id")
    api = connect()
    lookup = Lookup(api, arguments_typed())
    if invocation_id is not None:
        invocation = lookup.invocation(invocation_id, Scope(project, version_id, function))
        show_invocation(lookup, invocation, execution_id, terminal, as_json=as_json)
    elif project is None:
        raise UsageFailure("describe what? Give --project-name or --invocation-id (see: multinode describe --help)")
    elif function is not None:
        _describe_function(
            api, lookup, lookup.version(project, version_id or LATEST), function, terminal, as_json=as_json
        )
    elif version_id is not None:
        _describe_version(api, lookup.version(project, version_id), terminal, as_json=as_json)
    else:
        _describe_project(api, lookup.project(project), terminal, as_json=as_json)


def _describe_project(api: Api, project: ProjectInfo, terminal: Terminal, *, as_json: bool) -> None:
    name = project["project_name"]
    versions = api.versions(name)
    try:
        latest = api.version(name, LATEST) if versions else None
    except VersionDoesNotExist:
        latest = None
    style, now = terminal.out_style, time.time()
    active_at = now if project["deletion_request_time"] is None else None
    if as_json:
        described = None if latest is None else described_version(latest, active_at)
        terminal.json(project_object(project) | {"versions": versions_objects(versions), "latest": described})
        return
    facts = [("Project", name), ("Created", moment(project["creation_time"], now))]
    if project["deletion_request_time"] is not None:
        facts.append(("Being deleted", f"since {moment(project['deletion_request_time'], now)}"))
    terminal.print(pairs(facts, style))
    if latest is None:
        terminal.message(f"No versions yet. Add one: multinode deploy CODE_PATH --project-name {name}")
        return
    terminal.print(f"\n{versions_table(versions, now, style)}")
    terminal.print(f"\n{functions_table(latest['functions'], style)}")
    _print_next_runs(latest, active_at, terminal)


def _active_at(api: Api, version: VersionInfo) -> float | None:
    """Return the present time if the version's schedules run, else None; it is asked for only where it has some."""
    if any(function.get("schedule") for function in version["functions"]):
        name = version["project_name"]
        if api.version(name, LATEST)["version_id"] != version["version_id"]:
            return None
        if api.project(name)["deletion_request_time"] is not None:
            return None
    return time.time()


def _print_next_runs(version: VersionInfo, active_at: float | None, terminal: Terminal) -> None:
    scheduled = [function for function in version["functions"] if function.get("schedule")]
    if scheduled:
        rows = [[one_line(function["function_name"]), next_run_words(function, active_at)] for function in scheduled]
        terminal.print(f"\n{table(['SCHEDULED', 'NEXT RUN'], rows, terminal.out_style)}")


def _describe_version(api: Api, version: VersionInfo, terminal: Terminal, *, as_json: bool) -> None:
    active_at = _active_at(api, version)
    if as_json:
        terminal.json(described_version(version, active_at))
        return
    facts = [
        ("Version", version["version_id"]),
        ("Project", version["project_name"]),
        ("Created", moment(version["creation_time"], time.time())),
    ]
    terminal.print(pairs(facts, terminal.out_style))
    terminal.print(f"\n{functions_table(version['functions'], terminal.out_style)}")
    _print_next_runs(version, active_at, terminal)


def _describe_function(
    api: Api, lookup: Lookup, version: VersionInfo, function_name: str, terminal: Terminal, *, as_json: bool
) -> None:
    function = lookup.function(version, function_name)
    invocations, _ = newest_invocations(api, version, function_name, SHOWN_INVOCATIONS)
    active_at = _active_at(api, version)
    if as_json:
        place = {"project_name": version["project_name"], "version_id": version["version_id"]}
        listed = [listing_object(invocation) for invocation in invocations]
        terminal.json(place | described_function(function, active_at) | {"invocations": listed})
        return
    style = terminal.out_style
    where = f"{version['version_id']} of {version['project_name']}"
    terminal.print(function_card(function, where, style, active_at=active_at))
    if invocations:
        terminal.print(f"\n{invocations_table(invocations, time.time(), style)}")
    else:
        terminal.message("\nIt has not been invoked yet")
