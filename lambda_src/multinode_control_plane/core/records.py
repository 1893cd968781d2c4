"""What the control plane stores: immutable records, all times aware datetimes in UTC.

Project 1─* Version 1─* FunctionSpec                 a deploy adds a Version, which never changes
Invocation 1─* Execution                             the state machine: one small record per invocation
Payload, Output                                      inputs, progress and results; the Invocation holds short ones
ChildLink                                            parent -> child, written in the child's own commit
Gate, QueueEntry                                     a function's slots, and which invocations wait for one
Schedules                                            when the newest version's functions run next, if we start them
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from multinode_control_plane.core.times import whole_ms
from multinode_protocol.function_options import ExecutionSpec, ResourceSpec
from multinode_protocol.schedules import Schedule
from multinode_protocol.status import AbortReason, InvocationStatus, Outcome, WorkerStatus


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    function_name: str
    docker_image_override: str | None
    resource_spec: ResourceSpec
    execution_spec: ExecutionSpec
    description: str | None = None
    signature: tuple[str, ...] | None = None
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True)
class LocalBundle:
    """Absolute paths on the server's machine; only the local backend reads them."""

    code_dir: str
    python: str
    env_file: str | None = None


@dataclass(frozen=True, slots=True)
class Project:
    project_name: str
    created_at: datetime
    deletion_requested_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable upload. `version_id` sorts by time, so the newest is the last one in the project's partition."""

    project_name: str
    version_id: str
    created_at: datetime
    default_docker_image: str
    functions: tuple[FunctionSpec, ...]
    local_bundle: LocalBundle | None = None
    task_definition: str | None = None

    def function(self, name: str) -> FunctionSpec | None:
        """Return the spec of the function called `name`, or None."""
        return next((spec for spec in self.functions if spec.function_name == name), None)


@dataclass(frozen=True, slots=True)
class FunctionKey:
    project_name: str
    version_id: str
    function_name: str


@dataclass(frozen=True, slots=True)
class ParentRef:
    function_name: str
    invocation_id: str


@dataclass(frozen=True, slots=True)
class WorkerDetails:
    """One container. `identifier`: the task's ARN, or ``<execution>-<n>``; `logs_identifier`: its log stream."""

    type: str
    identifier: str
    logs_identifier: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One attempt, in its own container. `attempt` counts executions whose code may start, from 1.

    `launch_attempt` counts its launches by the compute backend, from 1; ``<execution_id>-<launch_attempt>`` is the
    launch's idempotency token, stored before the call. `launch_after`: no launch before then (backoff after a refusal).
    `stop_reason` and `termination_signal_at` are set together, once, when a stop is requested.
    `worker_nonce` comes from the worker that started the code. That worker may repeat `start`; any other is refused.
    """

    execution_id: str
    attempt: int
    worker_status: WorkerStatus
    created_at: datetime
    updated_at: datetime
    launch_attempt: int = 1
    launch_after: datetime | None = None
    launched_at: datetime | None = None
    not_before: datetime | None = None
    worker: WorkerDetails | None = None
    worker_nonce: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    terminated_at: datetime | None = None
    termination_signal_at: datetime | None = None
    stop_reason: AbortReason | None = None
    outcome: Outcome | None = None
    abort_reason: AbortReason | None = None
    final_output: str | None = None
    """The final value if it is short; a long one is stored in the Output. See `lifecycle.SHORT_TEXT_BYTES`."""
    error: str | None = None
    """Cut to `lifecycle.SHORT_ERROR_CHARS`; the Output holds the whole text."""
    retryable: bool = True
    infrastructure: bool = False
    """The attempt was lost to the platform, not failed by the user's code."""

    @property
    def open(self) -> bool:
        """True while its container exists or may still be started. It holds its slot exactly that long."""
        return self.worker_status is not WorkerStatus.TERMINATED

    @property
    def container(self) -> WorkerDetails | None:
        """The container as the platform reported it. What a worker says about itself is shown but never acted on."""
        return self.worker if self.worker is not None and self.worker.logs_identifier else None

    @property
    def reported(self) -> bool:
        """True once its worker has reported how the code ended."""
        return self.finished_at is not None

    @property
    def running_code(self) -> bool:
        """True while its user code may be running."""
        return self.open and self.started_at is not None and not self.reported

    @property
    def failed(self) -> bool:
        """True if its code started and then failed, or was lost to the platform."""
        lost = self.outcome is Outcome.ABORTED and self.abort_reason is AbortReason.INTERRUPTED
        return self.started_at is not None and (self.outcome is Outcome.FAILED or lost)

    @property
    def launch_token(self) -> str:
        return f"{self.execution_id}-{self.launch_attempt}"


