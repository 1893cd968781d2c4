"""What must hold after every commit (S) and at the end (E, L), checked on the records themselves."""

import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from multinode_control_plane.api import rendering
from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.lifecycle import SHORT_TEXT_BYTES
from multinode_control_plane.core.records import Gate, Invocation
from multinode_control_plane.ports import Change
from multinode_control_plane.services import details
from multinode_control_plane.services.context import Context
from multinode_protocol.messages import InvocationInfo
from multinode_protocol.status import InvocationStatus, Outcome
from tests.support.memory_store import MemoryStore

CASCADE_S = 200
"""Without new faults: what a lost cascade may take, two sweeps and their work."""
LEGAL = {
    InvocationStatus.PENDING: {"RUNNING", "CANCELLED", "FAILED", "TIMED_OUT", "CANCELLING"},
    InvocationStatus.RUNNING: {"CANCELLING", "SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"},
    InvocationStatus.CANCELLING: {"CANCELLED", "SUCCEEDED"},
}


def text_of(name: str) -> str:
    """Return the input or the result of `name`: of some a short one, of the others one that is a record of its own."""
    return name if zlib.crc32(name.encode()) % 2 else name.ljust(SHORT_TEXT_BYTES + 1, ".")


def check_slots(store: MemoryStore, max_concurrency: int) -> None:
    """S1: a gate holds exactly the function's open executions, and never more than it may."""
    open_now = {
        execution.execution_id: invocation.invocation_id
        for invocation in store.records(Invocation)
        if (execution := invocation.open_execution) is not None
    }
    held: dict[str, str] = {}
    for gate in store.records(Gate):
        assert len(gate.slots) <= max_concurrency, f"{len(gate.slots)} slots of {max_concurrency}"
        held |= gate.slots
    assert held == open_now, f"slots {held} are not the open executions {open_now}"


def check_change(change: Change) -> None:
    """S2, S5, S6: only legal moves; what is final stays; attempts stay within their budget."""
    old, new = change.old, change.new
    if new is None:
        return
    started = [execution for execution in new.executions if execution.started_at is not None]
    assert len(started) <= new.execution_spec.max_retries + 1, f"{len(started)} attempts"
    assert sum(execution.open for execution in new.executions) <= 1
    if old is None:
        assert new.status is InvocationStatus.PENDING
        return
    if old.status is not new.status:
        assert not old.status.finished, f"{old.status} became {new.status}"
        assert new.status in LEGAL[old.status], f"{old.status} became {new.status}"
        _check_ending(new)
    for before, after in zip(old.executions, new.executions, strict=False):
        assert before.execution_id == after.execution_id
        assert before.outcome in (None, after.outcome), "an outcome is set once"
        assert before.started_at in (None, after.started_at), "code starts once"
        assert before.open or not after.open, "an ended execution stays ended"
        assert before.worker_nonce in (None, after.worker_nonce)


def _check_ending(new: Invocation) -> None:
    outcomes = {execution.outcome for execution in new.executions}
    match new.status:
        case InvocationStatus.SUCCEEDED:
            assert Outcome.SUCCEEDED in outcomes
        case InvocationStatus.CANCELLED:
            assert new.cancellation_requested_at is not None
        case InvocationStatus.FAILED:
            started = [execution for execution in new.executions if execution.started_at is not None]
            spent = len(started) > new.execution_spec.max_retries or new.failed_launches >= 1
            assert spent or not new.executions[-1].retryable


def check_end(
    context: Context, store: MemoryStore, created: Sequence[str], successes: Mapping[str, str], healed_at: datetime
) -> None:
    """E, L: every acknowledged start is there with its input and is final, every acknowledged success stands with its
    result, and nothing is left over. `successes`: the result of each by the invocation's id."""
    found = {invocation.invocation_id: invocation for invocation in store.records(Invocation)}
    for invocation_id in created:
        assert invocation_id in found, f"{invocation_id} was acknowledged and is lost"
        assert _shown(context, store, invocation_id)["input"] == text_of(invocation_id)
    for invocation in found.values():
        assert invocation.terminated, f"{invocation.invocation_id} is stuck: {invocation}"
        assert invocation.due_at is None, f"{invocation.invocation_id} is still due: {invocation}"
        _check_cascade(invocation, found, healed_at)
    for invocation_id, result in successes.items():
        assert found[invocation_id].status is InvocationStatus.SUCCEEDED
        assert _shown(context, store, invocation_id)["result"] == result
    assert not [key for key in store.items if key[1].startswith(("QUEUE", "BACKOFF"))], "an entry was left in a queue"


def _shown(context: Context, store: MemoryStore, invocation_id: str) -> InvocationInfo:
    stored = store.get(invocation_key(invocation_id))
    assert stored is not None
    return rendering.invocation_info(details.invocation_view(context, stored))


def _check_cascade(child: Invocation, found: Mapping[str, Invocation], healed_at: datetime) -> None:
    """A parent that ended other than by success has told its child to end, or the child had ended before that."""
    parent = found.get(child.parent.invocation_id) if child.parent else None
    if parent is None or parent.status is InvocationStatus.SUCCEEDED or child.cancellation_requested_at is not None:
        return
    assert parent.finished_at is not None
    assert child.finished_at is not None
    told_by = max(parent.finished_at, healed_at) + timedelta(seconds=CASCADE_S)
    assert child.finished_at <= told_by, f"{child.invocation_id} went on after {parent.invocation_id}"
