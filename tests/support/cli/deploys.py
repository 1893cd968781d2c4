"""Deploys to AWS, and what they changed."""

from pathlib import Path
from typing import Any

from tests.cli.conftest import Multinode, Outcome
from tests.support.control_plane import FakeControlPlane


def deploys(multinode: Multinode, code: Path) -> Any:
    """Return what deploys that folder as a project."""

    def call(*options: str, project: str = "sums") -> Outcome:
        return multinode("deploy", str(code), "--project-name", project, *options)

    return call


def changes(plane: FakeControlPlane) -> list[tuple[str, str]]:
    """Return the requests that changed something."""
    return [request for request in plane.asked if request[0] != "GET"]
