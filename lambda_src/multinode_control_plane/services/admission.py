"""Giving out free slots: to a new invocation if none is waiting, otherwise to the oldest that wait."""

from multinode_control_plane.core.keys import invocation_key, queue_prefix
from multinode_control_plane.core.lifecycle import admit
from multinode_control_plane.core.records import FunctionKey, Invocation, QueueName
from multinode_control_plane.ports import Conflict, Write
from multinode_control_plane.services.commit import GateRead, gate_writes, invocation_writes, read_gate
from multinode_control_plane.services.context import Context, commit_with_retries

MOST_AT_ONCE = 20
"""Admissions in one commit: each needs two writes, one commit takes 100."""


def admit_at_once(context: Context, new: Invocation) -> tuple[Invocation, list[Write]]:
    """Return a new invocation with a free slot, and the write that takes it: both belong in the commit that makes it.

    Where others wait, or all slots are taken, it is returned as it was: then it waits, too. The gate is read before the
    queue and is a condition of the commit, so whoever waited before the queue was read is not overtaken.
    """
    key = new.function_key
    gate = read_gate(context.store, key)
    if gate is not None and len(gate.record.slots) >= new.resource_spec.max_concurrency:
        return new, []
    if context.store.query(queue_prefix(key), limit=1):
        return new, []
    admitted = admit(new, context.ids.new("exe"), context.clock.now())
    return admitted, gate_writes(context.store, key, [(new, admitted)], gate=GateRead(gate))


def admit_waiting(context: Context, key: FunctionKey) -> int:
    """Return how many waiting invocations were given a slot, oldest first; 0 when none waits or no slot is free.

    Slot, queue entry and execution change in one commit. Running it again, or twice at once, admits nobody twice.
    """
    total = 0
    while True:
        admitted = commit_with_retries(context, lambda: _admit_some(context, key))
        total += admitted
        if admitted < MOST_AT_ONCE:
            return total


def _admit_some(context: Context, key: FunctionKey) -> int:
    entries = context.store.query(queue_prefix(key), limit=MOST_AT_ONCE)
    if not entries:
        return 0
    gate = read_gate(context.store, key)
    taken = 0 if gate is None else len(gate.record.slots)
    writes: list[Write] = []
    transitions: list[tuple[Invocation, Invocation]] = []
    for entry in entries:
        stored = context.store.get(invocation_key(entry.record.invocation_id))
        if stored is None or stored.record.waiting_in is not QueueName.QUEUE:
            raise Conflict(f"{entry.record.invocation_id} has left the queue since its entry was read")
        if taken + len(transitions) >= stored.record.resource_spec.max_concurrency:
            break
        new = admit(stored.record, context.ids.new("exe"), context.clock.now())
        writes += invocation_writes(stored, new)
        transitions.append((stored.record, new))
    if not transitions:
        return 0
    context.store.commit([*writes, *gate_writes(context.store, key, transitions, gate=GateRead(gate))])
    return len(transitions)
