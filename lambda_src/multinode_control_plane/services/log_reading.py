"""The log lines of one execution, or of all executions of an invocation as one log.

Executions of an invocation never overlap, so their lines follow one another: a position in the merged log is one
execution and an offset in its lines. It moves to the next execution once this one has ended and all of its lines were
read. A backend whose lines arrive late keeps `LogsPage.at_end` False until then.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from multinode_control_plane.core import offsets
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.records import Execution, Invocation
from multinode_control_plane.ports import Logs, LogsPage, Waiter
from multinode_control_plane.services import commit
from multinode_control_plane.services.answer_size import bytes_in_answer
from multinode_control_plane.services.context import Context
from multinode_control_plane.services.paging import position_of
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.messages import LogLine

POLL_S = 1.0
"""How often a waiting request checks for new lines: lines are not changes of an invocation, so nothing wakes it."""
LINES_AT_ONCE = 1000
MAX_READS = 20
"""How many reads one request makes; `since_ms` may drop every line that they find."""
MAX_BYTES = 4_000_000
"""What the lines of one answer may take; Lambda returns at most 6 MB."""
LINE_OVERHEAD = 160
"""Bytes of a line beside its message."""


@dataclass(frozen=True, slots=True)
class ExecutionLogsQuery:
    max_lines: int
    offset: str | None


@dataclass(frozen=True, slots=True)
class LogsQuery:
    """`tail`: this many lines from the end, instead of those after `offset`. `since_ms`: drop older lines."""

    max_lines: int
    offset: str | None
    tail: int | None
    since_ms: int
    execution_id: str | None
    wait_s: float


@dataclass(frozen=True, slots=True)
class InvocationLogsPage:
    """`next_offset` continues after these lines; `complete`: the invocation is terminated and there are no more."""

    lines: Sequence[LogLine]
    next_offset: str
    complete: bool


@dataclass(frozen=True, slots=True)
class _Position:
    execution_id: str | None = None
    offset: str | None = None


def read_execution(logs: Logs, execution: Execution, query: ExecutionLogsQuery) -> tuple[Sequence[str], str | None]:
    """Return the next lines of an execution and the next offset, None once it has ended and all lines were read.

    Raises Refused(OFFSET_IS_INVALID).
    """
    listing = ("execution logs", execution.execution_id)
    start = None if query.offset is None else position_of(listing, query.offset, parts=1)[0]
    page = _read(logs, execution, limit=query.max_lines, offset=start, budget=MAX_BYTES)
    done = page.at_end and not execution.open
    position = page.next_offset or start
    return [line["message"] for line in page.lines], None if done else offsets.pack(listing, (position,))


def read_invocation(
    context: Context, logs: Logs, waiter: Waiter, invocation_id: str, query: LogsQuery
) -> InvocationLogsPage:
    """Return the lines that match `query`; with `wait_s`, wait for the first one if there are none yet.

    Raises Refused: INVOCATION_, EXECUTION_DOES_NOT_EXIST, OFFSET_IS_INVALID.
    """
    reader = _LogReader(context, logs, invocation_id, query)
    if query.wait_s == 0:
        reader.has_news()
    for _ in range(math.ceil(query.wait_s / POLL_S)):
        waiter.wait(invocation_id, reader.has_news, min(POLL_S, query.wait_s))
        if reader.lines or reader.complete:
            break
    return InvocationLogsPage(reader.lines, reader.next_offset, reader.complete)


class _LogReader:
    """One request's reading, repeated from the same position until there is something to answer."""

    def __init__(self, context: Context, logs: Logs, invocation_id: str, query: LogsQuery) -> None:
        self._context = context
        self._logs = logs
        self._invocation_id = invocation_id
        self._query = query
        self._listing = ("logs", invocation_id, query.execution_id)
        self._start = _Position()
        if query.offset is not None:
            self._start = _Position(*position_of(self._listing, query.offset, parts=2))
        self.lines: list[LogLine] = []
        self.complete = False
        self.next_offset = ""

    def has_news(self) -> bool:
        """Read, and return True if there are lines, or never will be any more."""
        invocation = commit.load(self._context, self._invocation_id).record
        executions = self._executions(invocation)
        read = self._read_on if self._query.tail is None else self._read_tail
        self.lines, position, all_read = read(executions)
        ended = invocation.terminated if self._query.execution_id is None else not executions[0].open
        self.complete = all_read and ended
        self.next_offset = offsets.pack(self._listing, (position.execution_id, position.offset))
        return bool(self.lines) or self.complete

    def _executions(self, invocation: Invocation) -> Sequence[Execution]:
        if self._query.execution_id is None:
            return invocation.executions
        execution = invocation.execution(self._query.execution_id)
        if execution is None:
            raise Refused(ErrorCode.EXECUTION_DOES_NOT_EXIST)
        return [execution]

    def _read_on(self, executions: Sequence[Execution]) -> tuple[list[LogLine], _Position, bool]:
        """Return the lines after the start, the position after them, and True if nothing is left to read."""
        lines: list[LogLine] = []
        position, budget, reads = self._start, MAX_BYTES, 0
        for execution in _from(executions, position):
            if position.execution_id != execution.execution_id:
                position = _Position(execution.execution_id)
            at_end = False
            while not at_end:
                limit = min(self._query.max_lines - len(lines), LINES_AT_ONCE)
                if limit == 0 or reads == MAX_READS:
                    return lines, position, False
                page = _read(self._logs, execution, limit=limit, offset=position.offset, budget=budget)
                reads += 1
                stuck = not page.lines and page.next_offset in (None, position.offset)
                position = _Position(execution.execution_id, page.next_offset or position.offset)
                wanted = self._wanted(page.lines)
                lines += wanted
                budget -= sum(_size(line) for line in wanted)
                at_end = page.at_end
                if stuck and not at_end:
                    return lines, position, False
            if execution.open:
                break
        return lines, position, True

    def _read_tail(self, executions: Sequence[Execution]) -> tuple[list[LogLine], _Position, bool]:
        """Return the last lines, the position after them, and True if nothing is left to read after it."""
        most = self._query.tail or 0
        lines: list[LogLine] = []
        position, at_end = self._start, True
        for execution in reversed(executions):
            page = _valid(self._logs, execution, limit=max(1, most - len(lines)), offset=None, tail=True)
            if position.execution_id is None:
                position, at_end = _Position(execution.execution_id, page.next_offset), page.at_end
            lines = [*self._wanted(page.lines), *lines]
            if len(lines) >= most:
                break
        return _last_fitting(lines, most), position, at_end

    def _wanted(self, lines: Sequence[LogLine]) -> list[LogLine]:
        return [line for line in lines if line["timestamp_ms"] >= self._query.since_ms]


