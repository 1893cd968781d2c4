"""① ``deploy`` and ``upgrade``: a folder becomes a version of a project, or nothing changes.

The order is that of cost: what can be wrong with the folder is found before anything is asked of the control plane, and
the control plane is changed by the last two requests only.
"""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from multinode.errors import ApiError, ProjectAlreadyExists, ProjectDoesNotExist
from multinode_cli.client.api import Api, ControlPlaneAway, connect
from multinode_cli.client.lookup import Lookup
from multinode_cli.commands.options import arguments_typed, json_option
from multinode_cli.console.json_output import function_object, version_object
from multinode_cli.console.suggestions import corrected_command
from multinode_cli.console.tables import functions_table
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.console.text import one_line, size
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.bundle import Collection, collect, shown
from multinode_cli.project.env_file import read_env_file
from multinode_protocol.ids import LATEST
from multinode_protocol.limits import MAX_PROJECT_NAME_CHARS, PROJECT_NAME_PATTERN
from multinode_protocol.messages import DeploymentInfo, FunctionInfo, FunctionSpec, VersionDefinition, VersionInfo

__all__ = ["DeployOptions", "BuiltVersion", "Source", "DeployBackend", "check_project_name", "deploy", "upgrade"]


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """What the command line asks for. `base_image`: None leaves it to the backend."""

    project_name: str
    base_image: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What is deployed: the files, and the variables that ``.env`` beside them sets."""

    collection: Collection
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class BuiltVersion:
    """A version that could be registered. `details`: what ``--dry-run`` shows of how it was made, name -> value."""

    functions: list[FunctionSpec]
    details: dict[str, Any]

    def text(self) -> str:
        """Return what of the details a person wants to see of a dry run; nothing by default."""
        return ""


class DeployBackend(Protocol):
    """The backend of a deployment, as `deploy` needs it."""

    def prepare(self, source: Source) -> BuiltVersion:
        """Build what the version runs in and find its functions. What it makes is a cache; no project is changed."""

    def publish(self, prepared: BuiltVersion, project_name: str) -> VersionDefinition:
        """Put the version's parts in their places for `project_name` and return what to register."""

    def registered(self, newest: Callable[[], VersionInfo]) -> None:
        """Do what is left once the version is registered; `newest` asks for the project's newest version."""


def _local(deployment: DeploymentInfo, terminal: Terminal, order: DeployOptions) -> DeployBackend:
    from multinode_cli.backends.local.target import LocalBackend

    if order.base_image is not None:
        raise UsageFailure(
            "--base-image is for deployments on AWS: the local control plane runs functions with the Python of this "
            "command, in no image"
        )
    return LocalBackend.of(deployment, terminal)


def _aws(deployment: DeploymentInfo, terminal: Terminal, order: DeployOptions) -> DeployBackend:
    from multinode_cli.backends.aws.target import AwsBackend

    return AwsBackend.of(deployment, terminal, order)


BACKENDS: dict[str, Callable[[DeploymentInfo, Terminal, DeployOptions], DeployBackend]] = {"local": _local, "ecs": _aws}
"""By the `backend` of the deployment."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        json_option,
        click.option(
            "--base-image", metavar="IMAGE", help="On AWS: what the image is built from (python:X.Y-slim if not given)."
        ),
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

    CODE_PATH is the folder that holds main.py. Its files are deployed, but for what .gitignore and .multinodeignore
    leave out; requirements.txt is installed; .env gives the functions their environment variables.

    On AWS, packages.txt names Debian packages, and Dockerfile.fragment holds further instructions for the image.
    """
    order = DeployOptions(project_name, base_image)
    _deploy(code_path, order, dry_run=dry_run, as_json=as_json, must_exist=False)


@click.command()
@_options
def upgrade(code_path: Path, project_name: str, base_image: str | None, dry_run: bool, as_json: bool) -> None:
    """Add a version to a project that exists.

    The same as deploy, but a project name that does not exist is an error. Invocations that run go on with the version
    that they were started with.
    """
    order = DeployOptions(project_name, base_image)
    _deploy(code_path, order, dry_run=dry_run, as_json=as_json, must_exist=True)


def _deploy(code_path: Path, order: DeployOptions, *, dry_run: bool, as_json: bool, must_exist: bool) -> None:
    terminal, project_name = current(), order.project_name
    check_project_name(project_name)
    source = _source(code_path, terminal)
    api = connect()
    deployment = api.deployment()
    target_of = BACKENDS.get(deployment["backend"])
    if target_of is None:
        raise ControlPlaneFailure(
            f"this multinode cannot deploy to a control plane with the backend {one_line(deployment['backend'])}; "
            "install the version that belongs to it"
        )
    target = target_of(deployment, terminal, order)
    exists = _project_exists(api, project_name, code_path, must_exist=must_exist)
    prepared = target.prepare(source)
    if dry_run:
        _show_plan(prepared, source, project_name, exists=exists, as_json=as_json, terminal=terminal)
        return
    version = _register(api, project_name, target.publish(prepared, project_name), exists=exists)
    target.registered(lambda: api.version(project_name, LATEST))
    if as_json:
        terminal.json(version_object(version) | {"project_created": not exists})
    else:
        _show_version(version, terminal)


def check_project_name(name: str) -> None:
    """Raise UsageFailure unless `name` can be a project's."""
    if re.fullmatch(PROJECT_NAME_PATTERN, name) and len(name) <= MAX_PROJECT_NAME_CHARS:
        return
    likely = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-_")[:MAX_PROJECT_NAME_CHARS]
    message = (
        f"{one_line(name, 80)!r} cannot be a project's name: 1 to {MAX_PROJECT_NAME_CHARS} letters, digits, - and _, "
        "the first a letter or digit, are allowed."
    )
    if likely:
        message += f" Did you mean {likely!r}?\n  {corrected_command(arguments_typed(), name, likely)}"
    raise UsageFailure(message)


def _source(code_path: Path, terminal: Terminal) -> Source:
    if code_path.is_file():
        folder = code_path.parent
        command = corrected_command(arguments_typed(), str(code_path), str(folder))
        raise UsageFailure(f"{shown(code_path)} is a file; the folder that holds main.py is needed:\n  {command}")
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
    """Register the version, and before it the project where there is none: both or neither."""
    if not exists:
        try:
            api.create_project(project_name)
        except ProjectAlreadyExists:  # created by somebody else in the meantime: this becomes its next version
            exists = True
    try:
        return api.create_version(project_name, definition)
    except ApiError:
        if not exists and not api.versions(project_name):
            api.delete_project(project_name)
        raise
    except ControlPlaneAway as failure:
        raise ControlPlaneAway(
            f"{failure.message}. Whether the version was registered is not known: look with "
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
    prepared: BuiltVersion, source: Source, project_name: str, *, exists: bool, as_json: bool, terminal: Terminal
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
                "functions": [function_object(function) for function in prepared.functions],
                **prepared.details,
            }
        )
        return
    would = f"add a version to project {project_name}" if exists else f"create project {project_name}"
    if text := prepared.text():
        terminal.print(text)
    terminal.print(functions_table(prepared.functions, terminal.out_style))
    terminal.message(f"\nNothing was registered. Without --dry-run this would {would}.")
