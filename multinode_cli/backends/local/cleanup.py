"""What deploys to the local control plane made, removed from its data folder.

Bundles are not among it: the server removes them itself, since it knows what it runs.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from multinode.errors import ApiError
from multinode_cli.client.api import Api
from multinode_cli.errors import ControlPlaneFailure

YOUNGEST_S = 3600.0
"""A younger environment may belong to a deploy that has not registered its version yet."""
MOST_VERSIONS = 500
"""Looking through more would take longer than the disk space is worth."""


@dataclass(frozen=True, slots=True)
class LocalLeftovers:
    """`data_dir` is None when the control plane's folder is not on this machine."""

    api: Api
    data_dir: Path | None
    project_name: str

    def __bool__(self) -> bool:
        return self.data_dir is not None and (self.data_dir / "secrets" / self.project_name).is_dir()

    def __str__(self) -> str:
        return "its secrets"

    def remove(self) -> None:
        if self.data_dir is not None:
            shutil.rmtree(self.data_dir / "secrets" / self.project_name, ignore_errors=True)
            _remove_unused_environments(self.api, self.data_dir / "environments")


class LocalCleanup:
    """See `base.Cleanup`."""

    def __init__(self, api: Api, data_dir: Path | None) -> None:
        self._api = api
        self._data_dir = data_dir

    def stop_schedules(self, project_name: str) -> None:
        """Nothing to do: the server fires no schedule of a project that is being deleted."""

    def leftovers(self, project_name: str) -> LocalLeftovers:
        return LocalLeftovers(self._api, self._data_dir, project_name)


def _remove_unused_environments(api: Api, environments_dir: Path) -> None:
    """Remove the environments that no version of any project refers to and no deploy has used lately.

    Does nothing when it cannot be sure of what is in use.
    """
    used = _used(api)
    if used is None or not environments_dir.is_dir():
        return
    oldest_kept = time.time() - YOUNGEST_S
    for path in environments_dir.iterdir():
        if not path.is_dir() or path in used:
            continue
        complete = path / "complete"
        if (complete if complete.exists() else path).stat().st_mtime < oldest_kept:
            shutil.rmtree(path, ignore_errors=True)


def _used(api: Api) -> set[Path] | None:
    """Return every folder above the interpreter of a version; None when that cannot be told."""
    used: set[Path] = set()
    seen = 0
    try:
        for project in api.projects():
            for listing in api.versions(project["project_name"]):
                seen += 1
                if seen > MOST_VERSIONS:
                    return None
                bundle = api.version(project["project_name"], listing["version_id"]).get("local_bundle")
                if bundle is None:
                    return None
                used.update(Path(bundle["python"]).parents)
    except (ApiError, ControlPlaneFailure):
        return None
    return used
