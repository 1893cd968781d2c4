"""A deployment in simulation: clients, reactor, workers, task events and sweeps, all under one scheduler."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import FunctionSpec, Invocation, ParentRef, Project, Version
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.ports import ABSENT, Change, Put, StoreUnavailable
from multinode_control_plane.services import executions, invocations, projects, task_events
from multinode_control_plane.services.context import Context, Limits
from multinode_control_plane.services.reactor import Reactor, react
from multinode_control_plane.services.sweep import sweep
from multinode_protocol.function_options import ExecutionSpec, ResourceSpec, RetryPolicy
from multinode_protocol.status import AbortReason, InvocationStatus, Outcome
from tests.control_plane.simulation.history import check_change, check_end, check_slots, text_of
from tests.control_plane.simulation.scheduler import Fault, Scheduler
from tests.control_plane.simulation.simulated_ports import (
    SimulatedClock,
    SimulatedCompute,
    SimulatedEventPublisher,
    SimulatedStore,
    Task,
)
from tests.support.fakes import FakeIds, FakeLogs

LONGEST_REQUEST_S = 30.0
FEED_TRIES = 3
"""After so many failures a change goes to the dead letters: the sweep must make up for it."""


class SimulatedWorld:
    """One project with one function; what each client, worker and event does is drawn from the seed."""

    def __init__(self, seed: int) -> None:
        self.scheduler = scheduler = Scheduler(seed)
        rng = scheduler.rng
        self.max_concurrency = rng.choice((1, 2, 5))
        retry = RetryPolicy(initial_delay_s=rng.choice((0.0, 5.0, 90.0)))
        spec = ExecutionSpec(
            max_retries=rng.choice((0, 1, 3)),
            timeout_s=rng.choice((30, 300)),
            max_queue_s=rng.choice((None, None, 120)),
            grace_s=20,
            retry=retry,
        )
        function = FunctionSpec("f", None, ResourceSpec(0.1, 0.25, self.max_concurrency), spec)
        self.store = SimulatedStore(scheduler, self._committed)
        self.compute = SimulatedCompute(scheduler, self._launched)
        self.compute.on_exit = self._exited
        limits = Limits(
            max_refused_launches=rng.choice((3, 60)),
            max_lost_containers=rng.choice((3, 8)),
            hold_retry_s=rng.choice((0.0, 20.0)),
            longest_request_s=rng.choice((None, LONGEST_REQUEST_S)),
        )
        self.store.longest_lag = timedelta(seconds=limits.longest_request_s or 0)
        self.context = Context(self.store, SimulatedClock(scheduler), FakeIds(), limits)
        self.reactor = Reactor(
            self.context,
            self.compute,
            SimulatedEventPublisher(scheduler),
            lambda _, e: e.execution_id,
            lambda: "http://cp",
        )
        self.version = Version("p", "ver-1", scheduler.time, "image", (function,))
        self.feed: dict[str, list[Change]] = defaultdict(list)
        self.consuming: set[str] = set()
        self.created: list[str] = []
        self.successes: dict[str, str] = {}
        self.starts: dict[str, list[str]] = defaultdict(list)
        self.code_running: dict[str, str] = {}
        self.zombies: set[str] = set()
        self.healed_at = scheduler.time
        self.store.base.commit([Put(Project("p", scheduler.time), ABSENT), Put(self.version, ABSENT)])

    # --- running it ---

    def run(self) -> None:
        """Live through an hour with faults, then heal, and demand that everything has come to its end."""
        scheduler = self.scheduler
        for number in range(scheduler.rng.randint(1, 8)):
            scheduler.spawn("client", lambda number=number: self._client(number))  # type: ignore[misc]
        scheduler.spawn("schedule", self._schedule)
        if scheduler.rng.random() < 0.2:
            scheduler.spawn("undeploy", self._undeploy)
        scheduler.run(scheduler.time + timedelta(minutes=20))
        scheduler.plan.healed = True
        self.healed_at = scheduler.time
        scheduler.run(scheduler.time + timedelta(minutes=4))
        self._check_settled()
        # Longest legal life from here: attempts of 300 s with grace and backoffs, one after the other per slot.
        for _ in range(9 * 6):
            scheduler.run(scheduler.time + timedelta(minutes=10))
            if self._at_rest():
                break
        if all(project.deletion_requested_at is not None for project in self.store.base.records(Project)):
            scheduler.seen["undeployed"] += 1
            assert self.store.base.items == {}, "undeploy left something behind"
        else:
            reader = replace(self.context, store=self.store.base)
            check_end(reader, self.store.base, self.created, self.successes, self.healed_at)
        assert all(task.exit is not None for task in self.compute.tasks.values()), "a container was left running"
        assert not self.feed

    def _check_settled(self) -> None:
        """L: an execution whose container has gone is settled within two sweeps, events or not."""
        long_gone = {
            task.request.execution.execution_id
            for task in self.compute.tasks.values()
            if task.exit is not None and task.ended_at is not None
            if self.scheduler.time - task.ended_at > timedelta(minutes=3)
        }
        for invocation in self.store.base.records(Invocation):
            current = invocation.open_execution
            assert current is None or current.execution_id not in long_gone, f"not settled: {invocation}"

    def _at_rest(self) -> bool:
        base = self.store.base
        over = all(i.terminated and i.due_at is None for i in base.records(Invocation))
        over = over and all(project.deletion_requested_at is None for project in base.records(Project))
        return over and not self.feed and all(task.exit is not None for task in self.compute.tasks.values())

    # --- the change feed ---

    def _committed(self, changes: Sequence[Change]) -> None:
        try:
            check_slots(self.store.base, self.max_concurrency)
            for change in changes:
                check_change(change)
        except AssertionError as violation:
            # Told to the scheduler itself: handlers go on after an exception of one effect or record.
            self.scheduler.failures.append(violation)
            raise
        for change in changes:
            subject = change.new or change.old
            assert subject is not None
            self.feed[subject.invocation_id].append(change)
            if subject.invocation_id not in self.consuming:
                self.consuming.add(subject.invocation_id)
                self.scheduler.spawn("feed", lambda i=subject.invocation_id: self._consume(i))  # type: ignore[misc]

    def _consume(self, invocation_id: str) -> None:
        """Bring each change of an invocation to the reactor, in order, at least once, and give up after some tries."""
        queue = self.feed[invocation_id]
        while queue:
            for _ in range(FEED_TRIES):
                if self._react(queue[0]) and not self.scheduler.plan.chance(0.02):
                    break
                self.scheduler.seen["change delivered again"] += 1
                self.scheduler.pause(self.scheduler.rng.random() * 5)
            else:
                self.scheduler.seen["dead letter"] += 1
            queue.pop(0)
        del self.feed[invocation_id]
        self.consuming.discard(invocation_id)

    def _react(self, change: Change) -> bool:
        """Return True when the reactor handled a change; its death is the feed's to notice."""
        return self._survives(lambda: react(self.reactor, change))

    def _survives(self, action: Callable[[], object]) -> bool:
        from tests.control_plane.simulation.scheduler import Died

        try:
            action()
        except (Died, Fault, StoreUnavailable):
            return False
        except Refused as refused:
            assert refused.status == 503, refused
            return False
        return True

    # --- clients ---

    def _client(self, number: int) -> None:
        rng = self.scheduler.rng
        for count in range(rng.randint(1, 4)):
            self.scheduler.pause(rng.random() * 120)
            invocation_id = f"inv-{number}-{count}"
            if self._create(invocation_id, None) and rng.random() < 0.25:
                self.scheduler.spawn("canceller", lambda i=invocation_id: self._cancel(i))  # type: ignore[misc]

    def _undeploy(self) -> None:
        self.scheduler.pause(self.scheduler.rng.random() * 600)
        while True:
            try:
                projects.request_deletion(self.context, "p")
                return
            except Refused as refused:
                if refused.status == 404:
                    return
            except (StoreUnavailable, Fault):
                self.scheduler.seen["deletion request repeated"] += 1
            self.scheduler.pause(5)

    def _create(self, invocation_id: str, parent: str | None) -> bool:
        """Start an invocation the way the SDK does: the same request again until it is answered."""
        ref, text = None if parent is None else ParentRef("f", parent), text_of(invocation_id)
        new = partial(invocations.create, self.context, self.version, "f", input_text=text, parent=ref)
        for _ in range(20):
            try:
                new(invocation_id=invocation_id)
            except Refused as refused:
                if refused.status != 503:
                    self.scheduler.seen[f"create refused: {refused.code}"] += 1
                    return False
            except (StoreUnavailable, Fault):
                self.scheduler.seen["create repeated"] += 1
            else:
                self.created.append(invocation_id)
                return True
            self.scheduler.pause(1)
        return False

    def _cancel(self, invocation_id: str) -> None:
        self.scheduler.pause(self.scheduler.rng.random() * 200)
        try:
            invocations.cancel(self.context, invocation_id, "asked")
        except (Refused, StoreUnavailable):
            self.scheduler.seen["cancel refused or lost"] += 1

    # --- workers ---

    def _launched(self, task: Task) -> None:
        invocation_id = task.request.invocation.invocation_id
        alive = [
            other.request.token
            for other in self.compute.tasks.values()
            if other is not task and other.exit is None and other.request.invocation.invocation_id == invocation_id
        ]
        if alive:
            self.scheduler.failures.append(AssertionError(f"{task.request.token} was launched beside {alive}"))
        self.scheduler.spawn("worker", lambda: self._worker(task))

    def _worker(self, task: Task) -> None:
        rng, request = self.scheduler.rng, task.request
        self.scheduler.pause(rng.random() * 30)
        if self.scheduler.plan.chance(0.05):
            self.scheduler.seen["container died before its start"] += 1
            self.compute.end(task, ContainerExit(ExitKind.START_FAILED, "image pull failed"))
            return
        if request.execution.not_before is not None:
            self.scheduler.pause((request.execution.not_before - self.scheduler.time).total_seconds())
        try:
            code = self._start(task) and self._run_code(task)
        finally:
            self.code_running.pop(request.token, None)
        self.compute.end(task, ContainerExit(ExitKind.EXITED, "exited", 0 if code else 1))

    def _report(self, task: Task, action: Callable[[], Invocation]) -> Invocation | None:
        """Report until answered, as the worker does; None when refused or when the container is gone."""
        while task.exit is None or task.request.token in self.zombies:
            try:
                return action()
            except Refused as refused:
                if refused.status != 503:
                    self.scheduler.seen[f"report refused: {refused.code}"] += 1
                    return None
            except (StoreUnavailable, Fault):
                self.scheduler.seen["report repeated"] += 1
            self.scheduler.pause(1 + self.scheduler.rng.random() * 5)
        return None

    def _start(self, task: Task) -> bool:
        invocation, execution = task.request.invocation, task.request.execution
        doomed = self._is_doomed(invocation.invocation_id)
        started = self._report(
            task,
            lambda: executions.start(
                self.context,
                invocation.invocation_id,
                execution.execution_id,
                worker_nonce=task.request.token,
                worker_identifier=task.worker.identifier,
            ),
        )
        if started is None or task.exit is not None:
            return False
        assert not doomed, f"{invocation.invocation_id} started although its end was durable before"
        self.starts[invocation.invocation_id].append(execution.execution_id)
        assert len(set(self.starts[invocation.invocation_id])) == len(self.starts[invocation.invocation_id])
        others = [token for token, of in self.code_running.items() if of == invocation.invocation_id]
        assert not others, f"two executions of {invocation.invocation_id} run code at once"
        self.code_running[task.request.token] = invocation.invocation_id
        return True

    def _is_doomed(self, invocation_id: str) -> bool:
        """Return True when a cancel, of its own or of an ancestor, or a final status is durable already (S4)."""
        records = {i.invocation_id: i for i in self.store.base.records(Invocation)}
        record = records.get(invocation_id)
        first = True
        while record is not None:
            finished = record.status.finished and (first or record.status is not InvocationStatus.SUCCEEDED)
            if finished or record.cancellation_requested_at is not None:
                return True
            first = False
            record = records.get(record.parent.invocation_id) if record.parent else None
        return False

    def _run_code(self, task: Task) -> bool:
        rng, invocation = self.scheduler.rng, task.request.invocation
        fate = rng.choice(("succeed", "succeed", "fail", "lose", "overrun", "spot", "zombie"))
        deadline = self.scheduler.time + timedelta(seconds=invocation.execution_spec.timeout_s)
        for step in range(rng.randint(1, 5)):
            self.scheduler.pause(rng.random() * 20)
            if task.exit is not None:
                return False
            if task.told_at is not None or self.scheduler.time > deadline:
                break
            if rng.random() < 0.3 and invocation.depth < 2 and len(self.created) < 40:
                self._create(f"{task.request.token}-{step}", invocation.invocation_id)
            if rng.random() < 0.3:
                self._progress(task, step)
        if fate == "lose" and not self.scheduler.plan.healed:
            self.scheduler.seen["container lost"] += 1
            self.compute.end(task, ContainerExit(ExitKind.INTERRUPTED, "host lost"))
            return False
        if fate == "zombie" and not self.scheduler.plan.healed:
            # The platform gives the container up for gone; its worker, cut off, goes on and reports in the end.
            self.scheduler.seen["zombie"] += 1
            self.compute.end(task, ContainerExit(ExitKind.INTERRUPTED, "host lost"))
            self.scheduler.pause(rng.random() * 120)
            self.zombies.add(task.request.token)
        if fate == "overrun":
            self.scheduler.pause(max(0.0, (deadline - self.scheduler.time).total_seconds()) + rng.random() * 60)
        return self._end_code(task, fate, overdue=self.scheduler.time > deadline)

    def _progress(self, task: Task, step: int) -> None:
        invocation, execution = task.request.invocation, task.request.execution
        self._report(
            task,
            lambda: executions.update(
                self.context, invocation.invocation_id, execution.execution_id, text=f"step {step}", sequence=step + 1
            ),
        )

    def _end_code(self, task: Task, fate: str, *, overdue: bool) -> bool:
        invocation, execution = task.request.invocation, task.request.execution
        report = FinishReport(Outcome.SUCCEEDED, final_output=text_of(task.request.token))
        if fate == "fail":
            report = FinishReport(Outcome.FAILED, error_message="ValueError: no")
        elif fate == "spot":
            report = FinishReport(Outcome.ABORTED, abort_reason=AbortReason.INTERRUPTED)
        elif task.told_at is not None or overdue:
            report = FinishReport(Outcome.ABORTED, abort_reason=AbortReason.TIMED_OUT if overdue else None)
        self.code_running.pop(task.request.token, None)
        ended = self._report(
            task,
            lambda: executions.finish(self.context, invocation.invocation_id, execution.execution_id, report),
        )
        if ended is not None and task.request.token in self.zombies:
            self.scheduler.seen["zombie in time"] += 1
        if ended is not None and report.outcome is Outcome.SUCCEEDED:
            self.successes[invocation.invocation_id] = text_of(task.request.token)
        return ended is not None

    # --- the platform's events and the sweep ---

    def _exited(self, task: Task) -> None:
        self.code_running.pop(task.request.token, None)
        if self.scheduler.plan.chance(0.2):
            self.scheduler.seen["event lost"] += 1
            return
        for _ in range(2 if self.scheduler.plan.chance(0.2) else 1):
            self.scheduler.spawn("task event", lambda: self._deliver(task))

    def _deliver(self, task: Task) -> None:
        self.scheduler.pause(self.scheduler.rng.random() * 30)
        request, ended = task.request, task.exit
        assert ended is not None
        for _ in range(3):
            if self._survives(
                lambda: task_events.container_ended(
                    self.context,
                    request.invocation.invocation_id,
                    request.execution.execution_id,
                    ended,
                    worker=task.worker,
                )
            ):
                return
            self.scheduler.pause(5)

    def _schedule(self) -> None:
        while True:
            self.scheduler.pause(60)
            if self.scheduler.plan.chance(0.1):
                self.scheduler.seen["sweep missed"] += 1
                continue
            self.scheduler.spawn("sweep", self._sweep)

    def _sweep(self) -> None:
        self._survives(lambda: sweep(self.context, self.compute, FakeLogs(), reconcile=True))
