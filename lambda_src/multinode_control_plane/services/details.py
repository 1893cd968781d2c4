"""Everything about one invocation or one execution in one answer, and waiting for it to change."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.keys import input_key, invocation_key, output_key, outputs_prefix
from multinode_control_plane.core.lifecycle import waiting_reason
from multinode_control_plane.core.names import is_invocation_id
from multinode_control_plane.core.records import Execution, Invocation, Output, QueueName
from multinode_control_plane.ports import Stored, Waiter
from multinode_control_plane.services import commit, projects
from multinode_control_plane.services.answer_size import bytes_in_answer
from multinode_control_plane.services.context import Context
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.ids import LATEST

MAX_TEXT_BYTES = 5_800_000
"""What the texts of an answer may take. Lambda carries them as JSON within JSON, at most 6 MB with everything else."""
OUTPUTS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class WaitQuery:
    """Wait up to `wait_s` seconds until the revision is not `since`, or (`finished`) until the status is final."""

    wait_s: float
    since: str | None
    finished: bool


@dataclass(frozen=True, slots=True)
class InvocationView:
    """An invocation with everything that its body shows. `outputs` (by execution id) has those that fit one answer."""

    invocation: Invocation
    input_text: str
    outputs: Mapping[str, Output]
    parent: Invocation | None
    revision: str


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """One execution with everything that its body shows. `now` is when it was read."""

    invocation: Invocation
    execution: Execution
    input_text: str
    output: Output | None
    now: datetime


def load_at(
    context: Context, project_name: str, version_reference: str, function_name: str, invocation_id: str
) -> Stored[Invocation]:
    """Return the invocation of this function. One read if the path is right, and more to say what is wrong with it.

    Raises Refused: PROJECT_, VERSION_, FUNCTION_, INVOCATION_DOES_NOT_EXIST, whichever comes first in the path.
    """
    version_id = version_reference
    if version_reference == LATEST:
        version_id = projects.load_version(context, project_name, version_reference).version_id
    if is_invocation_id(invocation_id):
        stored = context.store.get(invocation_key(invocation_id))
        if stored is not None:
            key = stored.record.function_key
            if (key.project_name, key.version_id, key.function_name) == (project_name, version_id, function_name):
                return stored
    projects.load_function(context, project_name, version_id, function_name)
    raise Refused(ErrorCode.INVOCATION_DOES_NOT_EXIST)


# --- one invocation -------------------------------------------------------------------------------------------------


def invocation_view(
    context: Context, stored: Stored[Invocation], waiter: Waiter | None = None, wait: WaitQuery | None = None
) -> InvocationView:
    """Return the invocation: at once, or with `wait` after the change that it waits for or after its time.

    Raises Refused(INVOCATION_DOES_NOT_EXIST) if it is deleted meanwhile.
    """
    if waiter is not None and wait is not None and wait.wait_s > 0:
        stored = _waited(context, stored, waiter, wait)
    return _view(context, stored)


@dataclass
class _WaitCondition:
    """What one request waits for. `since` is the revision that its sender has seen."""

    context: Context
    invocation_id: str
    wait: WaitQuery
    since: str

    def met(self, stored: Stored[Invocation]) -> bool:
        if self.wait.finished:
            return stored.record.status.finished
        # A terminated invocation never changes again.
        return stored.record.terminated or _revision(self.context, stored) != self.since

    def met_now(self) -> bool:
        return self.met(commit.load(self.context, self.invocation_id))


def _waited(context: Context, stored: Stored[Invocation], waiter: Waiter, wait: WaitQuery) -> Stored[Invocation]:
    invocation_id = stored.record.invocation_id
    condition = _WaitCondition(context, invocation_id, wait, wait.since or _revision(context, stored))
    if condition.met(stored):
        return stored
    waiter.wait(invocation_id, condition.met_now, wait.wait_s)
    return commit.load(context, invocation_id)


def _revision(context: Context, stored: Stored[Invocation]) -> str:
    """Return a text that differs after every change of the invocation or its outputs.

    Only the newest execution's output can still change. When another becomes the newest, the invocation itself changes.
    """
    current = stored.record.current
    output = None
    if current is not None and current.started_at is not None:
        output = context.store.get(output_key(stored.record.invocation_id, current.execution_id))
    return _revision_text(stored, output)


def _revision_text(stored: Stored[Invocation], output: Stored[Output] | None) -> str:
    return f"{stored.version}.{0 if output is None else output.version}"


def _view(context: Context, stored: Stored[Invocation]) -> InvocationView:
    invocation = _with_slots(context, stored.record)
    input_text = _input_text(context, invocation)
    outputs = _outputs(context, invocation, MAX_TEXT_BYTES - bytes_in_answer(input_text))
    current = invocation.current
    parent = None if invocation.parent is None else context.store.get(invocation_key(invocation.parent.invocation_id))
    return InvocationView(
        invocation=invocation,
        input_text=input_text,
        outputs={execution_id: output.record for execution_id, output in outputs.items()},
        parent=None if parent is None else parent.record,
        revision=_revision_text(stored, None if current is None else outputs.get(current.execution_id)),
    )


def _with_slots(context: Context, invocation: Invocation) -> Invocation:
    """Return the invocation; while it waits for a slot, its status reason says how many are taken."""
    if invocation.waiting_in is not QueueName.QUEUE:
        return invocation
    gate = commit.read_gate(context.store, invocation.function_key)
    taken = 0 if gate is None else len(gate.record.slots)
    return replace(invocation, status_reason=waiting_reason(invocation, taken))


def _input_text(context: Context, invocation: Invocation) -> str:
    if invocation.input_text is not None:
        return invocation.input_text
    payload = context.store.get(input_key(invocation.invocation_id))
    if payload is None:  # its project is being deleted right now
        raise Refused(ErrorCode.INVOCATION_DOES_NOT_EXIST)
    return payload.record.text


def _outputs(context: Context, invocation: Invocation, budget: int) -> Mapping[str, Stored[Output]]:
    """Return the newest outputs that fit into `budget` bytes. The newest is always included.

    The newest counts twice, because it may be shown as the result too. Short values, which executions hold themselves,
    are always included.
    """
    found = _stored_outputs(context, invocation, budget)
    for execution in invocation.executions:
        output = _with_final(invocation, execution, found.get(execution.execution_id))
        if output is not None:
            found[execution.execution_id] = output
    return found


def _with_final(invocation: Invocation, execution: Execution, stored: Stored[Output] | None) -> Stored[Output] | None:
    """Return an execution's output, with the final value from the execution itself if that holds one."""
    if execution.final_output is None:
        return stored
    if stored is None:
        blank = Output(invocation.invocation_id, execution.execution_id, sequence=0, text=None)
        stored = Stored(blank, version=0)
    return Stored(replace(stored.record, text=execution.final_output, final=True), stored.version)


