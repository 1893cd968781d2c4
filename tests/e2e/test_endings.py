"""How invocations end: after another attempt, too late, cancelled, with their container killed under them."""

from typing import Any

import pytest

from tests.e2e.world import World
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.requires("docker", "linux", "terraform"), pytest.mark.timeout(1800)]


def test_a_failing_function_is_tried_again_each_time_in_a_new_container(world: World, project: dict[str, Any]) -> None:
    invocation = world.ended(world.start("faults", "third_time_lucky", board=world.board.url, name="lucky"))

    assert (invocation["status"], invocation["result"]) == ("SUCCEEDED", "attempt 3 succeeded")
    assert [each["outcome"] for each in invocation["executions"]] == ["FAILED", "FAILED", "SUCCEEDED"]
    errors = [each["error"] for each in invocation["executions"]]
    assert errors == ["ValueError: attempt 1 failed", "ValueError: attempt 2 failed", None]
    assert len({each["worker"]["identifier"] for each in invocation["executions"]}) == 3


def test_a_function_that_takes_too_long_is_stopped_and_not_tried_again(world: World, project: dict[str, Any]) -> None:
    invocation = world.ended(world.start("faults", "too_slow"))

    (execution,) = invocation["executions"]
    assert (invocation["status"], execution["outcome"]) == ("TIMED_OUT", "ABORTED")
    assert execution["finish_time_ms"] - execution["start_time_ms"] >= 2_000  # its time-out; it sleeps for 600 s
    assert world.containers(execution) == []


def test_a_cancelled_invocation_takes_what_it_started_with_it(world: World, project: dict[str, Any]) -> None:
    parent = world.start("faults", "family", board=world.board.url, name="child", children=2)
    until(lambda: world.board.counts["child-began"] == 2, "both children to begin")

    world.multinode("cancel", parent)

    children = [each["invocation_id"] for each in world.json("list", "faults", "sleeper")["invocations"]]
    family = [world.ended(each) for each in [parent, *children]]
    assert [each["status"] for each in family] == ["CANCELLED"] * 3
    assert world.board.counts["child-cleaned-up"] == 2
    assert [world.containers(each["executions"][0]) for each in family] == [[], [], []]


def test_a_container_killed_under_its_function_is_replaced_by_another(world: World, project: dict[str, Any]) -> None:
    invocation_id = world.start("faults", "killed_once", board=world.board.url, name="killed")
    until(lambda: world.board.counts["killed"] == 1, "the first attempt")

    world.kill_container(invocation_id)
    world.board.open("killed-2")

    invocation = world.ended(invocation_id)
    assert (invocation["status"], invocation["result"]) == ("SUCCEEDED", "attempt 2 succeeded")
    killed, _ = invocation["executions"]
    assert killed["outcome"] == "FAILED"
    assert "SIGKILL" in killed["error"]
