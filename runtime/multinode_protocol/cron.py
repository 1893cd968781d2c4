"""Cron expressions of five fields, read strictly, so that all programs accept the same ones.

| field            | numbers | names              |
|------------------|---------|--------------------|
| minute           | 0-59    |                    |
| hour             | 0-23    |                    |
| day of the month | 1-31    |                    |
| month            | 1-12    | JAN-DEC            |
| day of the week  | 0-7     | SUN-SAT (0, 7: SUN)|

A field is ``*``, or numbers, ranges ``a-b`` and steps ``*/n``, ``a-b/n`` with commas between. One of the two day fields
is ``*``: if both are restricted, cron means "either of them", which EventBridge Scheduler cannot express, and a
schedule must run alike on every deployment. Macros (``@daily``) and the letters L, W, # and ? of other dialects are
refused for the same reason.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time

from multinode_protocol.limits import MAX_CRON_CHARS

__all__ = ["CronFields", "ScheduleError", "parse"]


class ScheduleError(ValueError):
    """A schedule that is not possible. `problem` completes "the expression …", `allowed` completes "allowed is …"."""

    def __init__(self, problem: str, allowed: str) -> None:
        super().__init__(f"{problem}; allowed: {allowed}")
        self.problem = problem
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class CronFields:
    """The numbers that each field stands for, ascending. `weekdays` count from 0, Sunday, to 6."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    def has_day(self, day: date) -> bool:
        """True when it fires on that day. One of the two day fields holds every number, so that both must hold."""
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def times_of(self, day: date, *, latest_first: bool = False) -> Iterator[datetime]:
        """Yield the times at which it fires on that day, without a time zone, in order."""
        step = -1 if latest_first else 1
        for hour in self.hours[::step]:
            for minute in self.minutes[::step]:
                yield datetime.combine(day, time(hour, minute))


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        words = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return (
            f"`*`, or numbers from {self.least} to {self.most}{words}, ranges (a-b) and steps (*/n, a-b/n), "
            "with commas between"
        )


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _WEEKDAYS),
)
_ITEM = re.compile(r"(?:\*|([0-9]{1,2}|[A-Za-z]{3})(?:-([0-9]{1,2}|[A-Za-z]{3}))?)(?:/([0-9]{1,2}))?")
_LONGEST_MONTHS = {month: 29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31 for month in range(1, 13)}
MAX_SHOWN_CHARS = 40


@functools.lru_cache(maxsize=256)
def parse(text: str) -> CronFields:
    """Return what a cron expression stands for. Raises ScheduleError, also for one that never fires."""
    if len(text) > MAX_CRON_CHARS:
        raise ScheduleError(f"has {len(text)} characters", f"at most {MAX_CRON_CHARS}")
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ScheduleError(
            f"has {len(parts)} {'field' if len(parts) == 1 else 'fields'}",
            f"five fields: {', '.join(field.name for field in _FIELDS)} (every day at 9: `0 9 * * *`)",
        )
    minutes, hours, days, months, weekdays = (_numbers(field, part) for field, part in zip(_FIELDS, parts, strict=True))
    if parts[2] != "*" and parts[4] != "*":
        raise ScheduleError(
            "restricts both the day of the month and the day of the week, which cron takes for either of them",
            "`*` for one of the two; two functions can have a schedule each",
        )
    if not any(day <= _LONGEST_MONTHS[month] for month in months for day in days):
        raise ScheduleError(
            f"never fires: no {' or '.join(_MONTHS[month - 1] for month in months)} has a day {days[0]}",
            "a day that one of its months has",
        )
    return CronFields(minutes, hours, days, months, tuple(sorted({number % 7 for number in weekdays})))


def _numbers(field: _Field, text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        numbers = None if match is None else _range(field, *match.groups())
        if numbers is None:
            raise ScheduleError(f"has {_shown(item)} as its {field.name}", field.allowed)
        found.update(numbers)
    return tuple(sorted(found))


def _range(field: _Field, first: str | None, last: str | None, step: str | None) -> range | None:
    """Return the numbers of one item; None when the field does not allow it. No `first` stands for ``*``."""
    if first is not None and last is None and step is not None:
        return None  # 5/15: one number in one dialect, 5-59/15 in another
    least = field.least if first is None else _number(field, first)
    most = field.most if first is None else least if last is None else _number(field, last)
    if field.names == _WEEKDAYS and least and last is not None and last.upper() == "SUN":
        most = 7  # FRI-SUN
    width = 1 if step is None else int(step)
    if least is None or most is None or least > most or not 0 < width <= field.most:
        return None
    return range(least, most + 1, width)


def _number(field: _Field, text: str) -> int | None:
    if text.isdecimal():
        number = int(text)
    elif text.upper() in field.names:
        number = field.names.index(text.upper()) + field.least
    else:
        return None
    return number if field.least <= number <= field.most else None


def _shown(text: str) -> str:
    """Return `text` quoted, in printable ASCII and cut: safe in a message, whoever wrote it."""
    return ascii(text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}...")
