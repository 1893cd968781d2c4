"""SDK and worker of the running CLI, copied into environments and images: CLI and worker never differ."""

import hashlib
import importlib.metadata
import shutil
from pathlib import Path

from multinode_cli.project.resources import package_folder

PACKAGES = ("multinode", "multinode_protocol")
DEPENDENCIES = ("cloudpickle", "urllib3")
"""What the runtime imports. The project's own versions of them win: these copies come last on ``sys.path``."""
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


def copy_runtime(runtime: Path, dependencies: Path) -> None:
    """Copy the runtime and what it imports into two folders, with metadata that tells the versions.

    The first folder is meant to come first on ``sys.path``, the second last.
    """
    for package in PACKAGES:
        shutil.copytree(package_folder(package), runtime / package, ignore=_LEFT_OUT)
    version = importlib.metadata.version("multinode")
    metadata = runtime / f"multinode-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: multinode\nVersion: {version}\n", encoding="utf-8")
    for name in DEPENDENCIES:
        shutil.copytree(package_folder(name), dependencies / name, ignore=_LEFT_OUT)
        for file in importlib.metadata.distribution(name).files or []:
            if file.parts[0].endswith(".dist-info") and file.name == "METADATA":
                target = dependencies / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)


def runtime_digest() -> str:
    """Return hex digits that change with every file and version that `copy_runtime` copies."""
    digest = hashlib.sha256()
    for name in ("multinode", *DEPENDENCIES):
        digest.update(f"{name}={importlib.metadata.version(name)}".encode() + b"\0")
    for package in PACKAGES:
        folder = package_folder(package)
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
