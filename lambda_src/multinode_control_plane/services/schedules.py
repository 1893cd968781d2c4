"""Scheduled functions, in a deployment whose platform has no scheduler.

A project has one record with the next run of each function of its newest version. The commit that registers a version
replaces it; the commit that requests the project's deletion removes it. A run is created in one commit with the
record's next state, under an id derived from function and time, so it is never lost and never created twice.

If runs were missed because no server was running, only each function's latest one is made up for.
"""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from multinode_control_plane.core.errors import Refused, invalid
from multinode_control_plane.core.keys import schedules_key, version_key
from multinode_control_plane.core.records import ScheduledRun, Schedules, Version
from multinode_control_plane.core.triggers import derived_invocation_id
from multinode_control_plane.ports import ABSENT, Check, Conflict, Delete, Put, Stored, Write
from multinode_control_plane.services import invocations
from multinode_control_plane.services.context import Context
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.schedules import Schedule, ScheduleError, latest_run, next_run

logger = logging.getLogger(__name__)

SOURCE = "multinode.schedule"
WITHOUT_ARGUMENTS = "[[],{}]"


def registration_writes(context: Context, version: Version) -> list[Write]:
    """Return the writes that replace the project's schedules by those of `version`, for the commit that registers it.

    A function whose schedule stays the same keeps the time of its next run, so a run that is due now is not lost.
    Raises Refused(REQUEST_IS_INVALID) for a time zone that is not known here.
    """
    if not context.fires_schedules:
        return []
    key = schedules_key(version.project_name)
    stored = context.store.get(key)
    if stored is not None and stored.record.version_id > version.version_id:
        return [Check(key, stored.version)]  # a newer version was registered since this one's id was generated
    earlier = {} if stored is None else {(run.function_name, run.schedule): run.due_at for run in stored.record.runs}
    runs = _next_runs(version, earlier, context.clock.now())
    return [
        Put(Schedules(version.project_name, version.version_id, runs), ABSENT if stored is None else stored.version)
    ]


def _next_runs(
    version: Version, earlier: dict[tuple[str, Schedule], datetime], now: datetime
) -> tuple[ScheduledRun, ...]:
    runs = []
    for number, spec in enumerate(version.functions):
        if spec.schedule is None:
            continue
        try:
            due_at = next_run(spec.schedule, now)
        except ScheduleError as error:
            raise invalid(f"functions[{number}].schedule.timezone", error.problem, error.allowed) from error
        kept = earlier.get((spec.function_name, spec.schedule), due_at)
        runs.append(ScheduledRun(spec.function_name, spec.schedule, min(kept, due_at)))
    return tuple(runs)


def removal_writes(context: Context, project_name: str) -> list[Write]:
    """Return the writes that end the project's schedules."""
    stored = context.store.get(schedules_key(project_name)) if context.fires_schedules else None
    return [] if stored is None else [Delete(schedules_key(project_name), stored.version)]


def fire_due(context: Context, project_name: str) -> int:
    """Return how many of the project's scheduled functions were started. Idempotent, also when two calls overlap.

    Raises Refused, StoreUnavailable; the remaining runs stay due.
    """
    fired = 0
    while True:
        stored = context.store.get(schedules_key(project_name))
        now = context.clock.now()
        runs = () if stored is None else stored.record.runs
        due = next((run for run in runs if run.due_at <= now), None)
        if stored is None or due is None:
            return fired
        fired += _fire(context, stored, due, now)


class _Superseded(Exception):
    """The schedules have changed since they were read: a new version, a deletion, or another sweep."""


def _fire(context: Context, stored: Stored[Schedules], due: ScheduledRun, now: datetime) -> bool:
    """Start one run and schedule the next one; return False if another process has done so."""
    record = stored.record
    key = schedules_key(record.project_name)
    version = context.store.get(version_key(record.project_name, record.version_id))
    if version is None:
        raise Refused(ErrorCode.VERSION_DOES_NOT_EXIST)
    at = max(latest_run(due.schedule, now) or due.due_at, due.due_at)
    moved_on = replace(due, due_at=next_run(due.schedule, now))
    after = Put(replace(record, runs=tuple(moved_on if run is due else run for run in record.runs)), stored.version)

    def move_on() -> Sequence[Write]:
        current = context.store.get(key)
        if current is None or current.version != stored.version:
            raise _Superseded
        return [after]

    invocation_id = derived_invocation_id(SOURCE, at.isoformat(), record.project_name, due.function_name, at=at)
    try:
        invocations.create(
            context,
            version.record,
            due.function_name,
            invocation_id=invocation_id,
            input_text=WITHOUT_ARGUMENTS,
            parent=None,
            also=move_on,
        )
    except _Superseded:
        return False
    except Refused as refused:
        if refused.code is not ErrorCode.INVOCATION_ALREADY_EXISTS:
            raise
        logger.warning("%s was created by another request; the schedule continues with its next run", invocation_id)
    _log(record.project_name, due, at, invocation_id)
    with contextlib.suppress(_Superseded, Conflict):
        # Needed only if the invocation existed already, for example because the clock was set back.
        context.store.commit(move_on())
    return True


def _log(project_name: str, due: ScheduledRun, at: datetime, invocation_id: str) -> None:
    name = f"{project_name}/{due.function_name}"
    if at > due.due_at:
        logger.warning(
            "no server was running when %s was due at %s: only the latest run is made up for", name, due.due_at
        )
    logger.info("the schedule of %s started %s for %s", name, invocation_id, at)
