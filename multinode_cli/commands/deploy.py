"""``deploy`` and ``upgrade``: a folder becomes a version of a project, or nothing changes.

Cheap checks come first: problems with the folder are found before the control plane is asked anything, and only the
last two requests change it.
"""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import click

from multinode.errors import ApiError, ProjectAlreadyExists, ProjectDoesNotExist
from multinode_cli.backends.base import BuiltVersion, DeployOptions, Source
from multinode_cli.backends.factory import backend_of
from multinode_cli.client.api import Api, ControlPlaneAway, connect
from multinode_cli.client.lookup import Lookup
from multinode_cli.commands.options import arguments_typed, json_option
from multinode_cli.console.json_output import function_object, version_object
from multinode_cli.console.suggestions import corrected_command
from multinode_cli.console.tables import functions_table
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.console.text import one_line, path_text, size
from multinode_cli.errors import UsageFailure
from multinode_cli.project.bundle import collect
from multinode_cli.project.env_file import read_env_file
from multinode_protocol.ids import LATEST
from multinode_protocol.limits import MAX_PROJECT_NAME_CHARS, PROJECT_NAME_PATTERN
from multinode_protocol.messages import FunctionInfo, VersionDefinition, VersionInfo


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        json_option,
        click.option("--base-image", metavar="IMAGE", help="On AWS: the image to build on (default: python:X.Y-slim)."),
        click.option("--dry-run", is_flag=True, help="Do everything but register the version."),
        click.option("--project-name", metavar="NAME", required=True, help="Letters, digits, - and _."),
        click.argument("code_path", type=click.Path(path_type=Path), metavar="CODE_PATH"),
    ):
        command = option(command)
    return command


@click.command()
@_options
def deploy(code_path: Path, project_name: str, base_image: str | None, dry_run: bool, as_json: bool) -> None:
    """Create a project from a folder, or add a version to it.

    CODE_PATH is the folder that contains main.py. Its files are deployed, except what .gitignore and .multinodeignore
    exclude; requirements.txt is installed; .env sets the functions' environment variables.

    On AWS, packages.txt lists Debian packages, and Dockerfile.fragment contains more instructions for the image.
    """
    options = DeployOptions(project_name, base_image)
    _deploy(code_path, options, dry_run=dry_run, as_json=as_json, must_exist=False)


@click.command()
@click.option("--deploy", "may_create", is_flag=True, hidden=True)  # scripts of the first generation say this
@_options
def upgrade(
    code_path: Path, project_name: str, base_image: str | None, dry_run: bool, as_json: bool, *, may_create: bool
) -> None:
    """Add a version to a project that exists.

    Like deploy, but the project must exist. Running invocations continue with the version that they were started with.
    """
    options = DeployOptions(project_name, base_image)
    _deploy(code_path, options, dry_run=dry_run, as_json=as_json, must_exist=not may_create)


def _deploy(code_path: Path, options: DeployOptions, *, dry_run: bool, as_json: bool, must_exist: bool) -> None:
    terminal, project_name = current(), options.project_name
    check_project_name(project_name)
    source = _source(code_path, terminal)
    api = connect()
    backend = backend_of(api, terminal)
    exists = _project_exists(api, project_name, code_path, must_exist=must_exist)
    built = backend.build(source, options)
    if dry_run:
        _show_plan(built, source, project_name, exists=exists, as_json=as_json, terminal=terminal)
        return
    version = _register(api, project_name, built.publish(), exists=exists)
    backend.registered(lambda: api.version(project_name, LATEST))
    if as_json:
        terminal.json(version_object(version) | {"project_created": not exists})
    else:
        _show_version(version, terminal)


def check_project_name(name: str) -> None:
    """Raise UsageFailure unless `name` is a valid project name."""
    if re.fullmatch(PROJECT_NAME_PATTERN, name) and len(name) <= MAX_PROJECT_NAME_CHARS:
        return
    likely = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-_")[:MAX_PROJECT_NAME_CHARS]
    message = (
        f"{one_line(name, 80)!r} is not a valid project name: use 1 to {MAX_PROJECT_NAME_CHARS} letters, digits, - and "
        "_, beginning with a letter or digit."
    )
    if likely:
        message += f" Did you mean {likely!r}?\n  {corrected_command(arguments_typed(), name, likely)}"
    raise UsageFailure(message)


