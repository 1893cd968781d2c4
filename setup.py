"""The package map: which folder of the repository each importable package lives in. Metadata is in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOTS = {"runtime": ("multinode*",), "lambda_src": ("multinode_control_plane*",), ".": ("multinode_cli*",)}
DATA = {"multinode_templates": "templates"}
"""Folders without Python packages in them that the CLI reads with importlib.resources."""


def package_map() -> dict[str, str]:
    """Return package name -> folder, for every package below the three roots, and for the data."""
    packages = {
        package: str(Path(root, *package.split(".")))
        for root, patterns in ROOTS.items()
        for package in find_packages(root, include=patterns)
    }
    return packages | DATA


packages = package_map()
setup(
    packages=sorted(packages),
    package_dir=packages,
    package_data={"multinode_templates": ["*.j2", "*.py"], "multinode": ["py.typed"]},
)
