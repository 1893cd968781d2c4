"""When schedules fire: over the changes of the clocks, from February to February, and in steps from the epoch."""

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode_protocol import schedules
from multinode_protocol.cron import parse
from multinode_protocol.messages import ScheduleSpec
from multinode_protocol.schedules import (
    NoTimezoneData,
    Schedule,
    ScheduleError,
    latest_run,
    next_run,
    schedule_of,
    schedule_text,
    zone_of,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def runs(schedule: Schedule, after: str, count: int) -> list[str]:
    """Return the next `count` times in UTC, as ``01-31 09:00``."""
    found, time = [], at(after)
    for _ in range(count):
        time = next_run(schedule, time)
        found.append(f"{time:%m-%d %H:%M}")
    return found


# --- cron -------------------------------------------------------------------------------------------------------------


def test_a_time_is_one_on_the_clocks_of_its_zone() -> None:
    # London is at UTC in winter and an hour ahead in summer.
    nine = Schedule("0 9 * * *", "Europe/London")
    assert runs(nine, "2026-01-10 09:00", 1) == ["01-11 09:00"]
    assert runs(nine, "2026-07-10 08:00", 1) == ["07-11 08:00"]
    assert runs(Schedule("0 9 * * *"), "2026-07-10 08:00", 1) == ["07-10 09:00"]


def test_the_next_time_is_after_the_given_one_to_the_microsecond() -> None:
    nine = Schedule("0 9 * * *")
    assert next_run(nine, at("2026-01-10 08:59:59.999999")) == at("2026-01-10 09:00")
    assert next_run(nine, at("2026-01-10 09:00")) == at("2026-01-11 09:00")
    assert latest_run(nine, at("2026-01-10 09:00")) == at("2026-01-10 09:00")
    assert latest_run(nine, at("2026-01-10 08:59:59.999999")) == at("2026-01-09 09:00")


def test_a_time_that_the_clocks_skip_in_spring_does_not_fire() -> None:
    # On 29 March 2026, London's clocks go from 01:00 to 02:00 at 01:00 UTC.
    assert runs(Schedule("30 1 * * *", "Europe/London"), "2026-03-28 00:00", 3) == [
        "03-28 01:30",
        "03-30 00:30",
        "03-31 00:30",
    ]
    assert runs(Schedule("0 * * * *", "Europe/London"), "2026-03-29 00:00", 2) == ["03-29 01:00", "03-29 02:00"]


def test_a_time_that_the_clocks_show_twice_in_autumn_fires_the_first_time() -> None:
    # On 25 October 2026, London's clocks go from 02:00 back to 01:00 at 01:00 UTC.
    assert runs(Schedule("30 1 * * *", "Europe/London"), "2026-10-24 12:00", 2) == ["10-25 00:30", "10-26 01:30"]
    # 00:30 and 00:45 UTC are 01:30 and 01:45; the second 01:00 to 01:45 are passed over.
    assert runs(Schedule("*/15 * * * *", "Europe/London"), "2026-10-25 00:20", 4) == [
        "10-25 00:30",
        "10-25 00:45",
        "10-25 02:00",
        "10-25 02:15",
    ]
    assert latest_run(Schedule("*/15 * * * *", "Europe/London"), at("2026-10-25 01:59")) == at("2026-10-25 00:45")


def test_clocks_that_go_back_over_midnight_fire_no_time_twice() -> None:
    # On 7 November 2010 at 02:31 UTC, St John's went from 00:01 on the 7th back to 23:01 on the 6th.
    midnight = Schedule("0 0 * * *", "America/St_Johns")
    assert next_run(midnight, at("2010-11-07 00:00")) == at("2010-11-07 02:30")
    assert next_run(midnight, at("2010-11-07 02:30")) == at("2010-11-08 03:30")
    assert latest_run(midnight, at("2010-11-07 03:00")) == at("2010-11-07 02:30")


def test_a_day_that_a_country_skips_does_not_fire() -> None:
    # Samoa had no 30 December 2011: it went from UTC-10 to UTC+14.
    noon = Schedule("0 12 * * *", "Pacific/Apia")
    assert runs(noon, "2011-12-29 00:00", 2) == ["12-29 22:00", "12-30 22:00"]


def test_the_29th_of_february_comes_every_four_years_and_not_in_2100() -> None:
    leap = Schedule("0 0 29 2 *")
    assert next_run(leap, at("2026-01-01 00:00")) == at("2028-02-29 00:00")
    assert next_run(leap, at("2096-03-01 00:00")) == at("2104-02-29 00:00")
    assert latest_run(leap, at("2104-02-28 00:00")) == at("2096-02-29 00:00")


def shown(moment: datetime, zone: str) -> datetime:
    return moment.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None, fold=0)


