"""Events on their way in and out: lost, brought twice, in the wrong order; and announced to whoever wants to know."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.e2e.processes import until
from tests.e2e.relay import Event
from tests.e2e.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.requires("docker", "linux", "terraform"), pytest.mark.timeout(600)]


def tried_again(world: World, name: str) -> str:
    """Return the invocation of a function whose first attempt has lost its container, and whose second has begun."""
    invocation_id = world.start("faults", "killed_once", board=world.board.url, name=name)
    until(lambda: world.board.counts[name] == 1, "the first attempt", timeout_s=120)
    world.kill_container(invocation_id)
    until(lambda: world.board.counts[name] == 2, "the second attempt", timeout_s=180)
    return invocation_id


def test_the_sweep_finds_a_dead_container_of_which_no_event_told(world: World, project: dict[str, Any]):
    with world.relay.delivering(lambda events: []):
        # That its first container has died is found by the sweep that the schedule calls.
        invocation_id = tried_again(world, "untold")
        with world.sweeping():
            invocation = world.ended(invocation_id)

        assert (invocation["status"], invocation["result"]) == ("SUCCEEDED", "attempt 2 succeeded")
        told = [world.relay.delivered_of(each["execution_id"]) for each in invocation["executions"]]
        assert told == [[], []]


def test_an_event_that_comes_three_times_counts_once(world: World, project: dict[str, Any]):
    with world.relay.delivering(lambda events: [event for event in events for _ in range(3)]):
        invocation = world.ended(tried_again(world, "thrice"))

        first, second = [each["execution_id"] for each in invocation["executions"]]
        assert world.relay.delivered_of(first).count("STOPPED") == 3
        until(lambda: world.relay.delivered_of(second).count("STOPPED") == 3, "the last events")
    assert (invocation["result"], world.board.counts["thrice"]) == ("attempt 2 succeeded", 2)
    until(lambda: world.letters("multinode-e2e-task-events") == 0, "all events to be handled")
    assert world.get(invocation["invocation_id"]) == invocation


def test_events_in_the_wrong_order_come_to_the_same(world: World, project: dict[str, Any]):
    with world.relay.delivering(newest_first()):
        invocation = world.ended(tried_again(world, "backwards"))

        first, _ = [each["execution_id"] for each in invocation["executions"]]
        assert world.relay.delivered_of(first) == ["STOPPED", "RUNNING"]
    assert (invocation["result"], world.board.counts["backwards"]) == ("attempt 2 succeeded", 2)


def newest_first() -> Callable[[Sequence[Event]], Sequence[Event]]:
    """Return a delivery that holds events back until a task has stopped, then brings the last one first."""
    held: list[Event] = []

    def delivery(events: Sequence[Event]) -> Sequence[Event]:
        held.extend(events)
        if not any(event["detail"]["lastStatus"] == "STOPPED" for event in events):
            return []
        delivered = held[::-1]
        held.clear()
        return delivered

    return delivery


def test_a_rule_of_the_users_own_receives_the_announcements(world: World, project: dict[str, Any]):
    events, sqs = world.client("events"), world.client("sqs")
    queue = sqs.create_queue(QueueName="users-own")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["multinode"], "detail": {"project_name": ["faults"], "function_name": ["add"]}}
    events.put_rule(Name="users-own", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="users-own", Targets=[{"Id": "queue", "Arn": arn}])
    received: list[dict[str, Any]] = []

    def statuses(invocation_id: str) -> list[str]:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        received.extend(json.loads(message["Body"])["detail"] for message in answer.get("Messages", []))
        mine = [detail for detail in received if detail["invocation_id"] == invocation_id]
        return [detail["status"] for detail in sorted(mine, key=lambda detail: detail["time_ms"])]

    try:
        invocation_id = world.start("faults", "add", x=1, y=2)
        world.ended(invocation_id)

        until(lambda: "SUCCEEDED" in statuses(invocation_id), "the last announcement")
        assert list(dict.fromkeys(statuses(invocation_id))) == ["PENDING", "RUNNING", "SUCCEEDED"]
    finally:
        events.remove_targets(Rule="users-own", Ids=["queue"])
        events.delete_rule(Name="users-own")
        sqs.delete_queue(QueueUrl=queue)
