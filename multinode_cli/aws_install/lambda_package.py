"""The control plane's package for AWS Lambda: one zip, the same bytes on every machine and on every run.

``python -m multinode_cli.aws_install.lambda_package --output FILE`` (`make lambda`) writes it. To make it the same:

- it holds the control plane's own files alone, which need the standard library and boto3;
- names are sorted, times and modes fixed, nothing is compiled (.pyc) and nothing compressed: zlib's output varies with
  its version.

boto3 is not in it. Lambda brings its own, compiled, while ours would be compiled at each cold start, since Lambda's
code folder is read-only; and the adapters use nothing of boto3 that is newer than 2023.
"""

import argparse
import hashlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from multinode_cli.errors import ControlPlaneFailure
from multinode_cli.project.resources import package_folder

PACKAGES = ("multinode_control_plane", "multinode_protocol")
LOCAL_ONLY = ("adapters/local/", "local_server/", "wiring/local.py")
"""The parts of the control plane that run only on a user's own machine."""
KEPT_SUFFIXES = (".py", ".typed")
MTIME = (1980, 1, 1, 0, 0, 0)
"""The zip format's first moment."""
FILE_MODE = 0o100644
UNIX = 3


def build(output: Path) -> str:
    """Write the package to `output`, which appears whole or not at all; return the SHA-256 of its bytes, in hex.

    Raises ControlPlaneFailure.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write(file, _own_files())
        unfinished.chmod(0o644)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
    return hashlib.sha256(output.read_bytes()).hexdigest()


def provide(output: Path, shipped: Path) -> bool:
    """Write the package of this very installation to `output`; return whether it had to be built.

    A released wheel contains it as `shipped`. If its files differ from those installed, as after changes in a checkout,
    it is not used. Raises ControlPlaneFailure.
    """
    if not _is_of_this_installation(shipped):
        build(output)
        return True
    if shipped != output:
        shutil.copyfile(shipped, output)
    return False


def _is_of_this_installation(package: Path) -> bool:
    try:
        with zipfile.ZipFile(package) as archive:
            own = {name for name in archive.namelist() if name.startswith(("multinode_", "multinode-"))}
            return {name: archive.read(name) for name in own} == _own_files()
    except (OSError, zipfile.BadZipFile):
        return False


def _write(file: IO[bytes], files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as package:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, MTIME)
            entry.create_system = UNIX
            entry.external_attr = FILE_MODE << 16
            package.writestr(entry, files[name])


def _own_files() -> dict[str, bytes]:
    """Return the control plane's own files by their place in the package, and the metadata that tells its version."""
    files = {
        f"{package}/{relative}": path.read_bytes()
        for package in PACKAGES
        for path, relative in _sources(package)
        if not relative.startswith(LOCAL_ONLY)
    }
    version = importlib.metadata.version("multinode")
    metadata = f"Metadata-Version: 2.1\nName: multinode\nVersion: {version}\n"
    files[f"multinode-{version}.dist-info/METADATA"] = metadata.encode()
    return files


def _sources(package: str) -> Iterator[tuple[Path, str]]:
    root = package_folder(package)
    for path in root.rglob("*"):
        if path.suffix in KEPT_SUFFIXES and path.is_file():
            yield path, path.relative_to(root).as_posix()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m multinode_cli.aws_install.lambda_package", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="where to write the zip")
    output: Path = parser.parse_args().output
    try:
        digest = build(output)
    except ControlPlaneFailure as failure:
        failure.show()
        sys.exit(failure.exit_code)
    sys.stdout.write(f"{output}: {output.stat().st_size:,} bytes, sha256 {digest}\n")


if __name__ == "__main__":
    main()