def _source(code_path: Path, terminal: Terminal) -> Source:
    if code_path.is_file():
        folder = code_path.parent
        command = corrected_command(arguments_typed(), str(code_path), str(folder))
        raise UsageFailure(f"{path_text(code_path)} is a file; give the folder that contains main.py:\n  {command}")
    collection = collect(code_path)
    variables = read_env_file(collection.root)
    for note in collection.notes:
        terminal.warning(note)
    count = len(collection.entries)
    terminal.step(f"Collected {count} {'file' if count == 1 else 'files'}, {size(collection.total_bytes)}")
    if variables:
        count = len(variables)
        terminal.step(f"Read .env: {count} {'variable' if count == 1 else 'variables'}")
    return Source(collection, variables)


def _project_exists(api: Api, project_name: str, code_path: Path, *, must_exist: bool) -> bool:
    """Return whether the project exists. Raises UsageFailure when it must, or when it is being deleted."""
    try:
        project = api.project(project_name)
    except ProjectDoesNotExist:
        if not must_exist:
            return False
        create = shlex.join(["multinode", "deploy", str(code_path), "--project-name", project_name])
        try:
            project = Lookup(api, arguments_typed()).project(project_name)
        except UsageFailure as failure:
            raise UsageFailure(f"{failure.message}\nTo create it:\n  {create}") from failure
    if project["deletion_request_time"] is not None:
        raise UsageFailure(
            f"project {project_name} is being deleted; deploy it again when `multinode list` no longer shows it"
        )
    return True


def _register(api: Api, project_name: str, definition: VersionDefinition, *, exists: bool) -> VersionInfo:
    """Register the version, and first the project if it does not exist: both or neither."""
    if not exists:
        try:
            api.create_project(project_name)
        except ProjectAlreadyExists:  # somebody else has just created it: this becomes its next version
            exists = True
    try:
        return api.create_version(project_name, definition)
    except ApiError:
        if not exists and not api.versions(project_name):
            api.delete_project(project_name)
        raise
    except ControlPlaneAway as failure:
        raise ControlPlaneAway(
            f"{failure.message}. It is not known whether the version was registered: check with "
            f"`multinode describe --project-name {project_name}`, or deploy again"
        ) from failure


def _show_version(version: VersionInfo, terminal: Terminal) -> None:
    terminal.step(f"Deployed project {version['project_name']}")
    terminal.message("")
    terminal.print(f"Version {version['version_id']}")
    terminal.print("")
    terminal.print(functions_table(version["functions"], terminal.out_style))
    command = next_command(version["project_name"], version["functions"])
    terminal.message(f"\nStart one:\n  {command}")


def next_command(project_name: str, functions: list[FunctionInfo]) -> str:
    """Return the command that starts the function which needs the fewest arguments."""
    function = min(functions, key=lambda each: len(required_parameters(each)))
    required = required_parameters(function)
    if any(parameter.endswith(", /") for parameter in required):
        values = [f"--args '[{', '.join('…' for _ in required)}]'"]
    else:
        values = [f"--arg {parameter.removeprefix('*, ')}=…" for parameter in required]
    return " ".join(["multinode invoke", project_name, function["function_name"], *values, "--follow"])


def required_parameters(function: FunctionInfo) -> list[str]:
    """Return the parameters without a default, as `multinode.function.signature` writes them."""
    parameters = function.get("signature") or []
    return [each for each in parameters if re.fullmatch(r"(\*, )?\w+(, /)?", each)]


def _show_plan(
    built: BuiltVersion, source: Source, project_name: str, *, exists: bool, as_json: bool, terminal: Terminal
) -> None:
    if as_json:
        terminal.json(
            {
                "dry_run": True,
                "project_name": project_name,
                "project_exists": exists,
                "files": len(source.collection.entries),
                "bytes": source.collection.total_bytes,
                "variables": sorted(source.variables),
                "functions": [function_object(function) for function in built.functions],
                **built.details,
            }
        )
        return
    would = f"add a version to project {project_name}" if exists else f"create project {project_name}"
    if built.description:
        terminal.print(built.description)
    terminal.print(functions_table(built.functions, terminal.out_style))
    terminal.message(f"\nNothing was registered. Without --dry-run this would {would}.")
