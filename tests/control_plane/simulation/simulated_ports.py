"""The ports under the scheduler: every call may be preempted, fail, succeed and then fail, or never come back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.keys import Index, Key, Prefix
from multinode_control_plane.core.records import WorkerDetails
from multinode_control_plane.ports import (
    Announcement,
    Change,
    Conflict,
    ContainerState,
    LaunchRefused,
    LaunchRequest,
    Stored,
    StoreUnavailable,
    Write,
)
from tests.control_plane.simulation.scheduler import Fault, Scheduler
from tests.support.memory_store import MemoryStore


class SimulatedClock:
    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def now(self) -> datetime:
        return self.scheduler.time

    def sleep(self, seconds: float) -> None:
        self.scheduler.pause(seconds)


class SimulatedStore:
    """The memory store; an index may show what was true up to `longest_lag` ago, and a commit's answer may be lost.

    A deletion lists what it removes, after it has waited for the longest request: an index that is further behind than
    that would hide records from it. Where requests have no such bound, the local deployment, indexes do not lag.
    """

    def __init__(self, scheduler: Scheduler, on_commit: Callable[[Sequence[Change]], None]) -> None:
        self.scheduler = scheduler
        self.base = MemoryStore()
        self.on_commit = on_commit
        self.longest_lag = timedelta(0)
        self._past: list[tuple[datetime, dict[tuple[str, str], Any]]] = []
        """Until when it was so, and all items as they then were."""

    def get(self, key: Key[Any]) -> Stored[Any] | None:
        return cast(Stored[Any] | None, self._call("get", lambda: self.base.get(key)))

    def query(self, prefix: Prefix[Any], **options: Any) -> Sequence[Stored[Any]]:
        return cast(Sequence[Stored[Any]], self._call("query", lambda: self.base.query(prefix, **options)))

    def list(self, index: Index, value: str, **options: Any) -> Any:
        def lagging() -> object:
            view = MemoryStore()
            past = [items for until, items in self._past if self.scheduler.time - until < self.longest_lag]
            lag = self.scheduler.plan.chance(0.3) and bool(past)
            view.items = self.scheduler.rng.choice(past) if lag else self.base.items
            self.scheduler.seen["index lagged"] += lag
            return view.list(index, value, **options)

        return self._call("list", lagging)

    def commit(self, writes: Sequence[Write]) -> None:
        self._call("commit", lambda: self._commit(writes))

    def _commit(self, writes: Sequence[Write]) -> None:
        before = dict(self.base.items)
        try:
            self.base.commit(writes)
        except Conflict:
            self.scheduler.seen["conflict"] += 1
            raise
        self._past = [*self._past[-8:], (self.scheduler.time, before)]
        changes, self.base.changes = self.base.changes, []
        self.on_commit(changes)

    def _call(self, name: str, action: Callable[[], object]) -> object:
        try:
            return self.scheduler.port_call(f"store.{name}", action)
        except Fault as fault:
            raise StoreUnavailable(str(fault)) from fault


@dataclass
class Task:
    """One container. `told_at`: it has had SIGTERM; `exit`: it is gone."""

    worker: WorkerDetails
    request: LaunchRequest
    told_at: datetime | None = None
    grace_s: int = 0
    exit: ContainerExit | None = None
    ended_at: datetime | None = None


class SimulatedCompute:
    """Containers whose worker is a greenlet; tokens are honoured, answers get lost, launches are refused."""

    def __init__(self, scheduler: Scheduler, on_launch: Callable[[Task], None]) -> None:
        self.scheduler = scheduler
        self.tasks: dict[str, Task] = {}
        self.on_launch = on_launch
        self.on_exit: Callable[[Task], None] = lambda task: None

    def launch(self, request: LaunchRequest) -> WorkerDetails:
        return cast(WorkerDetails, self.scheduler.port_call("compute.launch", lambda: self._launch(request)))

    def _launch(self, request: LaunchRequest) -> WorkerDetails:
        if request.token not in self.tasks:
            if self.scheduler.plan.chance(0.1):
                self.scheduler.seen["launch refused"] += 1
                raise LaunchRefused("no capacity")
            worker = WorkerDetails("TEST", request.token, "log")
            self.tasks[request.token] = Task(worker, request)
            self.on_launch(self.tasks[request.token])
        else:
            self.scheduler.seen["launch replayed"] += 1
        return self.tasks[request.token].worker

    def stop(self, worker: WorkerDetails, grace_s: int) -> None:
        self.scheduler.port_call("compute.stop", lambda: self._stop(worker, grace_s))

    def _stop(self, worker: WorkerDetails, grace_s: int) -> None:
        task = self.tasks.get(worker.identifier)
        if task is None or task.exit is not None or task.told_at is not None:
            return
        task.told_at, task.grace_s = self.scheduler.time, grace_s

        def kill_after_grace() -> None:
            self.scheduler.pause(grace_s + 1)
            self.end(task, ContainerExit(ExitKind.STOPPED, "killed after the grace", 137))

        self.scheduler.spawn("killer", kill_after_grace)

    def end(self, task: Task, exit: ContainerExit) -> None:  # noqa: A002
        """Let a container end; its event is the world's to deliver."""
        if task.exit is None:
            task.exit, task.ended_at = exit, self.scheduler.time
            self.on_exit(task)

    def describe(self, workers: Sequence[WorkerDetails]) -> Sequence[ContainerState]:
        identifiers = {worker.identifier for worker in workers}
        return self._states("describe", lambda task: task.worker.identifier in identifiers)

    def find(self, execution_id: str) -> Sequence[ContainerState]:
        return self._states("find", lambda task: task.request.execution.execution_id == execution_id)

    def running(self) -> Sequence[ContainerState]:
        return self._states("running", lambda task: task.exit is None)

    def _states(self, name: str, wanted: Callable[[Task], bool]) -> Sequence[ContainerState]:
        def states() -> object:
            return [
                ContainerState(
                    task.worker,
                    task.request.execution.execution_id,
                    task.exit,
                    task.request.invocation.invocation_id,
                )
                for task in self.tasks.values()
                if wanted(task)
            ]

        return cast(Sequence[ContainerState], self.scheduler.port_call(f"compute.{name}", states))

    def forget_project(self, project_name: str) -> None:
        self.scheduler.port_call("compute.forget_project", lambda: None)


class SimulatedEventPublisher:
    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def publish(self, announcements: Sequence[Announcement]) -> None:
        self.scheduler.port_call("event_publisher.announce", lambda: None)
