"""A project's folder -> the files that are deployed, and their copy under the digest of their content.

Two folders with the same files give the same digest, whatever their time stamps, order and owners.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from multinode_cli.console.text import path_text, size
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.files import NotAFile, open_file
from multinode_cli.project.ignore import Rules, is_always_left_out

MAX_BYTES = 500_000_000
MAX_FILES = 50_000
LARGEST_NAMED = 5
MAIN = "main.py"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One file (`link_to` is None) or symbolic link of the bundle. `path` and `link_to` are relative to the top of it,
    with slashes; bytes that are not UTF-8 are surrogates."""

    path: str
    size: int
    executable: bool
    link_to: str | None = None


@dataclass
class CollectedFiles:
    """What is deployed of `root`: entries by path, and notes on what was left out although no rule excludes it."""

    root: Path
    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def total_bytes(self) -> int:
        return sum(entry.size for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A stored copy. `sha256` is the digest of paths, contents, links and executable bits."""

    sha256: str
    code_dir: Path


def collect(root: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> CollectedFiles:
    """Return the files below `root` that are deployed.

    Links are kept as links if they lead to another file or folder of the bundle; one that leads out of the folder is
    refused. Devices, pipes and sockets are left out.

    Raises: UsageFailure, also when there are too many or too large files.
    """
    root = Path(os.path.realpath(root))
    if not root.is_dir():
        raise UsageFailure(f"{path_text(root)} is not a folder; give the folder that contains {MAIN}")
    collection = CollectedFiles(root)
    links: list[Entry] = []
    for entry in _walk(root, Rules.at(root), collection.notes):
        (links if entry.link_to is not None else collection.entries).append(entry)
        if len(collection.entries) > max_files * 4:
            break
    collection.entries += _links_with_a_target(links, collection)
    collection.entries.sort(key=lambda entry: os.fsencode(entry.path))
    _check_size(collection, max_bytes, max_files)
    _check_main(collection)
    return collection


def _walk(top: Path, rules_at_top: Rules, notes: list[str]) -> Iterator[Entry]:
    """Yield the entries below `top` that are not left out, in any order."""
    pending = [(top, rules_at_top)]  # not recursive: folders may be nested deeper than Python's stack
    while pending:
        folder, rules = pending.pop()
        for item in _children(folder, top):
            path = Path(item.path)
            is_folder = item.is_dir(follow_symlinks=False)
            if is_always_left_out(item.name) or rules.leave_out(path, is_folder=is_folder):
                continue
            relative = path.relative_to(top).as_posix()
            if is_folder:
                if not (path / "pyvenv.cfg").is_file():  # a virtual environment, whatever its name
                    pending.append((path, rules.inside(path)))
            elif item.is_symlink():
                yield _link(path, relative, top)
            elif item.is_file(follow_symlinks=False):
                status = item.stat(follow_symlinks=False)
                yield Entry(relative, status.st_size, bool(status.st_mode & stat.S_IXUSR))
            else:
                notes.append(f"{path_text(relative)} is a pipe, socket or device and was left out")


def _children(folder: Path, top: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return list(items)
    except PermissionError as error:
        name = path_text(folder.relative_to(top).as_posix())
        raise UsageFailure(
            f"the folder {name} cannot be read; change its permissions, or list it in .multinodeignore: /{name}/"
        ) from error
    except OSError as error:
        raise UsageFailure(f"the folder {path_text(folder)} cannot be read: {error.strerror}") from error


def _link(path: Path, relative: str, top: Path) -> Entry:
    """Return the entry of a symbolic link, its target relative to `top`. Raises UsageFailure if it leads out of it."""
    end = Path(os.path.realpath(path))
    if not end.is_relative_to(top):
        raise UsageFailure(
            f"{path_text(relative)} links to {path_text(end)}, outside the folder; replace the link with a copy, "
            f"or exclude it with this line in .multinodeignore: /{path_text(relative)}"
        )
    return Entry(relative, 0, executable=False, link_to=end.relative_to(top).as_posix())


def _links_with_a_target(links: list[Entry], collection: CollectedFiles) -> list[Entry]:
    """Return the links that lead to something in the bundle; the others are noted."""
    present = {entry.path for entry in collection.entries}
    folders = {parent.as_posix() for path in present for parent in Path(path).parents}
    kept = []
    for link in links:
        if link.link_to in present or link.link_to in folders:
            kept.append(link)
        else:
            collection.notes.append(
                f"{path_text(link.path)} links to {path_text(link.link_to or '')}, "
                "which is not deployed, and was left out"
            )
    return kept


def _check_size(collection: CollectedFiles, max_bytes: int, max_files: int) -> None:
    advice = "Exclude what the functions do not need with .multinodeignore"
    if len(collection.entries) > max_files:
        folders = Counter(entry.path.partition("/")[0] for entry in collection.entries)
        largest = ", ".join(f"{path_text(name)} ({count} files)" for name, count in folders.most_common(LARGEST_NAMED))
        raise UsageFailure(f"the folder has more than {max_files:,} files: {largest}. {advice}")
    total = collection.total_bytes
    if total > max_bytes:
        by_size = sorted(collection.entries, key=lambda entry: entry.size, reverse=True)[:LARGEST_NAMED]
        largest = ", ".join(f"{path_text(entry.path)} ({size(entry.size)})" for entry in by_size)
        raise UsageFailure(f"the folder has {size(total)}, the limit is {size(max_bytes)}: {largest}. {advice}")


def _check_main(collection: CollectedFiles) -> None:
    if any(entry.path == MAIN for entry in collection.entries):
        return
    path = collection.root / MAIN
    if not os.path.lexists(path):
        problem = f"{path_text(collection.root)} has no {MAIN}; the functions are defined there"
        elsewhere = sorted(entry.path for entry in collection.entries if Path(entry.path).name == MAIN)
        if elsewhere:
            folder = collection.root / Path(elsewhere[0]).parent
            problem += f". There is {path_text(elsewhere[0])}: did you mean {path_text(folder)}?"
    elif path.is_symlink() or path.is_file():
        problem = f"{path_text(path)} is excluded by an ignore rule or is a broken link; it must be deployed"
    else:
        problem = f"{path_text(path)} is not a file"
    raise UsageFailure(problem)


def store(collection: CollectedFiles, bundles_dir: Path) -> Bundle:
    """Copy the collected files to ``<bundles_dir>/<sha256>/code`` and return where they are.

    The folder appears whole, by a rename. An existing bundle is used again. Raises UsageFailure for a file
    that cannot be read, ControlPlaneFailure when the copy cannot be written.
    """
    try:
        bundles_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        incoming = Path(tempfile.mkdtemp(prefix=".incoming-", dir=bundles_dir))
    except OSError as error:
        raise ControlPlaneFailure(f"cannot write to {bundles_dir}: {error.strerror}") from error
    try:
        (incoming / "code").mkdir()
        sha256 = _copy(collection, incoming / "code")
        final = bundles_dir / sha256
        try:
            incoming.rename(final)
        except OSError:
            if not (final / "code").is_dir():
                raise
        os.utime(final)  # in use again: the clean-up must not take it for old
    except OSError as error:
        raise ControlPlaneFailure(f"cannot write the bundle to {bundles_dir}: {error.strerror}") from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return Bundle(sha256, final / "code")


def _copy(collection: CollectedFiles, code_dir: Path) -> str:
    """Copy every entry into the empty folder `code_dir` and return the digest of what was written."""
    digest = hashlib.sha256()
    for entry in collection.entries:
        destination = code_dir / entry.path
        destination.parent.mkdir(parents=True, exist_ok=True)
        if entry.link_to is not None:
            text = os.path.relpath(entry.link_to, os.path.dirname(entry.path) or ".")  # noqa: PTH120 (no such function)
            destination.symlink_to(text)
            kind, content = b"link", os.fsencode(text)
        else:
            kind, content = b"file", _copy_file(collection.root / entry.path, destination, entry)
        for part in (kind, os.fsencode(entry.path), b"x" if entry.executable else b"-", content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _copy_file(source: Path, destination: Path, entry: Entry) -> bytes:
    """Copy one file without following a link and without waiting on a pipe; return the SHA-256 of its content."""
    content = hashlib.sha256()
    try:
        with open_file(source, follow_link=False) as reader, destination.open("xb") as writer:
            while chunk := _read(reader, entry):
                content.update(chunk)
                writer.write(chunk)
    except (FileNotFoundError, NotAFile) as error:
        raise UsageFailure(f"{path_text(entry.path)} changed while it was read; deploy again") from error
    except PermissionError as error:
        raise UsageFailure(
            f"{path_text(entry.path)} cannot be read; change its permissions, or exclude it with this line in "
            f".multinodeignore: /{path_text(entry.path)}"
        ) from error
    destination.chmod(0o755 if entry.executable else 0o644)
    return content.digest()


def _read(reader: BufferedReader, entry: Entry) -> bytes:
    try:
        return reader.read(CHUNK_BYTES)
    except OSError as error:
        raise UsageFailure(f"{path_text(entry.path)} cannot be read: {error.strerror}") from error
