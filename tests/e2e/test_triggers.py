"""Invocations that nobody asks for by hand: a schedule or a user's own event starts them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World
from tests.support.waiting import until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.requires("docker", "linux", "terraform"),
    pytest.mark.timeout(1800),
]


def invocations(world: World, function_name: str) -> list[str]:
    """Return the ids of a function's invocations, newest first."""
    return [each["invocation_id"] for each in world.json("list", "faults", function_name)["invocations"]]


def test_a_function_with_a_schedule_is_started_by_it(world: World, project: dict[str, Any]) -> None:
    def started() -> list[str]:
        return invocations(world, "by_itself")

    invocation = world.ended(until(started, "its schedule to start it")[-1])

    assert (invocation["status"], invocation["result"]) == ("SUCCEEDED", "nobody asked")


def test_an_event_of_the_users_own_starts_a_function_with_arguments_from_it(
    world: World, project: dict[str, Any]
) -> None:
    known = invocations(world, "add")
    detail = {"items": [{"price": 1}, {"price": 40}]}
    entry = {"Source": "shop", "DetailType": "Ordered", "Detail": json.dumps(detail)}

    with world.installation.beside(Path(__file__).with_name("trigger"), {"deployment": "trigger"}):
        world.client("events").put_events(Entries=[entry])
        (started,) = until(lambda: set(invocations(world, "add")) - set(known), "the event to start it")
        invocation = world.ended(started)

    _, arguments = invocation["input"]
    assert (invocation["status"], arguments, invocation["result"]) == ("SUCCEEDED", {"x": 40, "y": 2}, 42)
