"""Task events from EventBridge: bare or from the queue, ours or somebody else's, good or broken."""

import json
from pathlib import Path
from typing import Any

import pytest

from multinode_control_plane.adapters.aws.ecs_events import TaskEvent, TaskEventConsumer, task_event
from multinode_control_plane.core.endings import ContainerExit, ExitKind
from multinode_control_plane.core.task_exit import worker_of
from tests.aws.samples import EXECUTION_ID, INVOCATION_ID, TASK_ARN

SAMPLES = Path(__file__).parent / "samples"
EXITED = TaskEvent(
    EXECUTION_ID, INVOCATION_ID, worker_of(TASK_ARN), ContainerExit(ExitKind.EXITED, "the container exited", 0)
)


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    return event


def queued(*bodies: str) -> dict[str, Any]:
    """Return the event that Lambda makes of messages of the queue."""
    return {"Records": [{"messageId": f"m{number}", "body": body} for number, body in enumerate(bodies)]}


def test_the_end_of_a_container_is_found_to_belong_to_its_execution() -> None:
    assert task_event(sample("exited_0")) == EXITED


@pytest.mark.parametrize("name", ["running", "running_with_injected_sidecar", "spot_notice", "provisioning"])
def test_a_container_that_has_not_ended_is_passed_over(name: str) -> None:
    assert task_event(sample(name)) is None


@pytest.mark.parametrize("name", ["of_a_service", "started_by_hand"])
def test_what_becomes_of_somebody_elses_task_is_passed_over(name: str) -> None:
    event = sample(name)
    event["detail"]["lastStatus"] = "STOPPED"
    assert task_event(event) is None


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"detail-type": "ECS Task State Change"},
        {"detail-type": "ECS Task State Change", "detail": []},
        {"detail-type": "ECS Task State Change", "detail": {}},
        {"detail-type": "EC2 Instance State-change Notification", "detail": {"taskArn": "x"}},
    ],
)
def test_what_is_no_task_event_is_an_error(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no event of an ECS task"):
        task_event(broken)


def test_the_messages_of_a_batch_are_handled_one_by_one() -> None:
    seen: list[TaskEvent] = []
    batch = queued(*(json.dumps(sample(name)) for name in ("exited_0", "of_a_service", "exited_0")))
    assert TaskEventConsumer(seen.append).consume(batch) == {"batchItemFailures": []}
    assert seen == [EXITED, EXITED]


def test_only_the_messages_that_failed_come_again() -> None:
    seen: list[TaskEvent] = []

    def handle(event: TaskEvent) -> None:
        seen.append(event)
        raise RuntimeError("a planted failure")

    batch = queued(
        "not JSON", json.dumps(sample("exited_0")), json.dumps(sample("running")), '{"detail-type": 1}', "[]"
    )
    failed = [{"itemIdentifier": message} for message in ("m0", "m1", "m3", "m4")]
    assert TaskEventConsumer(handle).consume(batch) == {"batchItemFailures": failed}
    assert seen == [EXITED]


def test_an_event_that_comes_straight_from_eventbridge_is_handled_too() -> None:
    seen: list[TaskEvent] = []
    assert TaskEventConsumer(seen.append).consume(sample("exited_0")) == {"batchItemFailures": []}
    assert seen == [EXITED]


def test_a_failure_on_a_bare_event_is_raised_so_that_lambda_tries_again() -> None:
    def fail(event: TaskEvent) -> None:
        raise RuntimeError("a planted failure")

    with pytest.raises(RuntimeError, match="planted"):
        TaskEventConsumer(fail).consume(sample("exited_0"))
