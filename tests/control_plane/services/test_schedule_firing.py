"""Functions that run by their schedules: each time once, whatever is repeated or missed."""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.records import Invocation, Schedules, Version
from multinode_control_plane.ports import Put, StoreUnavailable, Write
from multinode_control_plane.services import invocations, projects, schedules
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.schedules import Schedule, latest_run, next_run
from tests.support.schedule_world import HOURLY, NINE, at, deploy, new_world, record, scheduled, starts
from tests.support.world import World, function_spec


class Interrupted(Exception):
    """The process died."""


def fail(_writes: object) -> None:
    raise Interrupted


# --- firing -----------------------------------------------------------------------------------------------------------


def test_a_function_is_started_without_arguments_when_its_schedule_is_due() -> None:
    world = new_world()
    version = deploy(world)
    assert world.sweep().next_due == at("01-10 09:00")
    assert starts(world) == []
    world.advance(30 * 60)
    report = world.sweep()
    # Its container has been launched, and the next run is before whatever is due of that.
    assert report.fired == 1
    assert record(world).due_at == at("01-10 10:00")
    (started,) = world.store.records(Invocation)
    assert (started.function_name, started.version_id, started.parent) == ("tidy", version.version_id, None)
    assert len(world.compute.containers) == 1
    assert world.input_of(started.invocation_id) == "[[],{}]"


def test_each_function_has_its_own_times_and_those_without_a_schedule_have_none() -> None:
    world = new_world()
    deploy(world, scheduled("tidy", HOURLY), function_spec("plain"), scheduled("report", NINE))
    for _ in range(3):
        world.advance(30 * 60)
        world.sweep()
    assert starts(world) == [("report", "10 09:00"), ("tidy", "10 09:00"), ("tidy", "10 10:00")]
    assert {run.function_name: run.due_at for run in record(world).runs} == {
        "tidy": at("01-10 11:00"),
        "report": at("01-11 09:00"),
    }


def test_sweeping_again_starts_nothing_twice() -> None:
    world = new_world("01-10 08:59:59")
    deploy(world)
    world.advance(1)
    assert [world.sweep().fired for _ in range(3)] == [1, 0, 0]
    assert starts(world) == [("tidy", "10 09:00")]


def test_the_id_of_a_run_tells_the_time_that_it_is_for() -> None:
    world = new_world()
    deploy(world)
    world.advance(30 * 60 + 17)
    world.sweep()
    (started,) = world.store.records(Invocation)
    milliseconds = int(started.invocation_id.removeprefix("inv-")[:12], 16)
    assert datetime.fromtimestamp(milliseconds / 1000, UTC) == at("01-10 09:00")


def test_one_project_s_trouble_does_not_keep_the_others_from_firing() -> None:
    world = new_world()
    projects.create(world.context, "bakery")
    deploy(world)
    deploy(world, project="bakery")

    def starts_something_of_the_bakery(writes: Sequence[Write]) -> bool:
        records = [write.record for write in writes if isinstance(write, Put)]
        return any(isinstance(each, Invocation) and each.project_name == "bakery" for each in records)

    world.store.fail_next("commit", StoreUnavailable("no answer"), when=starts_something_of_the_bakery, times=inf)
    world.advance(30 * 60)
    report = world.sweep()
    assert (report.fired, report.failed, report.next_due) == (1, 1, at("01-10 09:00"))
    world.store.hooks_off()
    assert world.sweep().fired == 1
    assert len(starts(world)) == 2


# --- missed runs ------------------------------------------------------------------------------------------------------


def test_of_the_runs_that_were_missed_the_latest_is_made_up_for_once(caplog: pytest.LogCaptureFixture) -> None:
    world = new_world()
    deploy(world, scheduled("tidy", HOURLY), scheduled("report", NINE))
    world.clock.time = at("01-13 07:15")  # nobody has swept for three days
    assert world.sweep().fired == 2
    ids = {i.function_name: int(i.invocation_id[4:16], 16) for i in world.store.records(Invocation)}
    assert ids == {
        "tidy": int(at("01-13 07:00").timestamp() * 1000),
        "report": int(at("01-12 09:00").timestamp() * 1000),
    }
    assert sum("only the latest run is made up for" in message for message in caplog.messages) == 2
    assert world.sweep().fired == 0
    assert record(world).due_at == at("01-13 08:00")


# --- crashes ----------------------------------------------------------------------------------------------------------


def doom(world: World, lost: str, number: int) -> None:
    """Let the process die before or after its commit `number`, counted from 0."""
    hook = world.store.before if lost == "before" else world.store.after
    hook("commit", lambda _: None, times=number)
    hook("commit", fail)


