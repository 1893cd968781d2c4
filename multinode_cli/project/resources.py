"""① Files that come with the command and are no Python: templates, the Terraform module."""

import importlib.util
from pathlib import Path

from multinode_cli.errors import ControlPlaneFailure


def shipped_folder(package: str) -> Path:
    """Return the folder of ``multinode_templates`` or ``multinode_terraform``. Raises ControlPlaneFailure.

    Not `importlib.resources`: with an editable installation it stumbles over the finder's own entry in the path.
    """
    spec = importlib.util.find_spec(package)
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec is not None else []
    for place in places:
        if place.is_dir():
            return place
    raise ControlPlaneFailure(f"{package} is not installed beside this command; install multinode again")
