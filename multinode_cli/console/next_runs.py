"""When functions run on their schedules, in words. Pure.

`active_at` is the present time, in seconds since the epoch, for a version whose schedules run; None for any other.
"""

import datetime

from multinode_cli.console.text import duration, one_line
from multinode_protocol.messages import FunctionInfo, FunctionSpec
from multinode_protocol.schedules import Schedule, ScheduleError, next_run, schedule_text


def schedule_words(function: FunctionInfo | FunctionSpec) -> str | None:
    """Return ``0 9 * * * Europe/London`` or ``every 1 h``; None without a schedule."""
    schedule = _schedule(function)
    return None if schedule is None else one_line(schedule_text(schedule))


def next_run_s(function: FunctionInfo | FunctionSpec, active_at: float | None) -> int | None:
    """Return when it runs next, in seconds since the epoch. None: never, or its time zone is unknown here."""
    schedule = _schedule(function)
    if schedule is None or active_at is None:
        return None
    try:
        return int(next_run(schedule, datetime.datetime.fromtimestamp(active_at, datetime.UTC)).timestamp())
    except ScheduleError:
        return None


def next_run_words(function: FunctionInfo, active_at: float | None) -> str:
    """Return the next run in this machine's local time, and how long until then."""
    if active_at is None:
        return "none: a newer version has taken over, or the project is being deleted"
    at_s = next_run_s(function, active_at)
    if at_s is None:
        return "unknown here: this machine does not know the time zone"
    local = datetime.datetime.fromtimestamp(at_s).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} (in {duration(at_s - active_at)})"


def _schedule(function: FunctionInfo | FunctionSpec) -> Schedule | None:
    spec = function.get("schedule")
    if spec is None:
        return None
    return Schedule(spec.get("cron"), spec.get("timezone") or "UTC", spec.get("every_seconds"))
