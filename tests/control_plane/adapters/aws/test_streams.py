"""The table's stream to the reactor: in order per invocation, at the same time across them, and nothing skipped."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.dynamodb import DynamoStore
from multinode_control_plane.adapters.aws.dynamodb_items import item_of
from multinode_control_plane.adapters.aws.streams import StreamConsumer, change_of
from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.records import Invocation, Payload, Record
from multinode_control_plane.ports import ABSENT, Change, Delete, Put
from tests.control_plane.adapters.aws.conftest import TABLE
from tests.support.aws.emulators import streams_client
from tests.support.aws.records import INVOCATION_ID, invocation
from tests.support.aws.table import StreamReader

WAIT_S = 20


def record(number: int, new: Record | None, old: Record | None = None) -> dict[str, Any]:
    """Return the stream record of a write, in the form of Lambda's events."""
    images = {
        name: item_of(image, version=1, operation="o", retention=None)
        for name, image in (("OldImage", old), ("NewImage", new))
        if image is not None
    }
    (some_image, *_) = images.values()
    keys = {name: some_image[name] for name in ("partition", "sort")}
    return {"dynamodb": {"Keys": keys, "SequenceNumber": f"{number:03d}", **images}}


def step(invocation_id: str, reason: str) -> Invocation:
    return invocation(invocation_id=invocation_id, status_reason=reason)


class Reactions:
    """Keeps what it is given, and fails where told to."""

    def __init__(self, failing: Callable[[Change], bool] = lambda change: False) -> None:
        self.seen: list[tuple[str, str]] = []
        self._failing = failing

    def __call__(self, change: Change) -> None:
        assert change.new is not None
        self.seen.append((change.new.invocation_id, change.new.status_reason))
        if self._failing(change):
            raise RuntimeError("a planted failure")


def test_every_change_of_a_batch_is_given_in_order_per_invocation() -> None:
    reactions = Reactions()
    batch = [record(n, step(f"inv-{n % 3}", f"step {n}")) for n in range(30)]
    assert StreamConsumer(reactions).consume({"Records": batch}) == {"batchItemFailures": []}
    for which in range(3):
        reasons = [reason for invocation_id, reason in reactions.seen if invocation_id == f"inv-{which}"]
        assert reasons == [f"step {n}" for n in range(which, 30, 3)]


def test_changes_of_different_invocations_are_handled_at_the_same_time() -> None:
    # Each waits until all sixteen are there: one after the other they would wait for ever.
    together = threading.Barrier(16)

    def meet(_change: Change) -> None:
        together.wait(WAIT_S)

    consumer = StreamConsumer(meet, threads=16)
    batch = [record(n, step(f"inv-{n}", "")) for n in range(16)]
    assert consumer.consume({"Records": batch}) == {"batchItemFailures": []}


def test_a_failure_brings_the_batch_again_from_that_record_on() -> None:
    reactions = Reactions(lambda change: change.new is not None and change.new.status_reason == "step 4")
    batch = [record(n, step(f"inv-{n % 3}", f"step {n}")) for n in range(9)]
    assert StreamConsumer(reactions).consume({"Records": batch}) == {"batchItemFailures": [{"itemIdentifier": "004"}]}
    # Step 7 is of the same invocation as step 4 and must wait for it; the others were done already.
    assert ("inv-1", "step 7") not in reactions.seen
    assert {("inv-0", "step 6"), ("inv-2", "step 8")} <= set(reactions.seen)


def test_the_earliest_of_several_failures_is_named() -> None:
    reactions = Reactions(lambda change: change.new is not None and change.new.invocation_id in ("inv-1", "inv-2"))
    batch = [record(n, step(f"inv-{3 - n}", "")) for n in range(4)]
    # Records 0 to 3 are of inv-3, inv-2, inv-1, inv-0.
    assert StreamConsumer(reactions).consume({"Records": batch}) == {"batchItemFailures": [{"itemIdentifier": "001"}]}


def test_a_record_that_cannot_be_read_fails_alone() -> None:
    reactions = Reactions()
    broken = record(0, step("inv-broken", ""))
    broken["dynamodb"]["NewImage"]["type"] = {"S": "Nonsense"}
    batch = [broken, record(1, step("inv-1", "fine"))]
    assert StreamConsumer(reactions).consume({"Records": batch}) == {"batchItemFailures": [{"itemIdentifier": "000"}]}
    assert reactions.seen == [("inv-1", "fine")]


def test_records_that_are_not_of_invocations_are_passed_over() -> None:
    reactions = Reactions()
    batch = [record(0, Payload(INVOCATION_ID, "[]")), record(1, step("inv-1", "fine"))]
    assert StreamConsumer(reactions).consume({"Records": batch}) == {"batchItemFailures": []}
    assert reactions.seen == [("inv-1", "fine")]


def test_an_empty_batch_is_done() -> None:
    assert StreamConsumer(Reactions()).consume({"Records": []}) == {"batchItemFailures": []}


def test_something_else_under_an_invocations_key_is_an_error() -> None:
    odd = record(0, invocation())
    odd["dynamodb"]["NewImage"] |= item_of(Payload("i", ""), version=1, operation="o", retention=None)
    with pytest.raises(ValueError, match="is a Payload"):
        change_of(odd)


@pytest.mark.slow
def test_the_stream_of_the_table_itself_brings_creation_change_and_removal(local_clients: Clients) -> None:
    store = DynamoStore(local_clients, TABLE)
    first, second = step(INVOCATION_ID, "first"), step(INVOCATION_ID, "second")
    store.commit([Put(first, ABSENT), Put(Payload(INVOCATION_ID, "[]"), ABSENT)])
    store.commit([Put(second, 1)])
    store.commit([Delete(invocation_key(INVOCATION_ID), 2)])
    found: list[Change] = []
    event = {"Records": StreamReader(streams_client, TABLE).records()}
    assert StreamConsumer(found.append).consume(event) == {"batchItemFailures": []}
    assert found == [Change(None, first), Change(first, second), Change(second, None)]
