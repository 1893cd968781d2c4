"""What a backend must do so that projects can be deployed to it and removed from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from multinode_cli.project.bundle import CollectedFiles
from multinode_protocol.messages import FunctionSpec, VersionDefinition, VersionInfo


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """What the command line asks for. `base_image`: None leaves it to the backend."""

    project_name: str
    base_image: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What is deployed: the files, and the variables that ``.env`` beside them sets."""

    collection: CollectedFiles
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class BuiltVersion:
    """A version that can be published. `details` and `description` are what ``--dry-run`` shows, as JSON and as text.

    `publish` puts the version's parts in their places and returns what to register; nothing of it runs yet.
    """

    functions: list[FunctionSpec]
    details: dict[str, Any]
    publish: Callable[[], VersionDefinition]
    description: str = ""


class Leftovers(Protocol):
    """What deploys of a project made outside the control plane. True if there is any; its text says what."""

    def __bool__(self) -> bool: ...

    def __str__(self) -> str: ...

    def remove(self) -> None:
        """Remove all of it, and what no project uses any more. Idempotent. Raises ControlPlaneFailure."""


class Cleanup(Protocol):
    """How a project is removed from the backend."""

    def stop_schedules(self, project_name: str) -> None:
        """Keep the project's schedules from starting anything. Raises ControlPlaneFailure."""

    def leftovers(self, project_name: str) -> Leftovers:
        """Return what there is of the project now. Raises ControlPlaneFailure."""


class Backend(Protocol):
    """The backend of one deployment."""

    @property
    def cleanup(self) -> Cleanup: ...

    def build(self, source: Source, options: DeployOptions) -> BuiltVersion:
        """Build what the version runs in and find its functions. The result is a cache: no project is changed.

        Raises: UsageFailure, ControlPlaneFailure.
        """

    def registered(self, newest: Callable[[], VersionInfo]) -> None:
        """Do what remains once the version is registered; `newest` asks for the project's newest version."""
