"""① Environments that no version uses any more, removed from the local deployment's data folder.

(Bundles are the server's to remove: it looks after what it runs.)
"""

import shutil
import time
from pathlib import Path

from multinode.errors import ApiError
from multinode_cli.client.api import Api
from multinode_cli.errors import ControlPlaneFailure

YOUNGEST_S = 3600.0
"""A younger one may belong to a deploy that has not registered its version yet."""
MOST_VERSIONS = 500
"""Looking through more would take longer than the disk space is worth."""


def remove_unused_environments(api: Api, environments_dir: Path, *, now: float | None = None) -> None:
    """Remove the environments that no version of any project refers to and no deploy used of late.

    Does nothing when it cannot be sure of what is in use.
    """
    used = _used(api)
    if used is None or not environments_dir.is_dir():
        return
    oldest_kept = (time.time() if now is None else now) - YOUNGEST_S
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
