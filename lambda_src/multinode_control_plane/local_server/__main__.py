"""Runs the local server: ``python -m multinode_control_plane.local_server --data-dir D [--port P]``."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from multinode_control_plane.local_server.control import LocalControl, LocalControlError


def main(arguments: Sequence[str]) -> int:
    """Return 0 after a requested stop, 3 if the server could not start."""
    parser = argparse.ArgumentParser(prog="multinode_control_plane.local_server")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--ready-fd", type=int, help="descriptor for one line of JSON: where it listens, or an error")
    parser.add_argument("--quiet", action="store_true", help="log only to server.log")
    options = parser.parse_args(arguments)
    try:
        control = LocalControl(options.data_dir)
        control.prepare()
        control.serve(options.port, lambda info: _tell(options.ready_fd, asdict(info)), quiet=options.quiet)
    except LocalControlError as error:
        _tell(options.ready_fd, {"error": str(error)})
        sys.stderr.write(f"error: {error}\n")
        return 3
    return 0


def _tell(descriptor: int | None, document: dict[str, object]) -> None:
    if descriptor is not None:
        os.write(descriptor, json.dumps(document).encode() + b"\n")
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
