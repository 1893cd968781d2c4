"""The data directory, where the local deployment stores everything: one folder, private to its user.

DataDirectoryError(Exception)   the folder cannot be used: not ours, from a newer version, not writable
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from multinode_protocol.env_vars import DATA_DIR


class DataDirectoryError(Exception):
    """The data directory cannot be used; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The paths inside the folder. `root` is absolute."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / "state.sqlite3"

    @property
    def keys(self) -> Path:
        return self.root / "keys.json"

    @property
    def deployment(self) -> Path:
        return self.root / "deployment.json"

    @property
    def server(self) -> Path:
        return self.root / "server.json"

    @property
    def server_lock(self) -> Path:
        return self.root / "server.lock"

    @property
    def server_log(self) -> Path:
        return self.root / "server.log"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def workers(self) -> Path:
        return self.root / "workers"

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"


_OURS = frozenset(
    {
        "state.sqlite3",
        "state.sqlite3-wal",
        "state.sqlite3-shm",
        "keys.json",
        "keys.lock",
        "deployment.json",
        "server.json",
        "server.lock",
        "server.log",
        "logs",
        "workers",
        "bundles",
        "environments",
        "secrets",
    }
)


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Return ``$MULTINODE_DATA_DIR``, else ``$XDG_DATA_HOME/multinode``, else ``~/.local/share/multinode``.

    Raises DataDirectoryError if none of them is known.
    """
    if chosen := environ.get(DATA_DIR):
        return Path(chosen)
    # A relative XDG_DATA_HOME is to be ignored: XDG Base Directory Specification 0.8, "Basics".
    xdg = environ.get("XDG_DATA_HOME", "")
    if xdg.startswith("/"):
        return Path(xdg) / "multinode"
    try:
        home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError as error:
        raise DataDirectoryError(f"There is no home folder: set {DATA_DIR}, or use --data-dir.") from error
    return home / ".local" / "share" / "multinode"


def prepare(path: Path) -> DataDirectory:
    """Return the data directory at `path`, created if it does not exist, accessible to this user only.

    Raises DataDirectoryError if it is not a folder, belongs to another user, contains foreign files, or cannot be
    written; such a folder is left as it was.
    """
    root = path.absolute()
    try:
        if root.exists() and not root.is_dir():
            raise DataDirectoryError(f"{root} is not a folder. Choose another one with --data-dir.")
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {entry.name for entry in root.iterdir()}
        if names and not names & {"state.sqlite3", "server.lock"} and not names <= _OURS:
            raise DataDirectoryError(
                f"{root} contains files that are not Multinode's ({', '.join(sorted(names - _OURS)[:3])} …). "
                "Choose an empty folder with --data-dir."
            )
        status = root.stat()
        if status.st_uid != os.geteuid():
            raise DataDirectoryError(
                f"{root} belongs to another user (id {status.st_uid}). Choose another one with --data-dir."
            )
        if status.st_mode & 0o077:
            root.chmod(0o700)
        # Permission bits do not show a read-only file system, and do not apply to root: only a try tells.
        with tempfile.NamedTemporaryFile(dir=root, prefix="server.log-probe-"):
            pass
        directory = DataDirectory(root)
        for folder in (directory.logs, directory.workers, directory.bundles, directory.secrets):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise DataDirectoryError(
            f"{root} cannot be written: {error.strerror or error}. Fix that, or choose another folder with --data-dir."
        ) from error
    return directory
