"""What everything else rests on: installed, logged in, deployed, run in containers, answered."""

import json
from typing import Any

import pytest

from tests.e2e.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.requires("docker", "linux", "terraform"), pytest.mark.timeout(1800)]


def test_a_login_from_aws_finds_the_deployment_that_terraform_made(world: World) -> None:
    who = world.json("whoami")

    assert (who["api_url"], who["backend"]) == (world.front.api_url, "ecs")


def test_a_versions_image_is_in_the_registry_under_the_digest_that_runs(world: World, tsp: dict[str, Any]) -> None:
    family = f"{world.deployment['task_family_prefix']}tsp"
    newest = world.client("ecs").describe_task_definition(taskDefinition=family)["taskDefinition"]
    (container,) = newest["containerDefinitions"]

    digest = world.registry.digest("multinode-e2e", world.tag("tsp"))
    assert container["image"] == f"{world.repository}@{digest}"


def test_a_program_starts_a_deployed_function_and_gets_its_result(world: World, project: dict[str, Any]) -> None:
    program = (
        "from multinode import get_deployed_function\n"
        "add = get_deployed_function('faults', 'add')\n"
        "print([add.await_result(each) for each in [add.start(20, 22), add.start(x=1, y=2)]])\n"
    )

    assert world.python(program) == "[42, 3]\n"


def test_the_example_solves_its_problem_with_subtasks_in_containers_of_their_own(
    world: World, tsp: dict[str, Any]
) -> None:
    arguments = json.dumps({"rounds": 2, "workers": 3, "steps": 20_000, "seed": 1})
    told = world.multinode("invoke", "tsp", "solve", "--args", arguments, "--follow", "--json")

    events = [json.loads(line) for line in told.splitlines()]
    invocations = [event["invocation"] for event in events if event["event"] == "invocation"]
    progress = {json.dumps(each["progress"]["round"]) for each in invocations if each["progress"]}
    last = invocations[-1]
    assert last["status"] == "SUCCEEDED"
    assert sorted(last["result"]["route"]) == list(range(1, 53))
    assert last["result"]["length"] < 12_000  # a random route is about 30,000 long, the shortest one 7542
    assert progress in ({"2"}, {"1", "2"})  # the first may be passed over
    subtasks = world.json("list", "tsp", "anneal")["invocations"]
    assert len(subtasks) == 6  # 2 rounds of 3 workers
    assert {each["parent"]["invocation_id"] for each in subtasks} == {last["invocation_id"]}
    workers = {world.get(each["invocation_id"])["executions"][0]["worker"]["identifier"] for each in subtasks}
    assert len(workers) == 6
