"""From one state of an invocation to the next, in one commit: slots and queue entries follow from the two states.

An execution takes its slot in the commit that opens it and gives it back in the commit that ends it. Nothing else
writes gates, so a slot cannot leak.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.keys import gate_key, invocation_key, queue_key
from multinode_control_plane.core.records import FunctionKey, Gate, Invocation, QueueEntry
from multinode_control_plane.ports import ABSENT, Delete, Put, Store, Stored, Write
from multinode_control_plane.services.context import Context, commit_with_retries
from multinode_protocol.error_codes import ErrorCode

Decide = Callable[[Invocation, datetime], Invocation]
"""Returns the next state at a time, or the very same object if nothing changes."""


def load(context: Context, invocation_id: str) -> Stored[Invocation]:
    """Return the invocation as stored. Raises Refused(INVOCATION_DOES_NOT_EXIST)."""
    stored = context.store.get(invocation_key(invocation_id))
    if stored is None:
        raise Refused(ErrorCode.INVOCATION_DOES_NOT_EXIST)
    return stored


def change(
    context: Context,
    invocation_id: str,
    decide: Decide,
    *,
    also: Callable[[], Sequence[Write]] = tuple,
) -> Invocation:
    """Return the invocation after `decide`, committed together with the writes of `also`; tried again after a Conflict.

    Nothing is written if `decide` returns the object that it was given. Raises Refused, StoreUnavailable.
    """

    def attempt() -> Invocation:
        stored = load(context, invocation_id)
        new = decide(stored.record, context.clock.now())
        if new is stored.record:
            return new
        gate = gate_writes(context.store, new.function_key, [(stored.record, new)])
        context.store.commit([*invocation_writes(stored, new), *gate, *also()])
        return new

    return commit_with_retries(context, attempt)


def change_if_present(context: Context, invocation_id: str, decide: Decide) -> Invocation | None:
    """Return what `change` returns, or None if the invocation no longer exists."""
    try:
        return change(context, invocation_id, decide)
    except Refused as refused:
        if refused.code is ErrorCode.INVOCATION_DOES_NOT_EXIST:
            return None
        raise


def creation_writes(new: Invocation) -> list[Write]:
    """Return the writes that store a new invocation and its queue entry."""
    return [Put(new, ABSENT), *_queue_writes(None, new)]


def invocation_writes(stored: Stored[Invocation], new: Invocation) -> list[Write]:
    """Return the writes that replace an invocation and move its queue entry."""
    return [Put(new, stored.version), *_queue_writes(stored.record, new)]


def _queue_writes(old: Invocation | None, new: Invocation) -> list[Write]:
    """Return the writes that move the queue entry. An entry is written once, so its version is always 1."""
    old_name = None if old is None else old.waiting_in
    if old_name is new.waiting_in:
        return []
    key, position = new.function_key, new.queue_position
    writes: list[Write] = []
    if old_name is not None:
        writes.append(Delete(queue_key(key, old_name, position), 1))
    if new.waiting_in is not None:
        writes.append(Put(QueueEntry(key, new.waiting_in, position, new.invocation_id), ABSENT))
    return writes


@dataclass(frozen=True, slots=True)
class GateRead:
    """A gate as it was read; `stored` is None before the function's first admission."""

    stored: Stored[Gate] | None


def read_gate(store: Store, key: FunctionKey) -> Stored[Gate] | None:
    """Return the function's gate, or None before its first admission."""
    return store.get(gate_key(key))


def gate_writes(
    store: Store,
    key: FunctionKey,
    transitions: Sequence[tuple[Invocation, Invocation]],
    *,
    gate: GateRead | None = None,
) -> list[Write]:
    """Return the write that gives slots to the executions that open in `transitions`, and frees those of ended ones.

    `gate` is the gate on which the decision rests; left out, it is read, but only if it changes.
    """
    opened = {new.open_execution.execution_id: new.invocation_id for _, new in transitions if new.open_execution}
    closed = {
        old.open_execution.execution_id
        for old, _ in transitions
        if old.open_execution and old.open_execution.execution_id not in opened
    }
    held_before = {old.open_execution.execution_id for old, _ in transitions if old.open_execution}
    if not closed and opened.keys() <= held_before:
        return []
    stored = read_gate(store, key) if gate is None else gate.stored
    before = Gate(key) if stored is None else stored.record
    slots = {execution: holder for execution, holder in before.slots.items() if execution not in closed} | opened
    return [Put(replace(before, slots=slots), ABSENT if stored is None else stored.version)]
