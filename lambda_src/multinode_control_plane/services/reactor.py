"""Performing the effects of a committed change, idempotently, and committing their results.

The change feed delivers each change at least once, in order per invocation. A change may be old by the time it arrives,
so each effect reads the invocation again and does only what its current state still calls for.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from multinode_control_plane.core import lifecycle
from multinode_control_plane.core.effects import (
    Admit,
    Announce,
    CancelChildren,
    Effect,
    Launch,
    Stop,
    effects,
    needs_launch,
)
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.external_transitions import cancel as cancelled
from multinode_control_plane.core.keys import children_prefix, invocation_key, version_key
from multinode_control_plane.core.records import Execution, Invocation, Version, WorkerDetails, seconds
from multinode_control_plane.ports import (
    Announcement,
    Change,
    Compute,
    ContainerState,
    EventPublisher,
    LaunchRefused,
    LaunchRequest,
)
from multinode_control_plane.services import commit, task_events
from multinode_control_plane.services.admission import admit_waiting
from multinode_control_plane.services.context import Context
from multinode_protocol import env_vars
from multinode_protocol.status import AbortReason

logger = logging.getLogger(__name__)

CHILDREN_AT_ONCE = 100
VISIBLE_AFTER_S = 60


@dataclass(frozen=True, slots=True)
class Reactor:
    """The ports that effects need. `token_of` signs the token with which an execution's worker authenticates."""

    context: Context
    compute: Compute
    event_publisher: EventPublisher
    token_of: Callable[[Invocation, Execution], str]
    api_url: Callable[[], str]


def react(reactor: Reactor, change: Change) -> None:
    """Perform every effect of a change; one that fails does not keep the others from being tried.

    Raises the first exception after all were tried: the feed must deliver the change again.
    """
    invocation = change.new
    if invocation is None:
        return
    failures: list[Exception] = []
    for effect in effects(change.old, invocation, reactor.context.clock.now()):
        try:
            _perform(reactor, invocation, effect)
        except Exception as error:
            logger.warning("%s of %s failed: %r", type(effect).__name__, invocation.invocation_id, error)
            failures.append(error)
    if failures:
        raise failures[0]


def _perform(reactor: Reactor, changed: Invocation, effect: Effect) -> None:
    match effect:
        case Admit():
            admit_waiting(reactor.context, effect.function_key)
        case Launch():
            _launch(reactor, changed.invocation_id, effect)
        case Stop():
            _stop(reactor, changed.invocation_id, effect.execution_id)
        case CancelChildren():
            cancel_children(reactor.context, changed.invocation_id)
        case Announce():
            reactor.event_publisher.publish([Announcement(changed, effect.previous, changed.updated_at)])


def _open_execution(context: Context, invocation_id: str, execution_id: str) -> tuple[Invocation, Execution] | None:
    stored = context.store.get(invocation_key(invocation_id))
    current = None if stored is None else stored.record.open_execution
    if stored is None or current is None or current.execution_id != execution_id:
        return None
    return stored.record, current


# --- launching -----------------------------------------------------------------------------------------------------


def _launch(reactor: Reactor, invocation_id: str, effect: Launch) -> None:
    """Start the container of this launch attempt, unless the state has moved on. The token was stored beforehand."""
    found = _open_execution(reactor.context, invocation_id, effect.execution_id)
    if found is None:
        return
    invocation, execution = found
    if execution.launch_attempt != effect.launch_attempt or not needs_launch(execution):
        return
    version = reactor.context.store.get(version_key(invocation.project_name, invocation.version_id))
    if version is None:
        _refuse(reactor, invocation, execution, LaunchRefused("its version has been deleted", permanent=True))
        return
    try:
        worker = reactor.compute.launch(_launch_request(reactor, invocation, execution, version.record))
    except LaunchRefused as refusal:
        _refuse(reactor, invocation, execution, refusal)
        return
    after = commit.change(
        reactor.context,
        invocation_id,
        lambda current, now: lifecycle.launched(current, execution.execution_id, worker, now),
    )
    _stop_if_unwanted(reactor, after, execution.execution_id, worker)


def _launch_request(reactor: Reactor, invocation: Invocation, execution: Execution, version: Version) -> LaunchRequest:
    variables = {
        env_vars.API_URL: reactor.api_url(),
        env_vars.API_KEY: reactor.token_of(invocation, execution),
        env_vars.PROJECT_NAME: invocation.project_name,
        env_vars.VERSION_ID: invocation.version_id,
        env_vars.FUNCTION_NAME: invocation.function_name,
        env_vars.INVOCATION_ID: invocation.invocation_id,
        env_vars.EXECUTION_ID: execution.execution_id,
        env_vars.GRACE_S: str(invocation.execution_spec.grace_s),
    }
    if execution.not_before is not None:
        variables[env_vars.NOT_BEFORE_MS] = str(int(execution.not_before.timestamp() * 1000))
    return LaunchRequest(
        token=execution.launch_token,
        execution=execution,
        invocation=invocation,
        environment=variables,
        task_definition=version.task_definition,
        local_bundle=version.local_bundle,
    )


