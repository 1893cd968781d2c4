"""Creating, reading and cancelling invocations."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.external_transitions import cancel as cancelled
from multinode_control_plane.core.keys import invocation_key, project_key
from multinode_control_plane.core.lifecycle import create as created
from multinode_control_plane.core.lifecycle import has_input
from multinode_control_plane.core.records import ChildLink, Invocation, ParentRef, Payload, Version
from multinode_control_plane.ports import ABSENT, Check, Put, Stored, Write
from multinode_control_plane.services import commit
from multinode_control_plane.services.admission import admit_at_once
from multinode_control_plane.services.context import Context, commit_with_retries
from multinode_protocol.error_codes import ErrorCode


def create(
    context: Context,
    version: Version,
    function_name: str,
    *,
    invocation_id: str | None,
    input_text: str,
    parent: ParentRef | None,
    also: Callable[[], Sequence[Write]] = tuple,
) -> Invocation:
    """Return the new invocation, durable; the same request again returns the invocation that it created before.

    It holds a slot at once if one is free and none is waiting for it; otherwise it waits in its function's queue.
    `invocation_id` comes from the client. If it is None, an id is generated, and a repeated request creates another
    invocation. The writes of `also` are part of the same commit, and are made anew after a Conflict; an exception from
    `also` ends the attempt. If the invocation exists already, nothing is written.
    Raises Refused: FUNCTION_, PROJECT_DOES_NOT_EXIST, PROJECT_IS_BEING_DELETED, INVOCATION_ALREADY_EXISTS (the id
    belongs to another request), PARENT_INVOCATION_DOES_NOT_EXIST, _HAS_ENDED, LIMIT_IS_REACHED.
    """
    spec = version.function(function_name)
    if spec is None:
        raise Refused(ErrorCode.FUNCTION_DOES_NOT_EXIST)
    chosen_id = invocation_id or context.ids.new("inv")
    may_wait = False

    def attempt() -> Invocation:
        nonlocal may_wait
        existing = context.store.get(invocation_key(chosen_id))
        if existing is not None:
            return _same_request(existing.record, version, function_name, input_text, parent)
        others = also()
        project_writes = _project_writes(context, version.project_name)
        parent_writes, depth = _parent_writes(context, version, parent, chosen_id)
        new = created(
            version,
            spec,
            invocation_id=chosen_id,
            parent=parent,
            depth=depth,
            input_text=input_text,
            now=context.clock.now(),
        )
        # After losing the slot to a concurrent start, this one joins the queue, where starts do not contend.
        slot_writes: list[Write] = []
        if not may_wait:
            new, slot_writes = admit_at_once(context, new)
            may_wait = True
        payload = [] if new.input_text is not None else [Put(Payload(chosen_id, input_text), ABSENT)]
        writes = [*commit.creation_writes(new), *payload, *slot_writes, *project_writes, *parent_writes, *others]
        context.store.commit(writes)
        return new

    return commit_with_retries(context, attempt)


def _same_request(
    existing: Invocation, version: Version, function_name: str, input_text: str, parent: ParentRef | None
) -> Invocation:
    key = existing.function_key
    # The version may differ: `latest` may have changed between a request and its repetition.
    same = (key.project_name, key.function_name) == (version.project_name, function_name)
    if same and has_input(existing, input_text) and existing.parent == parent:
        return existing
    raise Refused(ErrorCode.INVOCATION_ALREADY_EXISTS)


def _project_writes(context: Context, project_name: str) -> list[Write]:
    """Return the condition that the project exists and is not being deleted when the commit is made.

    If no request outlives `longest_request_s`, a read is enough, because a deletion waits that long before its last
    check. On DynamoDB, conditions on one item would make all starts of a project contend with each other.
    """
    project = context.store.get(project_key(project_name))
    if project is None:
        raise Refused(ErrorCode.PROJECT_DOES_NOT_EXIST)
    if project.record.deletion_requested_at is not None:
        raise Refused(ErrorCode.PROJECT_IS_BEING_DELETED)
    if context.limits.longest_request_s is not None:
        return []
    return [Check(project_key(project_name), project.version)]


def _parent_writes(
    context: Context, version: Version, parent: ParentRef | None, child_id: str
) -> tuple[list[Write], int]:
    """Return the writes that link a child to its parent, if that still accepts children, and the child's depth."""
    if parent is None:
        return [], 0
    stored = context.store.get(invocation_key(parent.invocation_id))
    if stored is None or not _is_parent(stored.record, version, parent) or parent.invocation_id == child_id:
        raise Refused(ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST)
    if stored.record.status.finished or stored.record.cancellation_requested_at is not None:
        raise Refused(ErrorCode.PARENT_INVOCATION_HAS_ENDED)
    depth = stored.record.depth + 1
    if depth > context.limits.max_depth:
        raise Refused(ErrorCode.LIMIT_IS_REACHED, f"subtasks may be nested {context.limits.max_depth} deep")
    link = Put(ChildLink(parent.invocation_id, child_id), ABSENT)
    return [link, _parent_condition(stored)], depth


def _parent_condition(stored: Stored[Invocation]) -> Write:
    """Return the write that fails if the parent changes meanwhile; the first child also marks it as a parent."""
    if stored.record.has_children:
        return Check(invocation_key(stored.record.invocation_id), stored.version)
    return Put(replace(stored.record, has_children=True), stored.version)


def _is_parent(candidate: Invocation, version: Version, parent: ParentRef) -> bool:
    return (candidate.project_name, candidate.function_name) == (version.project_name, parent.function_name)


def cancel(context: Context, invocation_id: str, cause: str) -> Invocation:
    """Return the invocation being cancelled. Idempotent while it is unfinished.

    Raises Refused: INVOCATION_DOES_NOT_EXIST, INVOCATION_IS_ALREADY_TERMINATED when it has its final status.
    """

    def decide(invocation: Invocation, now: datetime) -> Invocation:
        if invocation.status.finished:
            raise Refused(ErrorCode.INVOCATION_IS_ALREADY_TERMINATED)
        return cancelled(invocation, cause, now)

    return commit.change(context, invocation_id, decide)
