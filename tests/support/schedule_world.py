"""A fake world whose functions have schedules."""

from dataclasses import replace
from datetime import UTC, datetime

from multinode_control_plane.core.keys import schedules_key
from multinode_control_plane.core.records import FunctionSpec, Invocation, Schedules, Version
from multinode_control_plane.services import projects
from multinode_control_plane.services.projects import VersionRequest
from multinode_protocol.schedules import Schedule
from tests.support.fakes import FakeClock
from tests.support.world import World, function_spec

HOURLY = Schedule(every_s=3600)
NINE = Schedule("0 9 * * *", "Europe/London")


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


def scheduled(name: str, schedule: Schedule | None) -> FunctionSpec:
    return replace(function_spec(name, max_concurrency=100), schedule=schedule)


def new_world(text: str = "01-10 08:30", *, fires: bool = True) -> World:
    """Return a deployment at that time in 2026, with a project ``shop`` that has no version."""
    world = World(clock=FakeClock(at(text)), fires_schedules=fires)
    projects.create(world.context, "shop")
    return world


def deploy(world: World, *specs: FunctionSpec, project: str = "shop") -> Version:
    request = VersionRequest("image", specs or (scheduled("tidy", HOURLY),), None, None)
    return projects.create_version(world.context, project, request)


def starts(world: World) -> list[tuple[str, str]]:
    """Return function and time of creation of each invocation, by both."""
    made = sorted((i.created_at, i.function_name) for i in world.store.records(Invocation))
    return [(name, f"{created_at:%d %H:%M}") for created_at, name in made]


def record(world: World) -> Schedules:
    stored = world.store.get(schedules_key("shop"))
    assert stored is not None
    return stored.record
