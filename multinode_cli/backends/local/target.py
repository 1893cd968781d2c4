"""Deploying to the control plane on this machine: files, environment and secrets go into its data folder."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from multinode_cli.backends.base import BuiltVersion, DeployOptions, Source
from multinode_cli.backends.local.cleanup import LocalCleanup
from multinode_cli.backends.local.installer import Installer
from multinode_cli.backends.local.venv import Environment, prepare
from multinode_cli.client.api import Api
from multinode_cli.console.terminal import Terminal
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.bundle import Bundle, store
from multinode_cli.project.discovery import discover
from multinode_cli.project.env_file import store_secrets
from multinode_cli.project.requirements import read_requirements
from multinode_protocol.messages import FunctionSpec, VersionDefinition, VersionInfo

IMAGE = "local"
"""The REST API wants the name of an image; the local backend runs none."""


class LocalBackend:
    """The local backend. What it makes before a version is published is stored by its content and used again."""

    def __init__(self, api: Api, data_dir: str | None, terminal: Terminal) -> None:
        """`data_dir`: as the control plane names it; it may be on another machine."""
        self._data_dir = Path(data_dir) if data_dir and Path(data_dir).is_dir() else None
        self._named = data_dir or "a folder it does not name"
        self._terminal = terminal
        self.cleanup = LocalCleanup(api, self._data_dir)

    def build(self, source: Source, options: DeployOptions) -> BuiltVersion:
        if options.base_image is not None:
            raise UsageFailure(
                "--base-image is for deployments on AWS: the local control plane runs functions with the Python of "
                "this command, without an image"
            )
        if self._data_dir is None:
            raise ControlPlaneFailure(
                f"the local control plane keeps its data in {self._named}, which is not on this machine; run "
                "`multinode deploy` on the machine of the control plane"
            )
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
        secrets_dir = self._data_dir / "secrets" / options.project_name
        publish = partial(_publish, discovery.functions, bundle, environment, source.variables, secrets_dir)
        return BuiltVersion(discovery.functions, details, publish)

    def registered(self, newest: Callable[[], VersionInfo]) -> None:
        """Nothing remains: the registration has replaced the schedules, which the server itself fires."""


def _publish(
    functions: list[FunctionSpec],
    bundle: Bundle,
    environment: Environment,
    variables: dict[str, str],
    secrets_dir: Path,
) -> VersionDefinition:
    env_file = store_secrets(variables, secrets_dir)
    return {
        "default_docker_image": IMAGE,
        "functions": functions,
        "local_bundle": {
            "code_dir": str(bundle.code_dir),
            "python": str(environment.python),
            "env_file": None if env_file is None else str(env_file),
        },
    }