@dataclass(frozen=True, slots=True)
class Invocation:
    """One request to run a function, and everything that happened to it.

    `waiting_in` says which queue of the function holds its entry (None: it holds a slot, or has ended).
    `due_at`: when the sweep must look at it at the latest; None once nothing more can happen to it.
    `depth` counts its ancestors. `has_children`: it has started at least one subtask. `cascade_pending`: it is being
    cancelled or has ended without success, and not all of its children have been cancelled yet.
    `nudges` counts the sweep's repairs; a change makes the reactor perform everything that the state calls for again.
    `input_text` is a short input, and then `input_digest` is None. A long one is in the Payload, its SHA-256 here.
    """

    invocation_id: str
    project_name: str
    version_id: str
    function_name: str
    parent: ParentRef | None
    depth: int
    resource_spec: ResourceSpec
    execution_spec: ExecutionSpec
    input_digest: str | None
    status: InvocationStatus
    status_reason: str
    created_at: datetime
    updated_at: datetime
    executions: tuple[Execution, ...] = ()
    waiting_in: "QueueName | None" = None
    retry_at: datetime | None = None
    finished_at: datetime | None = None
    cancellation_requested_at: datetime | None = None
    cancellation_cause: str | None = None
    failed_launches: int = 0
    """Launches that the platform refused, and containers that ended before the code started."""
    lost_containers: int = 0
    """Only the containers that ended before the code started."""
    last_failure: str | None = None
    has_children: bool = False
    cascade_pending: bool = False
    nudges: int = 0
    due_at: datetime | None = None
    input_text: str | None = None

    @property
    def function_key(self) -> FunctionKey:
        return FunctionKey(self.project_name, self.version_id, self.function_name)

    @property
    def queue_position(self) -> str:
        """``<creation in ms, 15 digits>#<invocation_id>``: the order in which invocations were created."""
        return f"{whole_ms(self.created_at):015d}#{self.invocation_id}"

    @property
    def current(self) -> Execution | None:
        """The newest execution, the only one whose reports count."""
        return self.executions[-1] if self.executions else None

    @property
    def open_execution(self) -> Execution | None:
        """The execution that holds a slot; at most one does."""
        current = self.current
        return current if current is not None and current.open else None

    @property
    def terminated(self) -> bool:
        """True when it is finished and none of its containers is left."""
        return self.status.finished and self.open_execution is None

    @property
    def attempts(self) -> int:
        """Number of executions whose code has started."""
        return sum(execution.started_at is not None for execution in self.executions)

    @property
    def failed_attempts(self) -> int:
        """Number of executions whose code started and then failed, or was lost to the platform."""
        return sum(execution.failed for execution in self.executions)

    def execution(self, execution_id: str) -> Execution | None:
        return next((e for e in self.executions if e.execution_id == execution_id), None)


@dataclass(frozen=True, slots=True)
class Payload:
    """The input of an invocation, as opaque text, if it is too long for the invocation's own record."""

    invocation_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """What one execution returned: its newest progress or its final value, and the whole text of its error.

    Not stored if all that it returned is a short final value, which the Execution holds.
    `sequence` belongs to the newest progress update. A `final` value is never replaced by progress.
    """

    invocation_id: str
    execution_id: str
    sequence: int
    text: str | None
    final: bool = False
    error_message: str | None = None
    error_type: str | None = None
    error_traceback: str | None = None


@dataclass(frozen=True, slots=True)
class ChildLink:
    parent_invocation_id: str
    child_invocation_id: str


@dataclass(frozen=True, slots=True)
class Gate:
    """The open executions of a function: a set of ids, not a count, so that a leaked slot names its holder."""

    function_key: FunctionKey
    slots: Mapping[str, str] = field(default_factory=dict)
    """execution id -> invocation id"""


class QueueName(StrEnum):
    """The two lists in a function's partition that hold invocations without a slot."""

    QUEUE = "QUEUE"
    """Ready for a slot, oldest first."""
    BACKOFF = "BACKOFF"
    """Waiting for a point in time, when the sweep moves it to QUEUE."""


@dataclass(frozen=True, slots=True)
class QueueEntry:
    function_key: FunctionKey
    name: QueueName
    position: str
    invocation_id: str


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """The next run of a scheduled function; `due_at` is the time that the schedule gives."""

    function_name: str
    schedule: Schedule
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Schedules:
    """The next runs of a project's newest version; only this record decides which functions are started.

    It exists from the first version on, even if empty: of two versions registered at the same time, the newer one wins.
    """

    project_name: str
    version_id: str
    runs: tuple[ScheduledRun, ...] = ()

    @property
    def due_at(self) -> datetime | None:
        """When the first of them is due."""
        return min((run.due_at for run in self.runs), default=None)


Record = Project | Version | Invocation | Payload | Output | ChildLink | Gate | QueueEntry | Schedules


def seconds(value: float) -> timedelta:
    """Return `value` seconds as a timedelta: the core's one way to write a duration."""
    return timedelta(seconds=value)
