"""In-memory twins of the ports: deterministic, and held to the same contract suites as the real adapters."""

import base64
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar, cast

from multinode_control_plane.core.codec import decode, encode
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.keys import Index, Key, Prefix, index_entries, key_of
from multinode_control_plane.core.records import Execution, Invocation, Record, WorkerDetails
from multinode_control_plane.ports import (
    ABSENT,
    Absent,
    Announcement,
    Change,
    Check,
    Conflict,
    ContainerState,
    Delete,
    LaunchRefused,
    LaunchRequest,
    LogsPage,
    Page,
    Put,
    Stored,
    Write,
)
from multinode_protocol.messages import LogLine

R = TypeVar("R", bound=Record)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
Item = tuple[int, Record]


@dataclass
class Hook:
    call: str
    action: Callable[[Any], object]
    when: Callable[[Any], bool]
    times: float
    after: bool


class Hooked:
    """A fake around whose calls a test has things happen. A hook is given the call's first argument; what it raises
    reaches the caller. It is used up before it runs, so that it may make the same call itself, unhooked."""

    _hooks: list[Hook]

    def __new__(cls, *_arguments: object, **_options: object) -> Self:
        fake = super().__new__(cls)
        fake._hooks = []
        return fake

    def before(
        self,
        call: str,
        action: Callable[[Any], object],
        *,
        when: Callable[[Any], bool] = lambda _: True,
        times: float = 1,
    ) -> None:
        """Do this before the next `times` calls `when` that holds."""
        self._hooks.append(Hook(call, action, when, times, after=False))

    def after(
        self,
        call: str,
        action: Callable[[Any], object],
        *,
        when: Callable[[Any], bool] = lambda _: True,
        times: float = 1,
    ) -> None:
        """Do this when the next `times` calls `when` that holds have been carried out."""
        self._hooks.append(Hook(call, action, when, times, after=True))

    def lose_answer(self, call: str, error: Exception) -> None:
        """Let the next call raise this although it has been carried out."""

        def lose(_argument: Any) -> None:
            raise error

        self.after(call, lose)

    def fail_next(
        self,
        call: str,
        error: Exception,
        *,
        when: Callable[[Any], bool] = lambda _: True,
        times: float = 1,
    ) -> None:
        """Let the next `times` calls `when` that holds raise this, without effect."""

        def fail(_argument: Any) -> None:
            raise error

        self.before(call, fail, when=when, times=times)

    def hooks_off(self) -> None:
        self._hooks.clear()

    def _run_hooks(self, call: str, argument: Any, *, after: bool = False) -> None:
        for hook in self._hooks:
            if (hook.call, hook.after) == (call, after) and hook.times > 0 and hook.when(argument):
                hook.times -= 1
                hook.action(argument)
                return