@pytest.mark.parametrize("lost", ["before", "after"])
@pytest.mark.parametrize("number", range(4))
def test_a_death_around_any_commit_neither_loses_a_run_nor_makes_it_twice(lost: str, number: int) -> None:
    world = new_world()
    deploy(world, scheduled("tidy", HOURLY), scheduled("report", NINE))
    world.advance(30 * 60)
    doom(world, lost, number)
    died = False
    try:
        schedules.fire_due(world.context, "shop")
    except Interrupted:
        died = True
    assert died == (number < 2)  # two runs, one commit each
    world.store.hooks_off()
    world.advance(60)
    schedules.fire_due(world.context, "shop")
    assert sorted(name for name, _ in starts(world)) == ["report", "tidy"]
    assert record(world).due_at == at("01-10 10:00")


def test_a_clock_that_was_set_back_starts_no_run_a_second_time() -> None:
    world = new_world()
    deploy(world)
    world.advance(30 * 60)
    world.sweep()
    world.clock.time = at("01-10 08:58")
    deploy(world)  # takes the earlier of the two next runs
    assert record(world).due_at == at("01-10 09:00")
    world.advance(120)
    world.sweep()
    assert starts(world) == [("tidy", "10 09:00")]
    assert record(world).due_at == at("01-10 10:00")


def test_an_id_that_somebody_else_has_used_does_not_stop_the_schedule(caplog: pytest.LogCaptureFixture) -> None:
    world = new_world()
    version = deploy(world)
    world.advance(30 * 60)
    world.sweep()
    (started,) = world.store.records(Invocation)
    world.clock.time = at("01-10 08:58")
    world.store.items.clear()
    projects.create(world.context, "shop")
    version = deploy(world)
    invocations.create(
        world.context, version, "tidy", invocation_id=started.invocation_id, input_text="[[1],{}]", parent=None
    )
    world.advance(120)
    world.sweep()
    assert record(world).due_at == at("01-10 10:00")
    assert f"{started.invocation_id} was created by another request" in caplog.text


QUARTERLY = Schedule("*/15 * * * *", "Europe/London")
VARIANTS = (HOURLY, QUARTERLY, None)
STEPS = st.one_of(
    st.tuples(st.just("pass"), st.integers(1, 7200)),
    st.tuples(st.just("sweep"), st.just(0)),
    st.tuples(st.sampled_from(["die before", "die after"]), st.integers(0, 1)),
    st.tuples(st.just("deploy"), st.integers(0, len(VARIANTS) - 1)),
)


@given(st.lists(STEPS, max_size=25))
def test_whatever_happens_each_time_fires_once_and_the_latest_one_does(steps: list[tuple[str, int]]) -> None:
    # The night in which London's clocks go back.
    world = new_world("10-24 22:10")
    schedule: Schedule | None = None
    since = world.clock.now()
    for step, number in steps:
        if step == "pass":
            world.advance(number)
        elif step == "deploy":
            if VARIANTS[number] != schedule:
                schedule, since = VARIANTS[number], world.clock.now()
            deploy(world, scheduled("tidy", schedule))
        else:
            if step != "sweep":
                doom(world, step.removeprefix("die "), number)
            with contextlib.suppress(Interrupted):
                schedules.fire_due(world.context, "shop")
            world.store.hooks_off()
    schedules.fire_due(world.context, "shop")
    now = world.clock.now()
    times = [int(i.invocation_id[4:16], 16) for i in world.store.records(Invocation)]
    assert len(set(times)) == len(times)
    latest = None if schedule is None else latest_run(schedule, now)
    if latest is not None and latest > since:
        assert latest.timestamp() * 1000 in times
    if schedule is not None:
        assert record(world).due_at == next_run(schedule, now)


# --- where the platform has a scheduler -------------------------------------------------------------------------------


def test_where_the_platform_has_a_scheduler_the_store_keeps_and_fires_nothing() -> None:
    world = new_world(fires=False)
    deploy(world)
    assert world.store.records(Schedules) == []
    world.advance(86_400)
    report = world.sweep()
    assert (report.fired, report.next_due) == (0, None)
    assert projects.request_deletion(world.context, "shop").deletion_requested_at is not None


@pytest.mark.usefixtures("no_time_zones")
def test_a_time_zone_that_the_firing_server_does_not_know_refuses_the_deploy() -> None:
    world = new_world()
    with pytest.raises(Refused, match=r"`functions\[1\].schedule.timezone` is 'Europe/London', but") as refused:
        deploy(world, function_spec("plain"), scheduled("report", NINE))
    assert refused.value.code is ErrorCode.REQUEST_IS_INVALID
    assert [v.project_name for v in world.store.records(Version)] == ["p"]


def test_an_invocation_that_a_schedule_started_is_like_any_other() -> None:
    world = new_world()
    deploy(world)
    world.advance(30 * 60)
    world.sweep()
    (started,) = world.store.records(Invocation)
    world.start(started.invocation_id)
    world.finish(started.invocation_id)
    stored = world.store.get(invocation_key(started.invocation_id))
    assert stored is not None
    assert stored.record.status == "SUCCEEDED"
