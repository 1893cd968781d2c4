"""Small files that are written whole or not at all, and that only their owner can read."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

JsonObject = dict[str, object]


def write_json(path: Path, document: Mapping[str, object], *, durable: bool = False) -> None:
    """Replace the file by `document`, mode 0600. `durable`: it survives a power failure. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # created with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def read_json(path: Path) -> JsonObject | None:
    """Return what `write_json` wrote; None if there is no file. Raises ValueError if it contains anything else."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path} is damaged: it does not contain a JSON object")  # noqa: TRY004 - as above
    return document


def sync_folder(folder: Path) -> None:
    """Make sure that the names in a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
