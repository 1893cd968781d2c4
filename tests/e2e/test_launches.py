"""Containers that do not come to run: no image, no capacity, no answer."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.faults import answer_lost, no_capacity
from tests.e2e.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.requires("docker", "linux", "terraform"), pytest.mark.timeout(1800)]


def test_an_image_that_cannot_be_pulled_ends_with_the_platforms_reason(
    world: World, folder: Path, tmp_path: Path
) -> None:
    changed = shutil.copytree(folder, tmp_path / "project")
    (changed / "changed.txt").write_text("an image of its own")
    world.deploy(changed, "vanished")
    world.registry.delete("multinode-e2e", world.tag("vanished"))

    invocation = world.ended(world.start("vanished", "add", x=1, y=2))

    assert (invocation["status"], invocation["num_failed_attempts"]) == ("FAILED", 0)
    assert "unable to pull image" in invocation["error"]
    assert "manifest unknown" in invocation["error"]


def test_a_launch_refused_for_capacity_is_tried_again_as_a_new_one(world: World, project: dict[str, Any]) -> None:
    world.launches.fail("add", no_capacity)

    with world.sweeping():
        invocation = world.ended(world.start("faults", "add", x=20, y=22))

    assert (invocation["status"], invocation["result"]) == ("SUCCEEDED", 42)
    assert (invocation["num_failed_launches"], invocation["num_failed_attempts"]) == (1, 0)
    # ECS answers a token that it knows with its first answer, which was the refusal.
    assert len({launch["clientToken"] for launch in world.launches.of(invocation["invocation_id"])}) == 2


def test_a_launch_whose_answer_was_lost_starts_one_container(world: World, project: dict[str, Any]) -> None:
    world.launches.fail("add", answer_lost)

    invocation = world.ended(world.start("faults", "add", x=20, y=22))

    (execution,) = invocation["executions"]
    lost, *repeated = world.launches.of(invocation["invocation_id"])
    assert repeated == [lost] * max(1, len(repeated))
    assert world.tasks(execution["execution_id"]) == [execution["worker"]["identifier"]]
    assert invocation["result"] == 42
