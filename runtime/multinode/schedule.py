"""When a function runs by itself: what users give as ``@mn.function(schedule=...)``."""

from dataclasses import dataclass

from multinode.errors import ParameterValidationError
from multinode_protocol.limits import MAX_EVERY_S, MIN_EVERY_S
from multinode_protocol.messages import ScheduleSpec
from multinode_protocol.schedules import ScheduleError, check_cron, check_every, check_timezone

__all__ = ["Cron", "Every"]


@dataclass(frozen=True)
class Cron:
    """At the times that a cron expression names, on the clocks of a time zone.

    Five fields: minute, hour, day of the month, month, day of the week. ``Cron("0 9 * * MON-FRI")`` is nine o'clock on
    working days, ``Cron("*/10 8-17 * * *")`` every ten minutes of the day. A time that the clocks skip in spring is
    left out, and one that they show twice in autumn counts once.

    Raises: ParameterValidationError, saying what is allowed.
    """

    expression: str
    timezone: str = "UTC"
    """A name of the IANA time zone database, such as ``Europe/London``."""

    def __post_init__(self) -> None:
        try:
            check_cron(self.expression)
        except ScheduleError as error:
            raise ParameterValidationError(
                f"The cron expression {self.expression!r} {error.problem}; allowed is {error.allowed}"
            ) from None
        try:
            check_timezone(self.timezone)
        except ScheduleError as error:
            raise ParameterValidationError(f"Cron's timezone {error.problem}; allowed is {error.allowed}") from None

    def spec(self) -> ScheduleSpec:
        """Return the schedule as a deploy registers it."""
        return {"cron": self.expression, "timezone": self.timezone}


@dataclass(frozen=True, kw_only=True)
class Every:
    """At equal intervals: ``Every(hours=1)``, ``Every(hours=1, minutes=30)``.

    They count from 1970-01-01 00:00 UTC, not from the deployment, so that every hour is on the hour.

    Raises: ParameterValidationError.
    """

    days: int = 0
    hours: int = 0
    minutes: int = 0

    def __post_init__(self) -> None:
        for name, value in (("days", self.days), ("hours", self.hours), ("minutes", self.minutes)):
            if type(value) is not int or value < 0:
                raise ParameterValidationError(f"Every's {name} is {value!r}; allowed is a whole number from 0")
        try:
            check_every(self._seconds)
        except ScheduleError:
            raise ParameterValidationError(
                f"{self!r} is not an interval; allowed is from {MIN_EVERY_S // 60} minute "
                f"to {MAX_EVERY_S // 86_400} days"
            ) from None

    @property
    def _seconds(self) -> int:
        return ((self.days * 24 + self.hours) * 60 + self.minutes) * 60

    def spec(self) -> ScheduleSpec:
        """Return the schedule as a deploy registers it."""
        return {"every_seconds": self._seconds}
