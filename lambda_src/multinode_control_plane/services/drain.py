"""Deleting a project: cancel its open invocations, wait until they have terminated, then remove every record.

Each call does a bounded piece of work and may be cut short anywhere. The project's own record goes last, so the next
call continues. Open invocations are read from gates and queues, strongly consistent, never from an index that may lag.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from multinode_control_plane.core.external_transitions import cancel as cancelled
from multinode_control_plane.core.keys import (
    Index,
    Key,
    Prefix,
    backoff_prefix,
    children_prefix,
    function_index_value,
    input_key,
    invocation_key,
    key_of,
    outputs_prefix,
    project_key,
    queue_prefix,
    versions_prefix,
)
from multinode_control_plane.core.records import ChildLink, FunctionKey, Invocation, Output, Record, Version, seconds
from multinode_control_plane.ports import Compute, Delete, Logs, Stored, Write
from multinode_control_plane.services import commit
from multinode_control_plane.services.context import Context
from multinode_control_plane.services.paging import listed

CAUSE = "its project is being deleted"
AT_ONCE = 100
MOST_PER_CALL = 2_000


def drain(context: Context, compute: Compute, logs: Logs, project_name: str, *, at_most: int = MOST_PER_CALL) -> bool:
    """Return True once nothing of the project is left; False if there is more to do, now or later.

    `at_most`: how many invocations this call cancels or removes.
    """
    project = context.store.get(project_key(project_name))
    if project is None:
        return True
    if project.record.deletion_requested_at is None:
        return False
    versions = context.store.query(versions_prefix(project_name))
    keys = [key for version in versions for key in _function_keys(version.record)]
    requests_under_way = _requests_may_be_under_way(context, project.record.deletion_requested_at)
    if not _all_ended(context, keys, at_most) or requests_under_way:
        return False
    budget = at_most
    for key in keys:
        for stored in listed(context.store, Index.BY_FUNCTION, function_index_value(key)):
            if budget == 0 or not remove_invocation(context, logs, stored):
                return False
            budget -= 1
        _remove(context, [gate] if (gate := commit.read_gate(context.store, key)) is not None else [])
    compute.forget_project(project_name)
    _remove(context, versions)
    _remove(context, [project])
    return True


def _requests_may_be_under_way(context: Context, deletion_requested_at: datetime) -> bool:
    """Return True while a request that read the project before its deletion was requested may still commit."""
    longest_s = context.limits.longest_request_s
    return longest_s is not None and context.clock.now() <= deletion_requested_at + seconds(longest_s)


def _function_keys(version: Version) -> list[FunctionKey]:
    return [FunctionKey(version.project_name, version.version_id, spec.function_name) for spec in version.functions]


def _all_ended(context: Context, keys: list[FunctionKey], at_most: int) -> bool:
    """Cancel open invocations, at most `at_most`; return True if there were none."""
    count = 0
    for key in keys:
        for invocation_id in _open_invocations(context, key):
            commit.change_if_present(context, invocation_id, lambda invocation, now: cancelled(invocation, CAUSE, now))
            count += 1
            if count == at_most:
                return False
    return count == 0


def _open_invocations(context: Context, key: FunctionKey) -> Iterator[str]:
    """Yield the ids of the function's invocations that hold a slot or wait for one: all that are not terminated."""
    gate = commit.read_gate(context.store, key)
    yield from () if gate is None else gate.record.slots.values()
    for prefix in (queue_prefix(key), backoff_prefix(key)):
        after: str | None = None
        while entries := context.store.query(prefix, limit=AT_ONCE, after=after):
            yield from (entry.record.invocation_id for entry in entries)
            after = key_of(entries[-1].record).sort


def remove_invocation(context: Context, logs: Logs, proposed: Stored[Record]) -> bool:
    """Remove an invocation with its payloads, links and logs; return False if it is not terminated after all.

    Raises Conflict if another process removes it at the same time.
    """
    if not isinstance(proposed.record, Invocation):
        return True
    invocation_id = proposed.record.invocation_id
    stored = context.store.get(invocation_key(invocation_id))
    if stored is None:
        return True
    if not stored.record.terminated:
        return False
    for execution in stored.record.executions:
        logs.delete(execution)
    children: Prefix[ChildLink] = children_prefix(invocation_id)
    outputs: Prefix[Output] = outputs_prefix(invocation_id)
    while links := context.store.query(children, limit=AT_ONCE):
        _remove(context, links)
    _remove(context, context.store.query(outputs))
    payload = context.store.get(input_key(invocation_id))
    _remove(context, [] if payload is None else [payload])
    _remove(context, [stored])
    return True


def _remove(context: Context, stored: Sequence[Stored[Record]]) -> None:
    """Delete records as they were read. Raises Conflict if another process has changed one of them."""
    for start in range(0, len(stored), AT_ONCE):
        writes: list[Write] = [_delete(item) for item in stored[start : start + AT_ONCE]]
        context.store.commit(writes)


def _delete(stored: Stored[Record]) -> Write:
    key: Key[Record] = key_of(stored.record)
    return Delete(key, stored.version)
