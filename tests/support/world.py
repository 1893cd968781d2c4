"""A whole control plane on fakes: real core, services and reactor, with time and events under the test's hand."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from multinode_control_plane.core.codec import decode, encode
from multinode_control_plane.core.external_transitions import ExitKind
from multinode_control_plane.core.keys import gate_key, invocation_key
from multinode_control_plane.core.records import FunctionKey, FunctionSpec, Invocation, ParentRef, Project, Version
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.ports import ABSENT, Conflict, Put
from multinode_control_plane.services import commit, details, executions, invocations, task_events
from multinode_control_plane.services.context import Context, Limits
from multinode_control_plane.services.reactor import Reactor, react
from multinode_control_plane.services.sweep import SweepReport, sweep
from multinode_protocol.function_options import ExecutionSpec, ResourceSpec, RetryPolicy
from multinode_protocol.status import Outcome
from tests.support.fakes import FakeClock, FakeCompute, FakeEventPublisher, FakeIds, FakeLogs
from tests.support.memory_store import MemoryStore

SUCCESS = FinishReport(Outcome.SUCCEEDED, final_output="42")
FAILURE = FinishReport(
    Outcome.FAILED, error_message="ValueError: no", error_type="ValueError", error_bases=("ValueError",)
)


def function_spec(
    name: str = "f",
    *,
    max_concurrency: int = 2,
    max_retries: int = 0,
    timeout_s: int = 600,
    max_queue_s: int | None = None,
    retry: RetryPolicy | None = None,
) -> FunctionSpec:
    return FunctionSpec(
        name,
        None,
        ResourceSpec(0.1, 0.25, max_concurrency),
        ExecutionSpec(
            timeout_s=timeout_s, max_retries=max_retries, max_queue_s=max_queue_s, retry=retry or RetryPolicy()
        ),
    )


@dataclass
class World:
    """One project `p` with version `ver-1` of the given functions; without `specs`, nothing at all."""

    specs: tuple[FunctionSpec, ...] | None = (function_spec(),)
    limits: Limits = Limits(hold_retry_s=0)  # noqa: RUF009 - frozen
    fires_schedules: bool = False
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: FakeClock = field(default_factory=FakeClock)
    ids: FakeIds = field(default_factory=FakeIds)
    compute: FakeCompute = field(default_factory=FakeCompute)
    event_publisher: FakeEventPublisher = field(default_factory=FakeEventPublisher)
    logs: FakeLogs = field(default_factory=FakeLogs)

    def __post_init__(self) -> None:
        self.context = Context(self.store, self.clock, self.ids, self.limits, self.fires_schedules)
        self.reactor = Reactor(
            self.context,
            self.compute,
            self.event_publisher,
            lambda _, e: f"token-of-{e.execution_id}",
            lambda: "http://cp",
        )
        self.version = Version("p", "ver-1", self.clock.now(), "image", self.specs or ())
        if self.specs is not None:
            self.store.commit([Put(Project("p", self.clock.now()), ABSENT), Put(self.version, ABSENT)])

    # --- what clients and workers do ---

    def create(self, function: str = "f", *, parent: str | None = None, invocation_id: str | None = None) -> str:
        """Create an invocation and return its id; the reactor has not seen it yet."""
        ref = None if parent is None else ParentRef(self.get(parent).function_name, parent)
        created = invocations.create(
            self.context, self.version, function, invocation_id=invocation_id, input_text="[[],{}]", parent=ref
        )
        return created.invocation_id

    def create_waiting(self, function: str = "f", *, parent: str | None = None) -> str:
        """Create an invocation that loses the race for a slot and so lines up, although slots may be free."""
        self.store.fail_next("commit", Conflict("another start took the slot"))
        return self.create(function, parent=parent)

    def started(self, function: str = "f", *, parent: str | None = None) -> str:
        """Create an invocation whose code runs."""
        created = self.create(function, parent=parent)
        self.react()
        self.start(created)
        self.react()
        return created

    def start(self, invocation_id: str, nonce: str = "n") -> Invocation:
        return executions.start(self.context, invocation_id, self.execution_id(invocation_id), worker_nonce=nonce)

    def finish(self, invocation_id: str, report: FinishReport = SUCCESS) -> Invocation:
        return executions.finish(self.context, invocation_id, self.execution_id(invocation_id), report)

    def cancel(self, invocation_id: str, cause: str = "cancelled by its user") -> Invocation:
        return invocations.cancel(self.context, invocation_id, cause)

    def container_ends(
        self, invocation_id: str, kind: ExitKind = ExitKind.EXITED, reason: str = "exited", code: int | None = 0
    ) -> None:
        """Let the current container end, and deliver the event."""
        execution = self.get(invocation_id).executions[-1]
        container = self.compute.end(execution.launch_token, kind, reason, code)
        assert container.exit is not None
        task_events.container_ended(
            self.context, invocation_id, execution.execution_id, container.exit, worker=container.worker
        )

    # --- what the control plane does ---

    def react(self) -> None:
        """Let the reactor handle every change, and those that follow from them."""
        while self.store.changes:
            react(self.reactor, self.store.changes.pop(0))

    def sweep(self, *, reconcile: bool = False) -> SweepReport:
        report = sweep(self.context, self.compute, self.logs, reconcile=reconcile)
        self.react()
        return report

    def advance(self, seconds: float) -> datetime:
        return self.clock.advance(seconds)

    # --- what a test looks at ---

    def get(self, invocation_id: str) -> Invocation:
        stored = self.store.get(invocation_key(invocation_id))
        assert stored is not None
        assert decode(encode(stored.record)) == stored.record
        return stored.record

    def execution_id(self, invocation_id: str) -> str:
        return self.get(invocation_id).executions[-1].execution_id

    def input_of(self, invocation_id: str) -> str:
        """Return the input as a reader is given it."""
        found = commit.load(self.context, invocation_id)
        return details.invocation_view(self.context, found).input_text

    def slots(self, function: str = "f") -> dict[str, str]:
        """Return execution id -> invocation id of the gate."""
        stored = self.store.get(gate_key(FunctionKey("p", "ver-1", function)))
        return {} if stored is None else dict(stored.record.slots)

    def token(self, invocation_id: str) -> str:
        return self.get(invocation_id).executions[-1].launch_token

    def after(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)
