"""Folders that are installed with the command: packages, the templates, the Terraform module."""

import importlib.util
from pathlib import Path

from multinode_cli.errors import ControlPlaneFailure


def package_folder(name: str) -> Path:
    """Return the folder of a package such as ``multinode`` or ``multinode_templates``, without importing it.

    Not `importlib.resources`: with an editable installation it fails on the finder's own entry in the path.
    Raises ControlPlaneFailure.
    """
    spec = importlib.util.find_spec(name)
    locations = [Path(location) for location in (spec.submodule_search_locations or ())] if spec is not None else []
    for location in locations:
        if location.is_dir():
            return location
    raise ControlPlaneFailure(f"the package {name} is not installed beside this command; install multinode again")
