"""``python -m multinode_control_plane.local_server --data-dir D [--port P]``."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from logging.handlers import RotatingFileHandler
from pathlib import Path

from multinode_control_plane.adapters.local.data_dir import DataDirectory, DataDirectoryError, prepare
from multinode_control_plane.adapters.local.server_files import ServerAlreadyRuns
from multinode_control_plane.local_server.serve import PortInUse, serve
from multinode_control_plane.wiring.settings import SettingIsInvalid

LOG_BYTES = 10_000_000
LOG_FILES = 3


def main(arguments: Sequence[str]) -> int:
    """Return 0 after a stop that was asked for, 3 when the server could not start."""
    parser = argparse.ArgumentParser(prog="multinode_control_plane.local_server")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--ready-fd", type=int, help="descriptor for one line of JSON: where it listens, or an error")
    parser.add_argument("--quiet", action="store_true", help="log to server.log alone")
    options = parser.parse_args(arguments)
    try:
        directory = prepare(options.data_dir)
        log_to(directory, quiet=options.quiet)
        serve(directory, options.port, os.environ, lambda info: _tell(options.ready_fd, asdict(info)))
    except (DataDirectoryError, ServerAlreadyRuns, PortInUse, SettingIsInvalid) as error:
        _tell(options.ready_fd, {"error": str(error)})
        sys.stderr.write(f"error: {error}\n")
        return 3
    return 0


def _tell(descriptor: int | None, document: dict[str, object]) -> None:
    if descriptor is not None:
        os.write(descriptor, json.dumps(document).encode() + b"\n")
        os.close(descriptor)


def log_to(directory: DataDirectory, *, quiet: bool) -> None:
    """Send the log to the directory's `server.log`, and unless `quiet` to stderr."""
    handlers: list[logging.Handler] = [
        RotatingFileHandler(directory.server_log, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    ]
    if not quiet:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", handlers=handlers, force=True
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
