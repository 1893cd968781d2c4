"""The virtual environment in which a project's functions run: made once per set of requirements, then used again.

``<environments>/<key>/`` holds ``venv/``, ``multinode_runtime/`` (SDK and worker of the running CLI, first on
``sys.path``, so that CLI and worker never differ), ``multinode_fallback/`` (what the runtime imports, last on
``sys.path``, so that the project's own versions win) and ``complete``, written last. A lock lets one deploy build it
while others wait; one without ``complete`` was interrupted and is rebuilt in place, since a virtual environment cannot
be moved.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from multinode_cli.backends.local.installer import Installer
from multinode_cli.console.terminal import Terminal
from multinode_cli.errors import ControlPlaneFailure
from multinode_cli.project.requirements import Requirements
from multinode_cli.project.runtime_copy import copy_runtime, runtime_digest

LAYOUT = "2"
"""Raised when the contents of an environment change: an older one is not used again."""
RUNTIME_PTH = "import os, sys; sys.path.insert(0, os.path.join(os.path.dirname(sys.prefix), 'multinode_runtime'))\n"
FALLBACK_PTH = "import os, sys; sys.path.append(os.path.join(os.path.dirname(sys.prefix), 'multinode_fallback'))\n"


@dataclass(frozen=True, slots=True)
class Environment:
    """A finished environment. `created` is False when an earlier deploy had made it."""

    python: Path
    created: bool


def prepare(
    environments_dir: Path,
    requirements: Requirements | None,
    *,
    code_dir: Path,
    code_sha256: str,
    terminal: Terminal,
    installer: Installer,
) -> Environment:
    """Return the environment for `requirements` (None: only the runtime), made if it does not exist.

    Without requirements no network is needed. The installer runs in `code_dir`, where relative paths begin.

    Raises: UsageFailure when requirements cannot be installed, ControlPlaneFailure when the folder cannot be written.
    """
    key = environment_key(requirements, code_sha256, installer.name)
    folder = environments_dir / key
    python = folder / "venv" / "bin" / "python"
    complete = folder / "complete"
    try:
        environments_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(environments_dir / f"{key}.lock", terminal):
            if complete.exists() and os.access(python, os.X_OK):
                os.utime(complete)  # in use again: the clean-up must not take it for old
                return Environment(python, created=False)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            installer.make_environment(folder / "venv", with_installer=requirements is not None)
            if requirements is not None:
                installer.install(python, requirements, folder, code_dir)
            _add_runtime(folder)
            complete.touch()
    except OSError as error:
        raise ControlPlaneFailure(f"cannot create an environment in {environments_dir}: {error}") from error
    return Environment(python, created=True)


def environment_key(requirements: Requirements | None, code_sha256: str, installer_name: str) -> str:
    """Return 40 hex digits that change with everything that an environment is made of."""
    digest = hashlib.sha256()
    parts = [LAYOUT, installer_name, sys.implementation.name, sys.version, platform.machine(), sys.base_prefix]
    if requirements is not None:
        parts += [requirements.text, "constraints", requirements.constraints]
        if requirements.names_files:
            parts.append(code_sha256)
    for part in [*parts, runtime_digest()]:
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()[:40]


@contextlib.contextmanager
def _locked(path: Path, terminal: Terminal) -> Iterator[None]:
    """Hold the exclusive lock of `path`; report it if another process has it. The system frees it if we are killed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            terminal.message("Another deploy is building the same environment; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _add_runtime(folder: Path) -> None:
    """Copy the runtime and what it imports beside the virtual environment, and put both on its ``sys.path``."""
    copy_runtime(folder / "multinode_runtime", folder / "multinode_fallback")
    site_packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (site_packages / "multinode_runtime.pth").write_text(RUNTIME_PTH, encoding="utf-8")
    (site_packages / "zzz_multinode_fallback.pth").write_text(FALLBACK_PTH, encoding="utf-8")
