"""The package map: which folder of the repository each importable package lives in. Metadata is in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOTS = {"runtime": ("multinode*",), "lambda_src": ("multinode_control_plane*",), ".": ("multinode_cli*",)}


def package_map() -> dict[str, str]:
    """Return package name -> folder, for every package below the three roots."""
    return {
        package: str(Path(root, *package.split(".")))
        for root, patterns in ROOTS.items()
        for package in find_packages(root, include=patterns)
    }


packages = package_map()
setup(packages=sorted(packages), package_dir=packages)
