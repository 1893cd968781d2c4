"""Functions that run by their schedules: each time once, whatever is deployed or deleted."""

from multinode_control_plane.core.keys import project_key
from multinode_control_plane.core.records import Invocation, Schedules, Version
from multinode_control_plane.services import projects, schedules
from multinode_control_plane.services.drain import drain
from multinode_protocol.schedules import Schedule
from tests.support.schedule_world import HOURLY, NINE, at, deploy, new_world, record, scheduled, starts
from tests.support.world import function_spec


def test_only_the_newest_version_s_schedules_fire() -> None:
    world = new_world()
    deploy(world, scheduled("tidy", HOURLY), scheduled("gone", HOURLY))
    newer = deploy(world, scheduled("tidy", NINE), scheduled("added", Schedule("15 9 * * *")))
    world.advance(60 * 60)
    assert world.sweep().fired == 2
    assert {(i.function_name, i.version_id) for i in world.store.records(Invocation)} == {
        ("tidy", newer.version_id),
        ("added", newer.version_id),
    }


def test_a_version_without_schedules_stops_those_of_the_one_before() -> None:
    world = new_world()
    deploy(world)
    deploy(world, function_spec("tidy"))
    world.advance(86_400)
    report = world.sweep()
    assert (report.fired, report.next_due) == (0, None)
    assert starts(world) == []


def test_a_deploy_does_not_lose_the_run_that_is_just_due() -> None:
    world = new_world()
    deploy(world)
    world.advance(30 * 60 + 1)  # due, and not swept yet
    newer = deploy(world)
    assert world.sweep().fired == 1
    (started,) = world.store.records(Invocation)
    assert started.version_id == newer.version_id


def test_a_schedule_that_has_changed_counts_from_its_deploy() -> None:
    world = new_world()
    deploy(world)
    world.advance(30 * 60 + 1)
    deploy(world, scheduled("tidy", NINE))  # its nine o'clock was a second ago
    assert (world.sweep().fired, record(world).due_at) == (0, at("01-11 09:00"))


def test_of_two_deploys_at_once_the_newer_version_has_the_last_word() -> None:
    world = new_world()
    newer: list[Version] = []
    # The older one has drawn its id when the newer one is registered, and draws a lower one again.
    world.ids.planned = [f"ver-{number:032x}" for number in (0, 9, 1)]
    world.store.before("commit", lambda _: newer.append(deploy(world, function_spec("plain"))))
    older = deploy(world)
    assert older.version_id < newer[0].version_id
    assert record(world) == Schedules("shop", newer[0].version_id, ())
    assert len(world.store.records(Version)) == 3  # that of the fake world's own project too


def test_a_deploy_between_reading_and_firing_takes_the_run_over() -> None:
    world = new_world()
    deploy(world, scheduled("tidy", HOURLY), scheduled("gone", HOURLY))
    world.advance(30 * 60)
    newer: list[Version] = []
    world.store.before("commit", lambda _: newer.append(deploy(world)))
    assert schedules.fire_due(world.context, "shop") == 1
    (started,) = world.store.records(Invocation)
    assert (started.function_name, started.version_id) == ("tidy", newer[0].version_id)


def test_two_sweeps_at_once_start_each_run_once() -> None:
    world = new_world()
    deploy(world, scheduled("tidy", HOURLY), scheduled("report", NINE))
    world.advance(30 * 60)
    other: list[int] = []
    world.store.before("commit", lambda _: other.append(schedules.fire_due(world.context, "shop")))
    schedules.fire_due(world.context, "shop")
    assert other == [2]
    assert starts(world) == [("report", "10 09:00"), ("tidy", "10 09:00")]


def test_a_project_that_is_being_deleted_fires_nothing_and_leaves_nothing() -> None:
    world = new_world()
    deploy(world)
    world.advance(30 * 60)
    projects.request_deletion(world.context, "shop")
    assert world.sweep().fired == 0
    while not drain(world.context, world.compute, world.logs, "shop"):
        world.react()
    assert {place for place, _ in world.store.items} == {project_key("p").partition}


def test_a_deletion_between_reading_and_firing_stops_the_run() -> None:
    world = new_world()
    deploy(world)
    world.advance(30 * 60)
    world.store.before("commit", lambda _: projects.request_deletion(world.context, "shop"))
    assert schedules.fire_due(world.context, "shop") == 0
    assert starts(world) == []


def test_a_schedule_whose_version_is_gone_is_reported() -> None:
    world = new_world()
    version = deploy(world)
    world.advance(30 * 60)
    del world.store.items["PROJECT#shop", f"VERSION#{version.version_id}"]
    assert world.sweep().failed == 1
