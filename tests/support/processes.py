"""Looking at threads and processes, and at what they leave, from outside."""

import time
from collections.abc import Callable
from pathlib import Path


def eventually(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Return once `condition` holds. For what real threads and processes do in their own time."""
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at, f"it did not come about within {within_s:g} s"
        time.sleep(0.01)


def without_marks(traceback: str) -> str:
    """Return a traceback less the lines of ``^`` and ``~``, which differ between versions of Python."""
    return "".join(line for line in traceback.splitlines(keepends=True) if line.strip(" \n^~"))


def alive(pid: int) -> bool:
    """True while the process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"
