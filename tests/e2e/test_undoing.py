"""The end of it all, so the last of these modules by name: what is undone leaves nothing behind."""

from typing import Any

import pytest

from tests.e2e.leftovers import records
from tests.e2e.world import World
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.requires("docker", "linux", "terraform"), pytest.mark.timeout(1800)]


def test_nothing_that_happened_so_far_became_a_dead_letter(world: World, project: dict[str, Any]) -> None:
    world.ended(world.start("faults", "add", x=1, y=2))

    assert world.letters("multinode-e2e-dead-letters") == []


def test_undeploying_a_project_leaves_nothing_of_it_and_all_of_the_others(
    world: World, project: dict[str, Any], tsp: dict[str, Any]
) -> None:
    running = world.start("faults", "sleeper", board=world.board.url, name="undeployed")
    until(lambda: world.board.counts["undeployed-began"] == 1, "it to run")
    execution = world.execution(running)
    before = world.traces("faults")
    others = world.traces("tsp")
    assert all(before.values()), before

    with world.sweeping():
        world.multinode("undeploy", "faults", "--yes")

    assert world.containers(execution) == []
    assert world.board.counts["undeployed-cleaned-up"] == 1
    assert world.traces("faults") == {kind: [] for kind in before}
    assert world.traces("tsp") == others


def test_terraform_destroy_leaves_nothing_behind(world: World, tsp: dict[str, Any]) -> None:
    projects = [each["project_name"] for each in world.json("list")["projects"]]
    with world.sweeping():
        undeploying = [world.following("undeploy", name, "--yes") for name in projects]
        for each in undeploying:
            each.communicate(timeout=900)
    assert [each.returncode for each in undeploying] == [0 for _ in projects]
    assert records(world.client, world.deployment) == []
    assert world.census() != world.census_before

    world.relay.stop()
    world.installation.destroy()

    assert world.installation.resources() == []
    assert world.census() == world.census_before
