"""Records for the contract suite: every field that an adapter could lose is set to something."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from multinode_control_plane.core.records import (
    ChildLink,
    Execution,
    FunctionKey,
    FunctionSpec,
    Gate,
    Invocation,
    LocalBundle,
    Output,
    ParentRef,
    Payload,
    Project,
    QueueEntry,
    QueueName,
    Record,
    ScheduledRun,
    Schedules,
    Version,
    WorkerDetails,
)
from multinode_protocol.function_options import ExecutionSpec, ResourceSpec, RetryPolicy
from multinode_protocol.schedules import Schedule
from multinode_protocol.status import AbortReason, InvocationStatus, Outcome, WorkerStatus

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FUNCTION = FunctionKey("shop", "ver-1", "price")

_RESOURCES = ResourceSpec(virtual_cpus=0.5, memory_gbs=1.5, max_concurrency=10)
_SPEC = ExecutionSpec(
    max_retries=2,
    timeout_s=3600,
    max_queue_s=60,
    grace_s=30,
    retry=RetryPolicy(1.5, 2.0, 300.0, 0.25, ("ValueError", "shop.errors.TooDear")),
)


def project(name: str = "shop", *, deletion_requested_at: datetime | None = None) -> Project:
    return Project(name, NOW, deletion_requested_at)


def invocation(number: int = 1, *, due_at: datetime | None = None, function: FunctionKey = FUNCTION) -> Invocation:
    """Return the `number`-th invocation of `function`, pending, created `number` seconds after NOW."""
    created_at = NOW + timedelta(seconds=number)
    invocation_id = f"inv-{number:04d}"
    return Invocation(
        invocation_id=invocation_id,
        project_name=function.project_name,
        version_id=function.version_id,
        function_name=function.function_name,
        parent=None,
        depth=0,
        resource_spec=_RESOURCES,
        execution_spec=_SPEC,
        input_digest="d1",
        status=InvocationStatus.PENDING,
        status_reason="waiting for a free slot: 10 of 10 running",
        created_at=created_at,
        updated_at=created_at,
        waiting_in=QueueName.QUEUE,
        due_at=due_at,
    )


def schedules(name: str = "shop", *, due_at: datetime) -> Schedules:
    """Return a project's schedules, of which the second function's is due first, at `due_at`."""
    later = ScheduledRun("report", Schedule("0 9 * * MON-FRI", "Europe/London"), due_at + timedelta(days=1))
    return Schedules(name, "ver-1", (later, ScheduledRun("tidy", Schedule(every_s=3600), due_at)))


def queue_entry(position: str, name: QueueName = QueueName.QUEUE) -> QueueEntry:
    return QueueEntry(FUNCTION, name, position, f"inv-of-{position}")


def open_execution() -> Execution:
    """Return an execution that holds a slot."""
    return Execution("exe-9", attempt=1, worker_status=WorkerStatus.PROVISIONING, created_at=NOW, updated_at=NOW)


def busy_invocation() -> Invocation:
    """Return an invocation in whose fields nothing is left at its default."""
    execution = Execution(
        execution_id="exe-1",
        attempt=1,
        worker_status=WorkerStatus.TERMINATED,
        created_at=NOW,
        updated_at=NOW,
        launch_attempt=3,
        launch_after=NOW,
        launched_at=NOW,
        not_before=NOW,
        worker=WorkerDetails("TEST", "exe-1-3", "inv-9999/exe-1.jsonl"),
        worker_nonce="nonce",
        started_at=NOW,
        finished_at=NOW,
        terminated_at=NOW,
        termination_signal_at=NOW,
        stop_reason=AbortReason.TIMED_OUT,
        outcome=Outcome.ABORTED,
        abort_reason=AbortReason.INTERRUPTED,
        final_output="42",
        error="ValueError: no",
        retryable=False,
        infrastructure=True,
    )
    return replace(
        invocation(9999, due_at=NOW + timedelta(microseconds=1)),
        parent=ParentRef("checkout", "inv-parent"),
        depth=3,
        executions=(execution, replace(execution, execution_id="exe-2", worker=None, outcome=None)),
        retry_at=NOW,
        finished_at=NOW,
        cancellation_requested_at=NOW,
        cancellation_cause="asked by the user",
        failed_launches=2,
        last_failure="OutOfMemory",
        has_children=True,
        cascade_pending=True,
        nudges=4,
        input_text="[[1],{}]",
        status=InvocationStatus.CANCELLING,
    )


def one_of_each() -> tuple[Record, ...]:
    """Return a record of every type, awkward texts included."""
    version = Version(
        "shop",
        "ver-1",
        NOW,
        "image@sha256:0",
        (
            FunctionSpec("price", "other@sha256:1", _RESOURCES, _SPEC, "Return the price.", ("x", "y=", "*args")),
            FunctionSpec("plain", None, _RESOURCES, ExecutionSpec(max_retries=0, timeout_s=1)),
            FunctionSpec("report", None, _RESOURCES, _SPEC, schedule=Schedule("0 9 * * MON-FRI", "Europe/London")),
            FunctionSpec("tidy", None, _RESOURCES, _SPEC, schedule=Schedule(every_s=3600)),
        ),
        LocalBundle("/bundles/1/code", "/env/bin/python", "/secrets/shop/1.json"),
        "arn:task-definition:1",
    )
    return (
        project(deletion_requested_at=NOW),
        version,
        busy_invocation(),
        Payload("inv-9999", '[["quote \\" slash / NUL-free é 漢 🚀\\n"],{}]'),
        Output("inv-9999", "exe-1", 12, "", final=True, error_message="E: m", error_type="E", error_traceback="…"),
        ChildLink("inv-parent", "inv-9999"),
        Gate(FUNCTION, {"exe-1": "inv-9999", "exe-2": "inv-0001"}),
        queue_entry("000000000000001#inv-9999", QueueName.BACKOFF),
        schedules(due_at=NOW),
    )
