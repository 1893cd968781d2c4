"""In-memory twins of the ports: deterministic, and held to the same contract suites as the real adapters."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import Execution, Record, WorkerDetails
from multinode_control_plane.ports import (
    Announcement,
    ContainerState,
    LaunchRefused,
    LaunchRequest,
    LogsPage,
)
from multinode_protocol.messages import LogLine
from tests.support.hooks import Hooked

R = TypeVar("R", bound=Record)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


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
class FakeEventPublisher(Hooked):
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
