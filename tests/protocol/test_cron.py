"""Cron expressions: what each field may hold, what is refused in which words, and the same times as another program."""

from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from multinode_protocol.cron import CronFields, ScheduleError, parse
from multinode_protocol.schedules import Schedule, latest_run, next_run

EVERY_DAY = (tuple(range(1, 32)), tuple(range(1, 13)), tuple(range(7)))


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("0 9 * * *", CronFields((0,), (9,), *EVERY_DAY)),
        ("  05   09 * * *  ", CronFields((5,), (9,), *EVERY_DAY)),
        ("*/15 0-6/3 * * *", CronFields((0, 15, 30, 45), (0, 3, 6), *EVERY_DAY)),
        ("30,0,30 8,20-22 * * *", CronFields((0, 30), (8, 20, 21, 22), *EVERY_DAY)),
        ("0 0 1,15 JAN,jul-SEP *", CronFields((0,), (0,), (1, 15), (1, 7, 8, 9), tuple(range(7)))),
        ("0 0 * * mon-FRI", CronFields((0,), (0,), EVERY_DAY[0], EVERY_DAY[1], (1, 2, 3, 4, 5))),
        ("0 0 * * 7", CronFields((0,), (0,), EVERY_DAY[0], EVERY_DAY[1], (0,))),
        ("0 0 * * 5-7", CronFields((0,), (0,), EVERY_DAY[0], EVERY_DAY[1], (0, 5, 6))),
        ("0 0 * * FRI-SUN", CronFields((0,), (0,), EVERY_DAY[0], EVERY_DAY[1], (0, 5, 6))),
        ("0 0 * * SUN-SUN", CronFields((0,), (0,), EVERY_DAY[0], EVERY_DAY[1], (0,))),
        ("0 0 29 2 *", CronFields((0,), (0,), (29,), (2,), tuple(range(7)))),
        ("0 0 30,31 2,3 *", CronFields((0,), (0,), (30, 31), (2, 3), tuple(range(7)))),
    ],
)
def test_a_field_stands_for_these_numbers(text: str, fields: CronFields) -> None:
    assert parse(text) == fields


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("60 * * * *", "has '60' as its minute"),
        ("* 24 * * *", "has '24' as its hour"),
        ("* * 0 * *", "has '0' as its day of the month"),
        ("* * 32 * *", "has '32' as its day of the month"),
        ("* * * 13 *", "has '13' as its month"),
        ("* * * JANUARY *", "has 'JANUARY' as its month"),
        ("* * * MON *", "has 'MON' as its month"),
        ("* * * * 8", "has '8' as its day of the week"),
        ("* * * * SAT-MON", "has 'SAT-MON' as its day of the week"),
        ("* 6-2 * * *", "has '6-2' as its hour"),
        ("*/0 * * * *", "has '*/0' as its minute"),
        ("*/60 * * * *", "has '*/60' as its minute"),
        ("5/15 * * * *", "has '5/15' as its minute"),
        ("-5 * * * *", "has '-5' as its minute"),
        ("1, * * * *", "has '' as its minute"),
        ("1.5 * * * *", "has '1.5' as its minute"),
        ("٣ * * * *", r"has '\u0663' as its minute"),
        ("0 0 L * *", "has 'L' as its day of the month"),
        ("0 0 15W * *", "has '15W' as its day of the month"),
        ("0 0 ? * *", "has '?' as its day of the month"),
        ("0 0 * * 2#1", "has '2#1' as its day of the week"),
        (f"{'x' * 50} * * * *", f"has '{'x' * 40}...' as its minute"),
        ("", "has 0 fields"),
        ("@daily", "has 1 field"),
        ("0 9 * * * *", "has 6 fields"),
        (" ".join(["*"] * 101), "has 201 characters"),
        ("0 0 30 2 *", "never fires: no FEB has a day 30"),
        ("0 0 31 4,6,9,11 *", "never fires: no APR or JUN or SEP or NOV has a day 31"),
        ("0 0 1 * MON", "restricts both the day of the month and the day of the week, which cron takes for either"),
        ("0 0 */2 * 1-5", "restricts both the day of the month and the day of the week, which cron takes for either"),
    ],
)
def test_what_is_not_a_cron_expression_is_refused_by_its_field(text: str, problem: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse(text)
    assert refused.value.problem.startswith(problem)


def test_a_refusal_says_what_is_allowed() -> None:
    with pytest.raises(ScheduleError) as refused:
        parse("0 0 * * MONDAY")
    assert str(refused.value) == (
        "has 'MONDAY' as its day of the week; allowed: `*`, or numbers from 0 to 7 or SUN-SAT, ranges (a-b) and "
        "steps (*/n, a-b/n), with commas between"
    )


# --- against another implementation -----------------------------------------------------------------------------------


def items(least: int, most: int) -> st.SearchStrategy[str]:
    """Draw one item of a field: a number, a range, or either everything or a range with a step."""
    number = st.integers(least, most)
    pairs = st.tuples(number, number).map(sorted).filter(lambda pair: pair[0] < pair[1])
    ranges = pairs.map(lambda pair: f"{pair[0]}-{pair[1]}")
    steps = st.integers(1, max(most, 1))
    return st.one_of(
        number.map(str), ranges, st.tuples(st.one_of(st.just("*"), ranges), steps).map(lambda p: f"{p[0]}/{p[1]}")
    )


def fields(least: int, most: int) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), st.lists(items(least, most), min_size=1, max_size=3).map(",".join))


@st.composite
def expressions(draw: st.DrawFn) -> str:
    days, weekdays = draw(st.one_of(st.tuples(fields(1, 31), st.just("*")), st.tuples(st.just("*"), fields(0, 7))))
    return f"{draw(fields(0, 59))} {draw(fields(0, 23))} {days} {draw(fields(1, 12))} {weekdays}"


START = datetime(2023, 1, 1, tzinfo=UTC)
TIMES = st.timedeltas(timedelta(0), timedelta(days=3650)).map(lambda passed: START + passed)


@settings(max_examples=2 * settings().max_examples)
@given(expressions(), TIMES)
def test_it_fires_when_another_implementation_of_cron_fires(text: str, after: datetime) -> None:
    try:
        schedule = Schedule(cron=text)
        parse(text)
    except ScheduleError as refused:
        assert "never fires" in refused.problem
        return
    expected = CronSim(text, after)
    for _ in range(3):
        after = next_run(schedule, after)
        assert after == next(expected)


@settings(max_examples=2 * settings().max_examples)
@given(expressions(), TIMES)
def test_the_latest_time_is_the_one_before_the_next(text: str, until: datetime) -> None:
    try:
        parse(text)
    except ScheduleError as refused:
        assert "never fires" in refused.problem
        return
    schedule = Schedule(cron=text)
    latest = latest_run(schedule, until)
    assert latest is not None
    assert latest <= until
    assert next_run(schedule, latest) > until
    assert next_run(schedule, latest - timedelta(microseconds=1)) == latest