def _refuse(reactor: Reactor, invocation: Invocation, execution: Execution, refusal: LaunchRefused) -> None:
    context = reactor.context
    jitter = context.ids.jitter()

    def decide(current: Invocation, now: datetime) -> Invocation:
        return lifecycle.launch_refused(
            current,
            execution,
            refusal.reason,
            permanent=refusal.permanent,
            max_refused_launches=context.limits.max_refused_launches,
            jitter=jitter,
            now=now,
        )

    logger.info("launch %s was refused: %s", execution.launch_token, refusal.reason)
    commit.change(context, invocation.invocation_id, decide)


def _stop_if_unwanted(reactor: Reactor, after: Invocation, execution_id: str, worker: WorkerDetails) -> None:
    """Stop the container if its execution ended, or was told to stop, while it was being launched."""
    execution = after.execution(execution_id)
    if execution is None or not execution.open or execution.termination_signal_at is not None:
        reactor.compute.stop(worker, after.execution_spec.grace_s)


# --- stopping -----------------------------------------------------------------------------------------------------


def _stop(reactor: Reactor, invocation_id: str, execution_id: str) -> None:
    """Stop every container of an execution; an execution without a container ends at once.

    The feed keeps the order per invocation, so no launch of this execution is under way elsewhere. None will follow
    either: once a stop has been requested, no launch is called for.
    """
    found = _open_execution(reactor.context, invocation_id, execution_id)
    if found is None:
        return
    invocation, execution = found
    states = _containers(reactor.compute, execution)
    alive = [state.worker for state in states if state.exit is None]
    known = execution.container
    if known is not None and not states and not gone_for_good(execution, reactor.context.clock.now()):
        alive = [known]
    for worker in alive:
        reactor.compute.stop(worker, _grace_left_s(reactor.context, invocation, execution))
    if not alive:
        ended = states[0] if states else None
        nothing = ContainerExit(ExitKind.STOPPED, "stopped before its container had started")
        task_events.container_ended(
            reactor.context,
            invocation_id,
            execution_id,
            nothing if ended is None or ended.exit is None else ended.exit,
            worker=None if ended is None else ended.worker,
        )


def gone_for_good(execution: Execution, now: datetime) -> bool:
    """Return True if a container that the backend does not know has gone, and is not just not visible yet.

    ECS may answer MISSING for a task right after RunTask: its API is eventually consistent.
    """
    return execution.launched_at is None or now - execution.launched_at > seconds(VISIBLE_AFTER_S)


def _containers(compute: Compute, execution: Execution) -> list[ContainerState]:
    if execution.container is not None:
        return list(compute.describe([execution.container]))
    return list(compute.find(execution.execution_id))


def _grace_left_s(context: Context, invocation: Invocation, execution: Execution) -> int:
    """Return the seconds left of the grace, which a repeated stop does not restart. 0 if no code runs, and 0 after a
    time-out, because that stop comes when the worker's own grace is over."""
    told = execution.termination_signal_at
    if not execution.running_code or told is None or execution.stop_reason is AbortReason.TIMED_OUT:
        return 0
    passed = context.clock.now() - told
    return max(0, invocation.execution_spec.grace_s - int(passed.total_seconds()))


# --- the cascade --------------------------------------------------------------------------------------------------


def cancel_children(context: Context, invocation_id: str) -> None:
    """Cancel every unfinished subtask of an invocation, then record that all have been cancelled.

    No child can join meanwhile: creating one fails once its parent has ended or is being cancelled.
    """
    stored = context.store.get(invocation_key(invocation_id))
    if stored is None or not stored.record.cascade_pending:
        return
    parent = stored.record
    cause = f"the invocation that started it, {parent.invocation_id}, {_cause(parent)}"
    after: str | None = None
    while True:
        links = context.store.query(children_prefix(invocation_id), limit=CHILDREN_AT_ONCE, after=after)
        for link in links:
            commit.change_if_present(
                context, link.record.child_invocation_id, lambda child, now: cancelled(child, cause, now)
            )
        if len(links) < CHILDREN_AT_ONCE:
            break
        after = f"CHILD#{links[-1].record.child_invocation_id}"
    commit.change(context, invocation_id, lifecycle.cascade_done)


def _cause(parent: Invocation) -> str:
    return "is being cancelled" if not parent.status.finished else f"ended as {parent.status}"