@given(
    st.sampled_from(
        [
            ("Europe/London", "2026-03-29 01:00"),
            ("Europe/London", "2026-10-25 01:00"),
            ("America/New_York", "2026-11-01 06:00"),
            ("Australia/Lord_Howe", "2026-04-04 15:00"),  # half an hour
            ("America/St_Johns", "2010-11-07 02:31"),
            ("Pacific/Apia", "2011-12-30 10:00"),
        ]
    ),
    st.sampled_from(["*/7 * * * *", "0,30 * * * *", "15 1,2,23 * * *", "59 0 * * *", "* 0-2 * * *"]),
    st.integers(-36 * 60, 12 * 60),
)
def test_around_a_change_of_the_clocks_it_fires_when_a_time_is_first_shown(
    change: tuple[str, str], cron: str, offset_min: int
) -> None:
    zone, moment = change
    start = at(moment) + timedelta(minutes=offset_min)
    # Walk minute by minute: a time fires when the clocks show it and have not shown it in the day and a half before.
    fields, seen, expected = parse(cron), set(), []
    for minute in range(-36 * 60, 60 * 60):
        now = start + timedelta(minutes=minute)
        clock = shown(now, zone)
        fires = clock.minute in fields.minutes and clock.hour in fields.hours and clock not in seen
        seen.add(clock)
        if fires and minute > 0:
            expected.append(now)
    schedule, time, found = Schedule(cron, zone), start, []
    for _ in expected[:20]:
        time = next_run(schedule, time)
        found.append(time)
    assert found == expected[:20]
    assert latest_run(schedule, expected[0]) == expected[0]
    assert latest_run(schedule, expected[1] - timedelta(seconds=1)) == expected[0]


# --- intervals --------------------------------------------------------------------------------------------------------


def test_an_interval_counts_from_the_epoch_whenever_it_was_deployed() -> None:
    hourly = Schedule(every_s=3600)
    assert runs(hourly, "2026-01-10 08:17", 2) == ["01-10 09:00", "01-10 10:00"]
    assert next_run(hourly, at("2026-01-10 09:00")) == at("2026-01-10 10:00")
    assert latest_run(hourly, at("2026-01-10 09:00")) == at("2026-01-10 09:00")
    assert latest_run(hourly, at("2026-01-10 08:59")) == at("2026-01-10 08:00")
    # 7 minutes: 1970-01-01T00:14 is a multiple, 00:15 is not.
    assert next_run(Schedule(every_s=420), datetime(1970, 1, 1, 0, 8, tzinfo=UTC)) == at("1970-01-01 00:14")


# --- time zones -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "Mars", "America", "localtime", "posix/UTC", "right/UTC", "../UTC", "/etc/passwd", "UTC\n", "a" * 65]
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ScheduleError, match="a name of the IANA time zone database"):
        schedules.check_timezone(name)


def test_a_misspelt_time_zone_is_corrected() -> None:
    with pytest.raises(ScheduleError, match=r"is 'Europe/Londres', .* did you mean 'Europe/London'\?"):
        zone_of("Europe/Londres")


@pytest.mark.usefixtures("no_time_zones")
def test_a_machine_without_time_zone_data_says_so_and_still_knows_utc() -> None:
    with pytest.raises(NoTimezoneData, match="once the package tzdata is installed"):
        zone_of("Europe/Paris")
    assert zone_of("UTC") is UTC


# --- as a spec and in words -------------------------------------------------------------------------------------------


def test_a_spec_is_read() -> None:
    assert schedule_of({"cron": "0 9 * * *"}) == Schedule("0 9 * * *", "UTC")
    assert schedule_of({"cron": "0 9 * * *", "timezone": "Asia/Tokyo", "every_seconds": None}) == Schedule(
        "0 9 * * *", "Asia/Tokyo"
    )
    assert schedule_of({"cron": None, "every_seconds": 90 * 60}) == Schedule(every_s=5400)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "has not one of `cron` and `every_seconds`"),
        ({"cron": "* * * * *", "every_seconds": 60}, "has not one of `cron` and `every_seconds`"),
        ({"cron": "x"}, "has 1 field"),
        ({"cron": "* * * * *", "timezone": "Mars"}, "is 'Mars', which is no time zone"),
        ({"every_seconds": 0}, "is 0 s"),
        ({"every_seconds": 59}, "is 59 s"),
        ({"every_seconds": 90}, "is 90 s"),
        ({"every_seconds": 366 * 86_400}, "is 31622400 s"),
    ],
)
def test_a_spec_that_means_nothing_is_refused(spec: ScheduleSpec, problem: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        schedule_of(spec)
    assert refused.value.problem == problem


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (Schedule("0  9 * * MON-FRI", "Europe/London"), "0 9 * * MON-FRI Europe/London"),
        (Schedule(every_s=60), "every 1 min"),
        (Schedule(every_s=5400), "every 1 h 30 min"),
        (Schedule(every_s=86_400), "every 1 d"),
        (Schedule(every_s=90_060), "every 1 d 1 h 1 min"),
    ],
)
def test_a_schedule_in_words(schedule: Schedule, text: str) -> None:
    assert schedule_text(schedule) == text
