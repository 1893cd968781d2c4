"""The trigger's Lambda function as EventBridge calls it: an event becomes a container, once."""

from collections.abc import Iterator
from typing import Any

import pytest

from multinode_control_plane.adapters.aws.trigger_events import EventIsInvalid
from multinode_control_plane.handlers import trigger
from multinode_control_plane.services.triggers import NotStarted
from tests.support.aws.walk import Walk, walking

pytestmark = pytest.mark.slow

SCHEDULE = "arn:aws:scheduler:eu-west-1:123456789012:schedule/multinode-walk/shop.price"
TIME = "2026-11-20T09:00:00Z"


@pytest.fixture
def walk() -> Iterator[Walk]:
    cached: Any = trigger._trigger
    cached.cache_clear()
    with walking() as walked:
        yield walked
    cached.cache_clear()


def event(**multinode: object) -> dict[str, Any]:
    request = {"project_name": "shop", "version_id": "latest", "function_name": "price"} | multinode
    return {"multinode": request, "source": SCHEDULE, "event": {"id": TIME, "time": TIME}}


def test_an_event_starts_one_container_however_often_it_is_brought(walk: Walk) -> None:
    first = trigger.handler(event(fixed_arguments={"x": 7}), None)
    assert trigger.handler(event(fixed_arguments={"x": 7}), None) == first
    assert first["version_id"] == "ver-1"
    walk.settle()
    (task,) = walk.tasks()
    assert walk.slots() == {task["startedBy"]: first["invocation_id"]}
    assert walk.get(first["invocation_id"]).input_text == '[[],{"x":7}]'


def test_what_cannot_be_started_is_raised_so_that_lambda_keeps_the_event(walk: Walk) -> None:
    with pytest.raises(NotStarted, match=r"^shop/cost \(version latest\) was not started as inv-"):
        trigger.handler(event(function_name="cost"), None)
    with pytest.raises(EventIsInvalid, match=r"arguments_from_event\.key is \$\.detail\.key, but the event has no"):
        trigger.handler(event(arguments_from_event={"key": "$.detail.key"}), None)
    walk.settle()
    assert walk.tasks() == []
