"""The package map: which folder of the repository each importable package lives in. Metadata is in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOTS = {"runtime": ("multinode*",), "lambda_src": ("multinode_control_plane*",), ".": ("multinode_cli*",)}
DATA = {"multinode_templates": "templates", "multinode_terraform": "terraform"} | {
    f"multinode_terraform.modules.{name}": f"terraform/modules/{name}" for name in ("function", "trigger")
}
"""Folders without Python packages in them, whose files the CLI reads: see multinode_cli/project/resources.py."""


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
    package_data={
        "multinode": ["py.typed"],
        "multinode_templates": ["*.j2", "*.py"],
        # The Lambda package too, where it has been built: `make wheel` sees to that.
        "multinode_terraform": ["*.tf", "multinode-lambda.zip"],
        "multinode_terraform.modules.function": ["*.tf"],
        "multinode_terraform.modules.trigger": ["*.tf"],
    },
)
