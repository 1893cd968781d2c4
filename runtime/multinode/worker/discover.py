"""What `deploy` runs inside the project's own environment to find its functions.

``python -m multinode.worker.discover --code-dir D --output FILE [--timeout-s 120]`` imports ``D/main.py`` and writes

    {"functions": [FunctionSpec…], "python": "3.11.7", "multinode": "2.0.0"}      or
    {"error": {"kind": …, "message": …, "traceback": … or null}}                  kinds: `discover_child.ErrorKind`

Exit code 0 when FILE was written, with either content, else 1 (2: wrong usage). Nothing is printed to stdout: what the
project prints while it is imported goes to stderr.
"""

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from multinode_protocol.process_tree import signal_group

DEFAULT_TIMEOUT_S = 120.0
_BEYOND_S = 5.0
"""For an import that is stuck in C code, where its own time-out has no effect: then the process is killed."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m multinode.worker.discover", description=__doc__)
    parser.add_argument("--code-dir", type=Path, required=True, metavar="D")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--timeout-s", type=float, default=DEFAULT_TIMEOUT_S, metavar="N")
    options = parser.parse_args(arguments)
    answer = _ask(Path(os.path.abspath(options.code_dir)), options.timeout_s)  # noqa: PTH100 symlinks stay
    try:
        _write(options.output, answer)
    except OSError as error:
        sys.stderr.write(f"multinode.worker.discover: {options.output} cannot be written: {error.strerror}\n")
        return 1
    return 0


def _ask(code_dir: Path, timeout_s: float) -> dict[str, Any]:
    """Return what the child process reports, or how it ended without a report."""
    read_fd, write_fd = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "multinode.worker.discover_child", str(write_fd), str(code_dir), str(timeout_s)],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        pass_fds=(write_fd,),
        start_new_session=True,
    )
    os.close(write_fd)
    try:
        said = _read(read_fd, process, time.monotonic() + timeout_s + _BEYOND_S)
    finally:
        os.close(read_fd)
        signal_group(process.pid)
        status = process.wait()
    if said:
        answer: dict[str, Any] = json.loads(said)
        return answer
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
    if status == -signal.SIGKILL:
        how = f"did not end within {timeout_s:g} s, or ran out of memory, and was killed"
    message = f"main.py cannot be imported: the process that imported it {how}"
    return {"error": {"kind": "import_failed", "message": message, "traceback": None}}


def _read(fd: int, process: subprocess.Popen[bytes], give_up_at: float) -> bytes:
    """Return all that comes out of `fd` until its end, or the process's; nothing if `give_up_at` comes first."""
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while (left_s := give_up_at - time.monotonic()) > 0:
            # Woken now and then: a daemon that the import started may hold the pipe open after the process has ended.
            if selector.select(min(left_s, 0.5)):
                data = os.read(fd, 65_536)
                if not data:
                    return said
                said += data
            elif process.poll() is not None:
                return said
    return b""


def _write(output: Path, answer: dict[str, Any]) -> None:
    """Write the file under another name and rename it, so that nobody reads half of it."""
    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    temporary.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    temporary.replace(output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
