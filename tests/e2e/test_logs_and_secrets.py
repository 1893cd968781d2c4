"""What a container is told and must not show, and what it says."""

import json
import subprocess
from typing import Any

import pytest

from tests.e2e.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.requires("docker", "linux", "terraform"), pytest.mark.timeout(1800)]


def test_a_value_of_the_env_file_is_in_the_container_and_nowhere_on_the_way(
    world: World, project: dict[str, Any], secret: str
) -> None:
    invocation = world.ended(world.start("faults", "variable", name="E2E_SECRET"))

    assert invocation["result"] == secret
    launch, *repeated = world.launches.of(invocation["invocation_id"])
    assert secret not in json.dumps([launch, *repeated])
    definition = world.client("ecs").describe_task_definition(taskDefinition=launch["taskDefinition"])
    (container,) = definition["taskDefinition"]["containerDefinitions"]
    assert [each["name"] for each in container["secrets"]] == ["E2E_SECRET"]
    assert secret not in json.dumps(container)


def test_no_layer_of_the_image_holds_a_value_of_the_env_file(
    world: World, project: dict[str, Any], secret: str
) -> None:
    image = f"{world.repository}@{world.registry.digest('multinode-e2e', world.tag('faults'))}"
    world.ended(world.start("faults", "add", x=1, y=2))  # its launch has pulled the image

    found = found_in_image(image, [secret.encode(), b"third_time_lucky"])

    assert found == [b"third_time_lucky"]  # which stands in main.py


def found_in_image(image: str, wanted: list[bytes]) -> list[bytes]:
    """Return which of the texts stand in an image: in its configuration, or in a file of one of its layers."""
    longest = max(len(text) for text in wanted)
    found: set[bytes] = set()
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        rest = b""
        while chunk := saving.stdout.read(1 << 20):
            found.update(text for text in wanted if text in rest + chunk)
            rest = chunk[-longest:]
    assert saving.returncode == 0
    return [text for text in wanted if text in found]


def test_logs_are_followed_live_until_the_invocation_ends(world: World, project: dict[str, Any]) -> None:
    invocation_id = world.start("faults", "talkative", board=world.board.url, name="talk")
    with world.following("logs", "-f", invocation_id) as following:
        assert following.stdout is not None
        first = following.stdout.readline()
        assert first == "before the gate\n"
        assert world.get(invocation_id)["status"] == "RUNNING"

        world.board.open("talk")
        rest = following.stdout.read()

    assert (rest, following.returncode) == ("after the gate\n", 0)
    assert world.ended(invocation_id)["result"] == "done"
