"""Task events from EventBridge: ours or somebody else's, good or broken."""

import json
from pathlib import Path
from typing import Any

import pytest

from multinode_control_plane.adapters.aws.ecs_events import TaskEvent, TaskEventConsumer, task_event
from multinode_control_plane.adapters.aws.task_exit import worker_of
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from tests.support.aws.records import EXECUTION_ID, INVOCATION_ID, TASK_ARN

SAMPLES = Path(__file__).parents[3] / "support" / "aws" / "task_events"
EXITED = TaskEvent(
    EXECUTION_ID, INVOCATION_ID, worker_of(TASK_ARN), ContainerExit(ExitKind.EXITED, "the container exited", 0)
)


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    return event


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
    with pytest.raises(ValueError, match="not an event about an ECS task"):
        task_event(broken)


def test_an_event_is_handled_as_often_as_it_comes() -> None:
    seen: list[TaskEvent] = []
    consumer = TaskEventConsumer(seen.append)
    for name in ("exited_0", "running", "exited_0"):
        consumer.consume(sample(name))
    assert seen == [EXITED, EXITED]


def test_a_failure_is_raised_so_that_lambda_tries_again() -> None:
    def fail(event: TaskEvent) -> None:
        raise RuntimeError("a planted failure")

    with pytest.raises(RuntimeError, match="planted"):
        TaskEventConsumer(fail).consume(sample("exited_0"))


def test_what_is_no_task_event_is_raised_and_so_becomes_a_dead_letter() -> None:
    seen: list[TaskEvent] = []
    with pytest.raises(ValueError, match="not an event about an ECS task"):
        TaskEventConsumer(seen.append).consume({"Records": []})
    assert seen == []
