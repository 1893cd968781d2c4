"""Schedules as users write them: what is registered of them, and what is refused when the function is defined."""

from collections.abc import Callable
from typing import Any

import pytest

from multinode import Cron, Every, Multinode
from multinode.errors import ParameterValidationError


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(ParameterValidationError) as refused:
        action()
    return str(refused.value)


def test_a_cron_schedule_is_registered_with_its_time_zone() -> None:
    mn = Multinode()

    @mn.function(schedule=Cron("0 9 * * MON-FRI", timezone="Europe/London"))
    def report(day: str = "today") -> str:
        return day

    assert report.spec()["schedule"] == {"cron": "0 9 * * MON-FRI", "timezone": "Europe/London"}
    assert report.call_local() == "today"


def test_the_clocks_of_a_cron_schedule_are_utc_unless_it_says_otherwise() -> None:
    assert Cron("0 9 * * *").spec() == {"cron": "0 9 * * *", "timezone": "UTC"}


@pytest.mark.parametrize(
    ("every", "seconds"),
    [
        (Every(minutes=1), 60),
        (Every(hours=1), 3600),
        (Every(hours=1, minutes=30), 5400),
        (Every(days=7), 604_800),
        (Every(days=365), 31_536_000),
    ],
)
def test_an_interval_is_registered_in_seconds(every: Every, seconds: int) -> None:
    assert every.spec() == {"every_seconds": seconds}


def test_a_function_without_a_schedule_registers_none() -> None:
    mn = Multinode()

    @mn.function
    def plain() -> None: ...

    assert "schedule" not in plain.spec()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Cron("0 24 * * *"),
            "The cron expression '0 24 * * *' has '24' as its hour; allowed is `*`, or numbers from 0 to 23, ranges "
            "(a-b) and steps (*/n, a-b/n), with commas between",
        ),
        (
            lambda: Cron("0 0 31 2 *"),
            "The cron expression '0 0 31 2 *' never fires: no FEB has a day 31; allowed is a day that one of its "
            "months has",
        ),
        (
            lambda: Cron("every day"),
            "The cron expression 'every day' has 2 fields; allowed is five fields: minute, hour, day of the month, "
            "month, day of the week (every day at 9: `0 9 * * *`)",
        ),
        (
            lambda: Cron(9),  # type: ignore[arg-type]
            "The cron expression 9 is 9; allowed is a string of five fields, such as '0 9 * * MON-FRI'",
        ),
        (
            lambda: Cron("0 9 * * *", "Europe/Londn"),
            "Cron's timezone is 'Europe/Londn', which is no time zone; allowed is a name of the IANA time zone "
            "database, such as 'Europe/London' or 'UTC'; did you mean 'Europe/London'?",
        ),
        (
            lambda: Cron("0 9 * * *", timezone=None),  # type: ignore[arg-type]
            "Cron's timezone is None; allowed is a name of the IANA time zone database, such as 'Europe/London' or "
            "'UTC'",
        ),
        (Every, "Every(days=0, hours=0, minutes=0) is not an interval; allowed is from 1 minute to 365 days"),
        (
            lambda: Every(days=365, minutes=1),
            "Every(days=365, hours=0, minutes=1) is not an interval; allowed is from 1 minute to 365 days",
        ),
        (lambda: Every(hours=0.5), "Every's hours is 0.5; allowed is a whole number from 0"),  # type: ignore[arg-type]
        (lambda: Every(minutes=-5), "Every's minutes is -5; allowed is a whole number from 0"),
        (lambda: Every(days=True), "Every's days is True; allowed is a whole number from 0"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_where_it_is_written(make: Callable[[], object], message: str) -> None:
    assert refusal(make) == message


@pytest.mark.parametrize("schedule", ["0 9 * * *", 3600, Cron])
def test_what_is_no_schedule_is_refused(schedule: Any) -> None:
    message = refusal(lambda: Multinode().function(schedule=schedule))
    assert message.startswith(f"schedule is {schedule!r}; allowed is Cron('0 9 * * *', timezone='Europe/London') or")


def test_a_function_that_needs_arguments_cannot_run_by_itself() -> None:
    mn = Multinode()

    def needs(first: int, /, second: int, third: int = 3, *rest: int, fourth: int, **more: int) -> None: ...

    assert refusal(lambda: mn.function(schedule=Every(hours=1))(needs)) == (
        "'needs' has a schedule, which starts it without arguments, but it needs first, second, fourth; allowed are "
        "parameters with a default"
    )
    assert mn.functions == {}


def test_a_function_whose_parameters_have_defaults_can() -> None:
    mn = Multinode()

    @mn.function(schedule=Every(minutes=5))
    def tidy(folder: str = "tmp", *rest: int, **more: int) -> None: ...

    assert tidy.spec()["schedule"] == {"every_seconds": 300}
