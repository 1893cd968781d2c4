"""Events on their way in and out: lost, brought twice, in the wrong order; and announced to whoever wants to know."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from tests.e2e.relay import Event
from tests.e2e.world import World
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.requires("docker", "linux", "terraform"), pytest.mark.timeout(1800)]


def tried_again(world: World, name: str) -> str:
    """Return an invocation whose first attempt has lost its container, and whose second waits for the gate `name`-2."""
    invocation_id = world.start("faults", "killed_once", board=world.board.url, name=name)
    until(lambda: world.board.counts[name] == 1, "the first attempt")
    world.kill_container(invocation_id)
    until(lambda: world.board.counts[name] == 2, "the second attempt")
    return invocation_id


def test_the_sweep_finds_a_dead_container_of_which_no_event_told(world: World, project: dict[str, Any]) -> None:
    with world.relay.delivering(lambda events: []):
        # That its first container has died is found by the sweep that the schedule calls.
        invocation_id = tried_again(world, "untold")
        world.board.open("untold-2")
        with world.sweeping():
            invocation = world.ended(invocation_id)

        assert (invocation["status"], invocation["result"]) == ("SUCCEEDED", "attempt 2 succeeded")
        told = [world.relay.delivered_of(each["execution_id"]) for each in invocation["executions"]]
        assert told == [[], []]


def test_an_event_that_comes_three_times_counts_once(world: World, project: dict[str, Any]) -> None:
    with world.relay.delivering(lambda events: [event for event in events for _ in range(3)]):
        invocation_id = tried_again(world, "thrice")
        world.board.open("thrice-2")
        invocation = world.ended(invocation_id)

        for execution in invocation["executions"]:
            told = partial(world.relay.delivered_of, execution["execution_id"])
            until(lambda told=told: told() == ["STOPPED"] * 3, "its events")  # type: ignore[misc]
    assert (invocation["result"], world.board.counts["thrice"]) == ("attempt 2 succeeded", 2)
    until(lambda: world.handled_events() >= len(world.relay.delivered), "all events to be handled")
    assert world.get(invocation["invocation_id"]) == invocation


def test_an_event_that_comes_when_the_next_attempt_has_begun_does_not_touch_it(
    world: World, project: dict[str, Any]
) -> None:
    with world.relay.delivering(held_until(lambda: world.board.counts["late"] == 2)), world.sweeping():
        # The sweep finds that the first container has died, before the event tells.
        invocation_id = tried_again(world, "late")
        first, second = [each["execution_id"] for each in world.get(invocation_id)["executions"]]
        until(lambda: world.relay.delivered_of(first), "the late event")
        until(lambda: world.handled_events() >= len(world.relay.delivered), "it to be handled")
        assert world.get(invocation_id)["status"] == "RUNNING"

        world.board.open("late-2")
        invocation = world.ended(invocation_id)
        until(lambda: world.relay.delivered_of(second), "the last event")
    assert [world.relay.delivered_of(each) for each in (first, second)] == [["STOPPED"], ["STOPPED"]]
    assert (invocation["result"], world.board.counts["late"]) == ("attempt 2 succeeded", 2)


def held_until(ready: Callable[[], bool]) -> Callable[[Sequence[Event]], Sequence[Event]]:
    """Return a delivery that holds all events back until `ready`, then brings the last one first."""
    held: list[Event] = []

    def delivery(events: Sequence[Event]) -> Sequence[Event]:
        held.extend(events)
        if not ready():
            return []
        delivered = held[::-1]
        held.clear()
        return delivered

    return delivery


def test_an_event_that_cannot_be_handled_becomes_a_dead_letter(world: World, project: dict[str, Any]) -> None:
    lambdas, sqs = world.client("lambda"), world.client("sqs")
    event = {"detail-type": "Something else"}
    lambdas.invoke(FunctionName="multinode-e2e-task-events", InvocationType="Event", Payload=json.dumps(event))

    queue = world.installation.output("dead_letter_queue_url")
    (message,) = until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"), "the letter")
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    letter = json.loads(message["Body"])
    assert letter["requestPayload"] == event
    assert "not an event about an ECS task" in letter["responsePayload"]["errorMessage"]


def test_a_rule_of_the_users_own_receives_the_announcements(world: World, project: dict[str, Any]) -> None:
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

        until(lambda: len(set(statuses(invocation_id))) == 3, "the announcements")
        assert list(dict.fromkeys(statuses(invocation_id))) == ["PENDING", "RUNNING", "SUCCEEDED"]
    finally:
        events.remove_targets(Rule="users-own", Ids=["queue"])
        events.delete_rule(Name="users-own")
        sqs.delete_queue(QueueUrl=queue)