def _stored_outputs(context: Context, invocation: Invocation, budget: int) -> dict[str, Stored[Output]]:
    found: dict[str, Stored[Output]] = {}
    if not invocation.attempts:
        return found
    after = None
    while True:
        page = context.store.query(
            outputs_prefix(invocation.invocation_id), limit=OUTPUTS_AT_ONCE, after=after, newest_first=True
        )
        for stored in page:
            output = stored.record
            texts = (output.text, output.error_message, output.error_traceback, output.error_type)
            budget -= sum(bytes_in_answer(text) for text in texts if text is not None) * (1 if found else 2)
            if found and budget < 0:
                return found
            found[output.execution_id] = stored
            after = output_key(invocation.invocation_id, output.execution_id).sort
        if len(page) < OUTPUTS_AT_ONCE:
            return found


# --- one execution --------------------------------------------------------------------------------------------------


def execution_view(context: Context, invocation: Invocation, execution_id: str) -> ExecutionView:
    """Return the execution. Raises Refused(EXECUTION_DOES_NOT_EXIST)."""
    execution = invocation.execution(execution_id)
    if execution is None:
        raise Refused(ErrorCode.EXECUTION_DOES_NOT_EXIST)
    stored = context.store.get(output_key(invocation.invocation_id, execution_id))
    output = _with_final(invocation, execution, stored)
    return ExecutionView(
        invocation,
        execution,
        input_text=_input_text(context, invocation),
        output=None if output is None else output.record,
        now=context.clock.now(),
    )
