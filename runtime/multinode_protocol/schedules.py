"""When a function runs by itself: the schedule as a value, and the times at which it fires. Standard library only.

A cron expression names times on the clocks of its time zone, and each such time fires once: a time that the clocks skip
in spring does not fire, one that they show twice in autumn fires the first time. (So does EventBridge Scheduler: User
Guide, "Schedule types", "Daylight savings time".) An interval counts from 1970-01-01T00:00Z, whenever it was deployed:
every hour is on the hour, and a new version does not start the count again.
"""

import functools
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from multinode_protocol.cron import ScheduleError, parse
from multinode_protocol.limits import MAX_EVERY_S, MAX_TIMEZONE_CHARS, MIN_EVERY_S
from multinode_protocol.messages import ScheduleSpec

__all__ = [
    "EPOCH",
    "NoTimezoneData",
    "Schedule",
    "ScheduleError",
    "check_cron",
    "check_every",
    "check_timezone",
    "latest_run",
    "next_run",
    "schedule_of",
    "schedule_text",
    "zone_of",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SEARCHED_DAYS = 9 * 366
"""From one 29 February to the next it may be eight years; daylight saving may skip a day's time once."""
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
_NO_ZONES = ("localtime", "posixrules", "Factory", "posix/", "right/")
"""Entries beside the zones in a system's data, which mean something else on every machine."""
ZONES = "a name of the IANA time zone database, such as 'Europe/London' or 'UTC'"


class NoTimezoneData(ScheduleError):
    """This machine knows no time zone but UTC, so it can neither accept nor refuse the name."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Either `cron`, five fields on the clocks of `timezone`, or `every_s`, an interval of whole minutes in seconds."""

    cron: str | None = None
    timezone: str = "UTC"
    every_s: int | None = None


def schedule_of(spec: ScheduleSpec) -> Schedule:
    """Return the schedule in a function's spec. Raises ScheduleError."""
    cron, every_s = spec.get("cron"), spec.get("every_seconds")
    if (cron is None) == (every_s is None):
        raise ScheduleError("has not one of `cron` and `every_seconds`", "exactly one of the two")
    if every_s is not None:
        check_every(every_s)
        return Schedule(every_s=every_s)
    schedule = Schedule(cron, spec.get("timezone") or "UTC")
    check_cron(schedule.cron)
    check_timezone(schedule.timezone)
    return schedule


def check_cron(text: object) -> None:
    """Raise ScheduleError unless `text` is a cron expression that fires; see `multinode_protocol.cron`."""
    if not isinstance(text, str):
        raise ScheduleError(f"is {text!r}", "a string of five fields, such as '0 9 * * MON-FRI'")
    parse(text)


def check_every(seconds: int) -> None:
    """Raise ScheduleError unless `seconds` is an interval that both deployments can keep."""
    if seconds % 60 or not MIN_EVERY_S <= seconds <= MAX_EVERY_S:
        raise ScheduleError(f"is {seconds} s", f"whole minutes, from 1 minute to {MAX_EVERY_S // 86_400} days")


def check_timezone(name: object) -> None:
    """Raise ScheduleError unless `name` is a time zone's, NoTimezoneData where that cannot be known."""
    if not isinstance(name, str) or len(name) > MAX_TIMEZONE_CHARS:
        raise ScheduleError(f"is {name!r:.80}", ZONES)
    zone_of(name)


@functools.cache
def zone_of(name: str) -> tzinfo:
    """Return the time zone. Raises ScheduleError, NoTimezoneData. UTC needs no data."""
    if name == "UTC":
        return UTC
    from difflib import get_close_matches
    from zoneinfo import ZoneInfo, available_timezones

    if _ZONE.fullmatch(name) and not name.startswith(_NO_ZONES):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            pass  # said below, with what it may have been meant for
    known = available_timezones()
    if not known:
        raise NoTimezoneData(
            f"is {name!a}, but there is no time zone data here",
            "'UTC', or any zone once the package tzdata is installed (add it to requirements.txt)",
        )
    likely = get_close_matches(name, known, n=1)
    raise ScheduleError(
        f"is {name!a}, which is no time zone", f"{ZONES}{f'; did you mean {likely[0]!r}?' if likely else ''}"
    )


def next_run(schedule: Schedule, after: datetime) -> datetime:
    """Return the first time after `after`, in UTC, at which a valid schedule fires. Raises NoTimezoneData."""
    if schedule.every_s is not None:
        interval = timedelta(seconds=schedule.every_s)
        return EPOCH + ((after - EPOCH) // interval + 1) * interval
    fields, zone = parse(schedule.cron or ""), zone_of(schedule.timezone)
    clock = after.astimezone(zone).replace(tzinfo=None)
    day = clock.date()
    for _ in range(SEARCHED_DAYS):
        if fields.has_day(day):
            for shown in fields.times_of(day):
                # A time that the clocks have shown already has fired already.
                run = _first_time(shown, zone) if shown > clock else None
                if run is not None and run > after:
                    return run
        day += timedelta(days=1)
    raise ScheduleError(f"{schedule.cron!r} never fires after {after:%Y-%m-%d}", "an expression that fires")


def latest_run(schedule: Schedule, until: datetime) -> datetime | None:
    """Return the last time up to `until`, in UTC, at which a valid schedule fired. None: not for years."""
    if schedule.every_s is not None:
        interval = timedelta(seconds=schedule.every_s)
        return EPOCH + (until - EPOCH) // interval * interval
    fields, zone = parse(schedule.cron or ""), zone_of(schedule.timezone)
    # Clocks that go back over midnight have shown times of the next day already.
    day = until.astimezone(zone).date() + timedelta(days=1)
    for _ in range(SEARCHED_DAYS):
        if fields.has_day(day):
            for shown in fields.times_of(day, latest_first=True):
                run = _first_time(shown, zone)
                if run is not None and run <= until:
                    return run
        day -= timedelta(days=1)
    return None


def _first_time(shown: datetime, zone: tzinfo) -> datetime | None:
    """Return when the clocks of `zone` first show `shown`, in UTC; None when they skip it."""
    at = shown.replace(tzinfo=zone).astimezone(UTC)
    return at if at.astimezone(zone).replace(tzinfo=None) == shown else None


def schedule_text(schedule: Schedule) -> str:
    """Return the schedule in words for people: ``0 9 * * * Europe/London``, ``every 1 h 30 min``."""
    if schedule.every_s is None:
        return f"{' '.join((schedule.cron or '').split())} {schedule.timezone}"
    days, rest = divmod(schedule.every_s, 86_400)
    parts = [f"{days} d" if days else "", f"{rest // 3600} h" if rest >= 3600 else ""]
    parts.append(f"{rest % 3600 // 60} min" if rest % 3600 else "")
    return f"every {' '.join(part for part in parts if part)}"
