"""Looking at processes, and at what they leave, from outside."""

from pathlib import Path


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
