"""① Deploying to the control plane of this machine: files, environment and secrets go into its data folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from multinode_cli.backends.local.installer import Installer
from multinode_cli.backends.local.venv import Environment, prepare
from multinode_cli.commands.deploy import BuiltVersion, Source
from multinode_cli.console.terminal import Terminal
from multinode_cli.errors import ControlPlaneFailure
from multinode_cli.project.bundle import Bundle, store
from multinode_cli.project.discovery import discover
from multinode_cli.project.env_file import store_secrets
from multinode_cli.project.requirements import read_requirements
from multinode_protocol.messages import DeploymentInfo, VersionDefinition, VersionInfo

IMAGE = "local"
"""The REST API wants the name of an image; the local backend runs none."""


@dataclass(frozen=True, slots=True)
class _BuiltVersion(BuiltVersion):
    bundle: Bundle
    environment: Environment
    variables: dict[str, str]


class LocalBackend:
    """The local backend: whatever it makes before `publish` is found by its content and used again."""

    def __init__(self, data_dir: Path, terminal: Terminal) -> None:
        self._data_dir = data_dir
        self._terminal = terminal

    @classmethod
    def of(cls, deployment: DeploymentInfo, terminal: Terminal) -> "LocalBackend":
        data_dir = deployment.get("data_dir")
        if not data_dir or not Path(data_dir).is_dir():
            raise ControlPlaneFailure(
                f"the local control plane keeps its data in {data_dir or 'a folder it does not name'}, which is not on "
                "this machine; run `multinode deploy` on the machine of the control plane"
            )
        return cls(Path(data_dir), terminal)

    def prepare(self, source: Source) -> BuiltVersion:
        bundle = store(source.collection, self._data_dir / "bundles")
        requirements = read_requirements(bundle.code_dir)
        installer = Installer.found(self._terminal)
        environment = prepare(
            self._data_dir / "environments",
            requirements,
            code_dir=bundle.code_dir,
            code_sha256=bundle.sha256,
            terminal=self._terminal,
            installer=installer,
        )
        of_what = "requirements.txt" if requirements else "no requirements.txt"
        how = f"made with {installer.name}" if environment.created else "used again"
        self._terminal.step(f"Environment ({of_what}): {how}")
        discovery = discover(
            environment.python,
            bundle.code_dir,
            source.variables,
            origin=source.collection.root,
            terminal=self._terminal,
        )
        count = len(discovery.functions)
        self._terminal.step(
            f"Found {count} {'function' if count == 1 else 'functions'} in main.py (Python {discovery.python})"
        )
        details = {"python": discovery.python, "sha256": bundle.sha256, "environment": str(environment.python)}
        return _BuiltVersion(discovery.functions, details, bundle, environment, source.variables)

    def publish(self, prepared: BuiltVersion, project_name: str) -> VersionDefinition:
        if not isinstance(prepared, _BuiltVersion):
            raise TypeError("publish takes what prepare returned")
        env_file = store_secrets(prepared.variables, self._data_dir / "secrets" / project_name)
        return {
            "default_docker_image": IMAGE,
            "functions": prepared.functions,
            "local_bundle": {
                "code_dir": str(prepared.bundle.code_dir),
                "python": str(prepared.environment.python),
                "env_file": None if env_file is None else str(env_file),
            },
        }

    def registered(self, newest: Callable[[], VersionInfo]) -> None:
        """Nothing is left: the registration has replaced the schedules, which the server itself fires."""