class MemoryStore(Hooked):
    """The Store in a dictionary. `changes` is the feed: whoever consumes it pops from the left."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.changes: list[Change] = []
        self.commits = 0
        self.stale: dict[Index, Sequence[Stored[Record]]] = {}
        """What an index that lags behind lists instead of what is there."""
        self._lock = threading.RLock()

    def get(self, key: Key[R]) -> Stored[R] | None:
        self._run_hooks("get", key)
        found = self._get(key)
        self._run_hooks("get", key, after=True)
        return found

    def _get(self, key: Key[R]) -> Stored[R] | None:
        with self._lock:
            item = self.items.get((key.partition, key.sort))
            return None if item is None else Stored(cast(R, item[1]), item[0])

    def query(
        self, prefix: Prefix[R], *, limit: int | None = None, after: str | None = None, newest_first: bool = False
    ) -> Sequence[Stored[R]]:
        with self._lock:
            sorts = sorted(
                (
                    sort
                    for partition, sort in self.items
                    if partition == prefix.partition and sort.startswith(prefix.sort_prefix)
                ),
                reverse=newest_first,
            )
            if after is not None:
                sorts = [sort for sort in sorts if (sort < after if newest_first else sort > after)]
            found = [self.items[prefix.partition, sort] for sort in sorts[:limit]]
        self._run_hooks("query", prefix, after=True)
        return [Stored(cast(R, record), version) for version, record in found]

    def list(
        self,
        index: Index,
        value: str,
        *,
        limit: int,
        offset: str | None = None,
        newest_first: bool = False,
        before: str | None = None,
    ) -> Page[Record]:
        if index in self.stale:
            return Page(self.stale[index], None)
        past = None if offset is None else _read_offset(offset, index, value)
        with self._lock:
            rows: list[tuple[str, Stored[Record]]] = []
            for version, record in self.items.values():
                rows += [
                    (entry.sort, Stored(record, version))
                    for entry in index_entries(record)
                    if entry.index is index and entry.value == value
                ]
        rows.sort(key=lambda row: row[0], reverse=newest_first)
        if before is not None:
            rows = [row for row in rows if row[0] < before]
        if past is not None:
            rows = [row for row in rows if (row[0] < past if newest_first else row[0] > past)]
        page = rows[:limit]
        more = len(rows) > limit
        return Page([stored for _, stored in page], _offset(index, value, page[-1][0]) if more else None)

    def commit(self, writes: Sequence[Write]) -> None:
        self._run_hooks("commit", writes)
        self._commit(writes)
        self._run_hooks("commit", writes, after=True)

    def _commit(self, writes: Sequence[Write]) -> None:
        with self._lock:
            keys = [_key(write) for write in writes]
            assert len(set(keys)) == len(keys), "each key once"
            assert 1 <= len(keys) <= 100
            for write, key in zip(writes, keys, strict=True):
                self._check(key, write.expect)
            changes = [
                change
                for write, key in zip(writes, keys, strict=True)
                if (change := self._apply(write, key)) is not None
            ]
            self.changes += changes
            self.commits += 1

    def _check(self, key: tuple[str, str], expect: int | Absent) -> None:
        found: int | Absent = self.items[key][0] if key in self.items else ABSENT
        if found != expect:
            raise Conflict(f"{key}: version {found}, expected {expect}")

    def _apply(self, write: Write, key: tuple[str, str]) -> Change | None:
        old = self.items.get(key)
        if isinstance(write, Check):
            return None
        if isinstance(write, Delete):
            del self.items[key]
            new_record = None
        else:
            new_record = write.record
            self.items[key] = (1 if old is None else old[0] + 1, decode(encode(write.record)))
        old_record = None if old is None else old[1]
        if isinstance(old_record, Invocation) or isinstance(new_record, Invocation):
            return Change(cast(Invocation | None, old_record), cast(Invocation | None, new_record))
        return None

    def records(self, kind: type[R]) -> Sequence[R]:
        """Return every record of a type, for assertions."""
        return [record for _, record in self.items.values() if isinstance(record, kind)]


def _key(write: Write) -> tuple[str, str]:
    key = key_of(write.record) if isinstance(write, Put) else write.key
    return (key.partition, key.sort)


def _offset(index: Index, value: str, sort: str) -> str:
    return base64.urlsafe_b64encode(f"{index}\n{value}\n{sort}".encode()).decode()


def _read_offset(offset: str, index: Index, value: str) -> str:
    try:
        found_index, found_value, sort = base64.urlsafe_b64decode(offset.encode()).decode().split("\n")
    except ValueError as error:
        raise ValueError(f"no offset of a listing: {offset!r}") from error
    if (found_index, found_value) != (index, value):
        raise ValueError("the offset belongs to another listing")
    return sort


@dataclass
class FakeClock:
    """The one fake clock: time passes only when told to, or by `sleep`."""

    time: datetime = EPOCH
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        """Return the seconds since EPOCH."""
        return (self.time - EPOCH).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> datetime:
        self.time += timedelta(seconds=seconds)
        return self.time


@dataclass
class FakeIds:
    """Ids of each kind count up: the first version is ``ver-0…01``. Jitter is always `fixed_jitter`."""

    counts: dict[str, int] = field(default_factory=dict)
    fixed_jitter: float = 0.5
    planned: list[str] = field(default_factory=list)
    """Ids that are drawn first."""

    def new(self, prefix: str) -> str:
        if self.planned:
            return self.planned.pop(0)
        self.counts[prefix] = self.counts.get(prefix, 0) + 1
        return f"{prefix}-{self.counts[prefix]:032x}"

    def jitter(self) -> float:
        return self.fixed_jitter


@dataclass
class Container:
    """One container of the fake backend."""

    worker: WorkerDetails
    request: LaunchRequest
    stop_grace_s: int | None = None
    exit: ContainerExit | None = None


class FakeCompute(Hooked):
    """Containers that run until told otherwise. `refusals` are raised by the next launches, one each."""

    visible = True
    """False: the platform does not show yet what it has started."""

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        self.refusals: list[LaunchRefused] = []
        self.stops: list[str] = []
        self.strangers: list[ContainerState] = []
        """Containers that the platform shows as ours, and that nobody here launched."""
        self.forgotten: list[str] = []

    def launch(self, request: LaunchRequest) -> WorkerDetails:
        self._run_hooks("launch", request)
        worker = self._launch(request)
        self._run_hooks("launch", request, after=True)
        return worker

    def _launch(self, request: LaunchRequest) -> WorkerDetails:
        if request.token not in self.containers:
            if self.refusals:
                raise self.refusals.pop(0)
            worker = WorkerDetails("TEST", request.token, f"{request.token}.jsonl")
            self.containers[request.token] = Container(worker, request)
        return self.containers[request.token].worker

    def stop(self, worker: WorkerDetails, grace_s: int) -> None:
        self.stops.append(worker.identifier)
        container = self.containers.get(worker.identifier)
        if container is not None and container.exit is None:
            container.stop_grace_s = grace_s

    def describe(self, workers: Sequence[WorkerDetails]) -> Sequence[ContainerState]:
        known = [self.containers[w.identifier] for w in workers if w.identifier in self.containers]
        return [_state(container) for container in known] if self.visible else []

    def find(self, execution_id: str) -> Sequence[ContainerState]:
        return [_state(c) for c in self.containers.values() if c.request.execution.execution_id == execution_id]

    def running(self) -> Sequence[ContainerState]:
        own = [_state(container) for container in self.containers.values() if container.exit is None]
        return [*(own if self.visible else []), *self.strangers]

    def forget_project(self, project_name: str) -> None:
        self.forgotten.append(project_name)

    def end(
        self, token: str, kind: ExitKind = ExitKind.EXITED, reason: str = "exited", code: int | None = 0
    ) -> Container:
        """Let a container end, and return it: the caller delivers (or loses) the event."""
        container = self.containers[token]
        container.exit = ContainerExit(kind, reason, code)
        return container


def _state(container: Container) -> ContainerState:
    request = container.request
    return ContainerState(
        container.worker, request.execution.execution_id, container.exit, request.invocation.invocation_id
    )


@dataclass
class FakeAnnouncer(Hooked):
    announced: list[Announcement] = field(default_factory=list)

    def publish(self, announcements: Sequence[Announcement]) -> None:
        self._run_hooks("publish", announcements)
        self.announced += announcements


@dataclass
class FakeLogs:
    """Lines by execution id; the offset is the number of lines read."""

    lines: dict[str, list[LogLine]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    settling: set[str] = field(default_factory=set)
    """Executions whose last lines may still come in."""
    empty_pages: int = 0
    """So many pages come without a line first."""

    def write(self, execution: Execution, message: str, *, timestamp_ms: int = 0, stream: str = "stdout") -> None:
        line = LogLine(
            timestamp_ms=timestamp_ms,
            execution_id=execution.execution_id,
            attempt=execution.attempt,
            stream=stream,
            message=message,
        )
        self.lines.setdefault(execution.execution_id, []).append(line)

    def read(self, execution: Execution, *, limit: int, offset: str | None = None, tail: bool = False) -> LogsPage:
        lines = self.lines.get(execution.execution_id, [])
        if self.empty_pages > 0:
            self.empty_pages -= 1
            return LogsPage((), f"empty{self.empty_pages}", at_end=False)
        if offset is not None and offset.startswith("empty"):
            offset = None
        start = int(offset) if offset is not None else max(0, len(lines) - limit) if tail else 0
        if not 0 <= start <= len(lines):
            raise ValueError(f"no offset of these logs: {offset!r}")
        page = lines[start : start + limit]
        end = start + len(page)
        at_end = end == len(lines) and execution.execution_id not in self.settling
        return LogsPage(page, str(end) if lines else None, at_end)

    def delete(self, execution: Execution) -> None:
        self.deleted.append(execution.execution_id)
        self.lines.pop(execution.execution_id, None)


@dataclass
class FakeKeychain:
    """`keys` are whole API keys, as a client sends them."""

    keys: Sequence[str] = ("mn_00000001_" + "k" * 43,)
    secret: bytes = b"s" * 32

    def key_hashes(self, key_id: str) -> Sequence[str]:
        return [hashlib.sha256(key.encode()).hexdigest() for key in self.keys if key.split("_")[1] == key_id]

    def token_secret(self) -> bytes:
        return self.secret


@dataclass
class FakeWaiter:
    """Does not wait: runs `meanwhile` once, as if the change came from elsewhere, and asks again."""

    meanwhile: Callable[[], None] = lambda: None
    waits: list[float] = field(default_factory=list)

    def wait(self, invocation_id: str, changed: Callable[[], bool], timeout_s: float) -> None:
        if changed():
            return
        self.waits.append(timeout_s)
        self.meanwhile()
        changed()
