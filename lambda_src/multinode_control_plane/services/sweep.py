"""The sweep acts on what is due and on what events missed: every minute on AWS, and exactly when due locally.

It makes no decisions of its own: it applies the core's transitions to the records that its lists propose, each as
stored at that moment, and nudges the reactor if an effect seems lost. Two sweeps at once do no harm.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from multinode_control_plane.core import external_transitions
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.keys import (
    DUE_DELETION,
    DUE_OPEN,
    DUE_SCHEDULE,
    DUE_WAITING,
    Index,
    due_sort,
    invocation_key,
)
from multinode_control_plane.core.records import Invocation, Project, Record, Schedules, seconds
from multinode_control_plane.ports import Compute, Conflict, ContainerState, Logs
from multinode_control_plane.services import commit, schedules, task_events
from multinode_control_plane.services.context import Context
from multinode_control_plane.services.drain import drain
from multinode_control_plane.services.paging import PAGE, listed
from multinode_control_plane.services.reactor import gone_for_good

logger = logging.getLogger(__name__)

MOST_PER_SWEEP = 5_000
"""Invocations handled by one sweep; the rest stay due for the next one."""
DRAIN_AGAIN_S = 1.0
ORPHAN_GRACE_S = 10


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What one sweep did. `failed` counts records that could not be handled and stay due; `fired` counts functions
    that were started by their schedules. `next_due` is None if nothing is due."""

    due: int
    settled: int
    orphans: int
    draining: int
    failed: int
    next_due: datetime | None
    fired: int = 0


def sweep(context: Context, compute: Compute, logs: Logs, *, reconcile: bool) -> SweepReport:
    """Act on everything that is due and return what was done; with `reconcile`, check every open container too.

    A record that cannot be handled is logged and does not hold up the others.
    """
    tally = _Tally()
    now = context.clock.now()
    bound = due_sort(int(now.timestamp() * 1000) + 1)
    if context.fires_schedules:
        for stored in listed(context.store, Index.BY_DUE, DUE_SCHEDULE, before=bound):
            tally.fired += tally.tried(lambda record=stored.record: _fire(context, record))  # type: ignore[misc]
    for value in (DUE_OPEN, DUE_WAITING):
        for stored in listed(context.store, Index.BY_DUE, value, before=bound, limit=MOST_PER_SWEEP):
            tally.due += tally.tried(lambda record=stored.record: _act_on_due(context, record))  # type: ignore[misc]
    if reconcile:
        _reconcile(context, compute, tally)
    for stored in listed(context.store, Index.BY_DUE, DUE_DELETION):
        tally.draining += tally.tried(lambda record=stored.record: _drain(context, compute, logs, record))  # type: ignore[misc]
    next_due = _next_due(context, tally.draining)
    return SweepReport(
        tally.due, tally.settled, tally.orphans, tally.draining, tally.failed, next_due, fired=tally.fired
    )


class _Tally:
    """Counts what was done, and keeps one record's failure from the others."""

    def __init__(self) -> None:
        self.due = self.settled = self.orphans = self.draining = self.failed = self.fired = 0

    def tried(self, action: Callable[[], int]) -> int:
        """Return what `action` returns: a count, or True for one. An exception is logged and counts as 0."""
        try:
            return action()
        except Exception:
            logger.exception("the sweep could not handle a record")
            self.failed += 1
            return 0


def _act_on_due(context: Context, record: Record) -> bool:
    if not isinstance(record, Invocation):
        return False
    return commit.change_if_present(context, record.invocation_id, external_transitions.due) is not None


def _fire(context: Context, record: Record) -> int:
    return schedules.fire_due(context, record.project_name) if isinstance(record, Schedules) else 0


# --- reconciliation ------------------------------------------------------------------------------------------------


def _reconcile(context: Context, compute: Compute, tally: _Tally) -> None:
    """Settle executions whose container has gone without an event, and stop containers that no execution knows.

    Running containers are listed first, so a container launched after that is not taken for an orphan.
    """
    running = compute.running()
    open_ones = listed(context.store, Index.BY_DUE, DUE_OPEN, limit=MOST_PER_SWEEP)
    invocations = [stored.record for stored in open_ones if isinstance(stored.record, Invocation)]
    for start in range(0, len(invocations), PAGE):
        tally.settled += _settle_gone(context, compute, invocations[start : start + PAGE], tally)
    for state in running:
        tally.orphans += tally.tried(lambda state=state: _stop_orphan(context, compute, state))  # type: ignore[misc]


def _settle_gone(context: Context, compute: Compute, invocations: list[Invocation], tally: _Tally) -> int:
    open_now = [invocation.open_execution for invocation in invocations]
    workers = [
        execution.container for execution in open_now if execution is not None and execution.container is not None
    ]
    if not workers:
        return 0
    states = {state.execution_id: state for state in compute.describe(workers)}
    return sum(
        tally.tried(lambda invocation=invocation: _settle_one(context, invocation, states))  # type: ignore[misc]
        for invocation in invocations
    )


def _settle_one(context: Context, invocation: Invocation, states: dict[str, ContainerState]) -> bool:
    execution = invocation.open_execution
    if execution is None or execution.container is None:
        return False
    state = states.get(execution.execution_id)
    if state is None and gone_for_good(execution, context.clock.now()):
        ended = ContainerExit(ExitKind.INTERRUPTED, "the container disappeared without a trace")
    elif state is not None and state.exit is not None:
        ended = state.exit
    else:
        return False
    after = task_events.container_ended(
        context, invocation.invocation_id, execution.execution_id, ended, worker=execution.container
    )
    return after is not None


def _stop_orphan(context: Context, compute: Compute, state: ContainerState) -> bool:
    """Stop a container whose execution has ended or whose invocation does not exist; return True if it was one."""
    if state.invocation_id is None:
        return False
    stored = context.store.get(invocation_key(state.invocation_id))
    execution = None if stored is None else stored.record.execution(state.execution_id)
    if execution is not None and execution.open:
        return False
    logger.warning("stopping container %s: no open execution knows it", state.worker.identifier)
    compute.stop(state.worker, ORPHAN_GRACE_S)
    return True


# --- deletion -----------------------------------------------------------------------------------------------------


def _drain(context: Context, compute: Compute, logs: Logs, record: Record) -> bool:
    """Return True if there is more to do. After a Conflict with another process, the next sweep continues."""
    try:
        return isinstance(record, Project) and not drain(context, compute, logs, record.project_name)
    except Conflict:
        return True


def _next_due(context: Context, draining: int) -> datetime | None:
    times = [context.clock.now() + seconds(DRAIN_AGAIN_S)] if draining else []
    values = (DUE_OPEN, DUE_WAITING, *((DUE_SCHEDULE,) if context.fires_schedules else ()))
    for value in values:
        page = context.store.list(Index.BY_DUE, value, limit=1)
        times += [
            stored.record.due_at
            for stored in page.items
            if isinstance(stored.record, Invocation | Schedules) and stored.record.due_at is not None
        ]
    return min(times, default=None)
