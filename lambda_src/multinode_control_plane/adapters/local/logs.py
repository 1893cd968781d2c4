"""The log lines of executions: one append-only file per execution, one JSON object per line.

The worker writes ``{"t": ms, "s": stream, "m": text}``. Anything else in the file was written by the interpreter
itself, before the worker ran or after it died, and is returned as the stream ``worker``.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from multinode_control_plane.core import offsets
from multinode_control_plane.core.records import Execution
from multinode_control_plane.ports import LogsPage
from multinode_protocol.messages import LogLine

PAGE_BYTES = 1_000_000
"""Read at most for one page: more lines would not fit into an answer."""
LAST_BYTES = 4096
LAST_CHARS = 300
STREAMS = frozenset({"stdout", "stderr", "worker"})
_NAME = re.compile(r"[A-Za-z0-9_-]+/[A-Za-z0-9_-]+\.jsonl")


def log_file_name(invocation_id: str, execution_id: str) -> str:
    """Return the name of an execution's file, relative to the folder of logs."""
    return f"{invocation_id}/{execution_id}.jsonl"


def last_words(path: Path) -> str | None:
    """Return the last line that the worker did not write itself, which says why the interpreter gave up, or None."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return None
    foreign = [line for line in lines if line.strip() and _fields(line) is None]
    return foreign[-1].decode("utf-8", "replace").strip()[:LAST_CHARS] if foreign else None


class LocalLogs:
    """See `ports.Logs`. An offset is the execution's id and a position in its file."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, execution: Execution, *, limit: int, offset: str | None = None, tail: bool = False) -> LogsPage:
        position = 0 if offset is None else _position(offset, execution)
        path = self._path(execution)
        try:
            file = None if path is None else path.open("rb")
        except FileNotFoundError:
            file = None
        if file is None:
            return LogsPage((), offset, at_end=True)
        with file:
            size = os.fstat(file.fileno()).st_size
            if position > size:
                raise ValueError(f"the offset is past the end of the logs of {execution.execution_id}")
            if tail and offset is None:
                position = _start_of_tail(file, size, limit)
            lines, end = _read_lines(file, position, limit, unfinished=not execution.open)
        page = _parse(lines, execution)
        next_offset = None if offset is None and end == 0 else offsets.pack(_listing(execution), (str(end),))
        return LogsPage(page, next_offset, at_end=end >= size or end == position)

    def delete(self, execution: Execution) -> None:
        path = self._path(execution)
        if path is None:
            return
        path.unlink(missing_ok=True)
        try:
            path.parent.rmdir()
        except OSError:
            # The folder still has logs of the invocation's other executions; deleting the last ones removes it.
            return

    def _path(self, execution: Execution) -> Path | None:
        """Return the execution's file, which may not exist; None if it is unknown or its name is invalid.

        The name may come from a worker's own report, so it must not lead out of the folder of logs.
        """
        name = "" if execution.worker is None else execution.worker.logs_identifier
        if name:
            return self._root / name if _NAME.fullmatch(name) else None
        return next(self._root.glob(f"*/{execution.execution_id}.jsonl"), None)


def _read_lines(file: BinaryIO, position: int, limit: int, *, unfinished: bool) -> tuple[Sequence[bytes], int]:
    """Return at most `limit` lines from `position` on, and where the next one begins.

    A last line without a newline is still being written. It is left for later, unless `unfinished` says that it will
    never be completed, or it is longer than a page.
    """
    file.seek(position)
    block = file.read(PAGE_BYTES)
    pieces = block.split(b"\n")
    rest = pieces.pop()
    lines = pieces[:limit]
    end = position + sum(len(line) + 1 for line in lines)
    if len(lines) < limit and len(lines) == len(pieces) and rest:
        more = len(block) == PAGE_BYTES
        if (not lines and more) or (unfinished and not more):
            lines.append(rest)
            end += len(rest)
    return lines, end


def _start_of_tail(file: BinaryIO, size: int, limit: int) -> int:
    """Return where the last `limit` lines begin, or where the last page begins if they are longer than a page."""
    start = max(0, size - PAGE_BYTES)
    file.seek(start)
    block = file.read(size - start)
    cut = len(block.removesuffix(b"\n"))
    for _ in range(limit):
        cut = block.rfind(b"\n", 0, cut)
        if cut < 0:
            # The page begins in the middle of a line, which is left out.
            return start + (block.find(b"\n") + 1 if start else 0)
    return start + cut + 1


def _parse(lines: Sequence[bytes], execution: Execution) -> Sequence[LogLine]:
    parsed: list[LogLine] = []
    timestamp_ms = int((execution.launched_at or execution.created_at).timestamp() * 1000)
    for line in lines:
        if not line:
            continue
        fields = _fields(line)
        if fields is None:
            stream, message = "worker", line.decode("utf-8", "replace")
        else:
            timestamp_ms, stream, message = fields
        parsed.append(
            LogLine(
                timestamp_ms=timestamp_ms,
                execution_id=execution.execution_id,
                attempt=execution.attempt,
                stream=stream,
                message=message,
            )
        )
    return parsed


def _fields(line: bytes) -> tuple[int, str, str] | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    timestamp_ms, stream, message = document.get("t"), document.get("s"), document.get("m")
    if not isinstance(timestamp_ms, int) or stream not in STREAMS or not isinstance(message, str):
        return None
    # An answer cannot carry a lone surrogate.
    return timestamp_ms, cast(str, stream), message.encode("utf-8", "replace").decode()


def _listing(execution: Execution) -> tuple[str, str]:
    return "local logs", execution.execution_id


def _position(offset: str, execution: Execution) -> int:
    """Return the position in the file. Raises ValueError."""
    (position,) = offsets.unpack(_listing(execution), offset, parts=1)
    return int(position or "")
