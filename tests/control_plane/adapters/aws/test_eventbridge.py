"""Announcements on the event bus: their form, and that none is lost when EventBridge refuses some."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.eventbridge import AnnouncementFailed, EventBridgePublisher
from multinode_control_plane.core.records import ParentRef
from multinode_control_plane.ports import Announcement
from multinode_protocol.status import InvocationStatus
from tests.support.aws.records import INVOCATION_ID, NOW, execution, invocation

# NOW is 2026-11-20T09:00:00Z.
NOW_MS = 1795165200000
CREATED = Announcement(invocation(), None, NOW)
FAILED = Announcement(
    invocation(
        status=InvocationStatus.FAILED,
        status_reason="ValueError: no",
        last_failure="ValueError: no",
        parent=ParentRef("coordinate", "inv-parent"),
        executions=(execution(started_at=NOW), execution(started_at=NOW)),
        finished_at=NOW + timedelta(seconds=90),
    ),
    InvocationStatus.RUNNING,
    NOW + timedelta(milliseconds=90_250),
)


@pytest.fixture
def stub(clients: Clients) -> Iterator[Stubber]:
    with Stubber(clients.events) as stubbed:
        yield stubbed
        stubbed.assert_no_pending_responses()


@pytest.fixture
def event_publisher(clients: Clients, sleep: Callable[[float], None]) -> EventBridgePublisher:
    return EventBridgePublisher(clients, "shop-events", "main", sleep=sleep)


def answer(stub: Stubber, *codes: str, entries: Any = ANY) -> None:
    results = [{"ErrorCode": code} if code else {"EventId": "e"} for code in codes]
    response = {"FailedEntryCount": sum(1 for code in codes if code), "Entries": results}
    stub.add_response("put_events", response, {"Entries": entries})


def test_a_new_invocation_is_announced_with_all_its_ids(event_publisher: EventBridgePublisher, stub: Stubber) -> None:
    detail = {
        "deployment": "main",
        "project_name": "tsp",
        "version_id": "ver-1",
        "function_name": "solve",
        "invocation_id": INVOCATION_ID,
        "parent_invocation": None,
        "status": "PENDING",
        "previous_status": None,
        "status_reason": "waiting for a free slot",
        "finished": False,
        "attempts": 0,
        "error": None,
        "time_ms": NOW_MS,
        "creation_time_ms": NOW_MS,
        "finish_time_ms": None,
    }
    entry = {
        "EventBusName": "shop-events",
        "Source": "multinode",
        "DetailType": "Multinode Invocation State Change",
        "Time": NOW,
        "Detail": json.dumps(detail, separators=(",", ":")),
    }
    answer(stub, "", entries=[entry])
    event_publisher.publish([CREATED])
    stub.assert_no_pending_responses()
    assert json.loads(str(entry["Detail"]))["invocation_id"] == INVOCATION_ID


def test_an_end_is_announced_with_its_error_and_its_parent(
    event_publisher: EventBridgePublisher, clients: Clients
) -> None:
    sent: list[Any] = []
    clients.events.create_event_bus(Name="shop-events")
    clients.events.meta.events.register_first(
        "provide-client-params.eventbridge.PutEvents", lambda params, **_: sent.extend(params["Entries"])
    )
    event_publisher.publish([FAILED])
    detail = json.loads(sent[0]["Detail"])
    assert detail["parent_invocation"] == {"function_name": "coordinate", "invocation_id": "inv-parent"}
    assert (detail["status"], detail["previous_status"], detail["finished"]) == ("FAILED", "RUNNING", True)
    assert (detail["error"], detail["attempts"]) == ("ValueError: no", 2)
    assert (detail["time_ms"], detail["finish_time_ms"]) == (NOW_MS + 90_250, NOW_MS + 90_000)


def test_only_the_events_that_were_refused_are_sent_again(
    event_publisher: EventBridgePublisher, stub: Stubber, pauses: list[float]
) -> None:
    second = replace(CREATED, invocation=invocation(invocation_id="inv-2"))
    answer(stub, "", "ThrottlingException")
    answer(stub, "", entries=[ANY])
    event_publisher.publish([CREATED, second])
    stub.assert_no_pending_responses()
    assert len(pauses) == 1


def test_events_that_stay_refused_are_an_error(
    event_publisher: EventBridgePublisher, stub: Stubber, pauses: list[float]
) -> None:
    for _ in range(5):
        answer(stub, "InternalFailure")
    with pytest.raises(AnnouncementFailed, match="shop-events refused 1 events: InternalFailure"):
        event_publisher.publish([CREATED])
    assert len(pauses) == 4


def test_ten_events_go_into_one_request(event_publisher: EventBridgePublisher, stub: Stubber) -> None:
    for size in (10, 10, 5):
        answer(stub, *[""] * size, entries=[ANY] * size)
    event_publisher.publish([CREATED] * 25)
    assert stub.assert_no_pending_responses() is None  # type: ignore[func-returns-value]


def test_nothing_is_sent_when_there_is_nothing_to_say(event_publisher: EventBridgePublisher, stub: Stubber) -> None:
    assert event_publisher.publish([]) is None  # type: ignore[func-returns-value]