def _from(executions: Sequence[Execution], position: _Position) -> Sequence[Execution]:
    if position.execution_id is None:
        return executions
    for index, execution in enumerate(executions):
        if execution.execution_id == position.execution_id:
            return executions[index:]
    raise Refused(ErrorCode.OFFSET_IS_INVALID)


def _read(logs: Logs, execution: Execution, *, limit: int, offset: str | None, budget: int) -> LogsPage:
    """Return as many of the next lines as fit into `budget` bytes; with a whole budget at least one, cut if necessary.

    If none fits, the page is empty and keeps the offset.
    """
    page = _valid(logs, execution, limit=limit, offset=offset)
    left, fitting = budget, 0
    for line in page.lines:
        left -= _size(line)
        if left < 0:
            break
        fitting += 1
    if fitting == len(page.lines):
        return page
    if fitting == 0 and budget < MAX_BYTES:
        return LogsPage((), offset, at_end=False)
    page = _valid(logs, execution, limit=max(1, fitting), offset=offset)
    return LogsPage([_cut(line) for line in page.lines], page.next_offset, page.at_end)


def _valid(logs: Logs, execution: Execution, *, limit: int, offset: str | None, tail: bool = False) -> LogsPage:
    try:
        return logs.read(execution, limit=limit, offset=offset, tail=tail)
    except ValueError as error:
        raise Refused(ErrorCode.OFFSET_IS_INVALID) from error


def _last_fitting(lines: Sequence[LogLine], most: int) -> list[LogLine]:
    """Return the last lines: at most `most`, and as many as fit into an answer."""
    budget = MAX_BYTES
    kept: list[LogLine] = []
    for line in reversed(lines):
        short = _cut(line)
        budget -= _size(short)
        if budget < 0 or len(kept) == most:
            break
        kept.append(short)
    return kept[::-1]


def _cut(line: LogLine) -> LogLine:
    """Return the line, cut if it alone does not fit into an answer, where a character takes at most seven bytes."""
    most = MAX_BYTES // 8
    return line if len(line["message"]) <= most else {**line, "message": line["message"][: most - 1] + "…"}


def _size(line: LogLine) -> int:
    return bytes_in_answer(line["message"]) + LINE_OVERHEAD
