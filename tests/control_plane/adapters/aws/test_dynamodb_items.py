"""How records are stored in DynamoDB: small items, sparse indexes, and an expiry only if nothing is needed any more."""

import json
from datetime import timedelta
from typing import Any

import pytest

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.dynamodb import DynamoStore
from multinode_control_plane.core.keys import (
    DUE_OPEN,
    Index,
    child_key,
    due_sort,
    function_index_value,
    input_key,
    invocation_key,
    key_of,
    output_key,
    outputs_prefix,
)
from multinode_control_plane.core.records import ChildLink, Invocation, Output, Payload
from multinode_control_plane.ports import ABSENT, Delete, Put, Stored
from multinode_protocol.limits import MAX_ERROR_CHARS, MAX_PAYLOAD_BYTES
from multinode_protocol.status import InvocationStatus, WorkerStatus
from tests.control_plane.adapters.aws.conftest import TABLE
from tests.support.aws.records import EXECUTION_ID, INVOCATION_ID, NOW, execution, invocation

RETENTION = timedelta(days=30)
# 2026-12-20T09:00:00Z, in seconds since the epoch: 30 days after NOW.
THIRTY_DAYS_LATER = 1797757200


@pytest.fixture
def keeping(moto_store: DynamoStore, clients: Clients) -> DynamoStore:
    """A store that keeps finished invocations for 30 days."""
    return DynamoStore(clients, TABLE, retention=RETENTION)


def item(clients: Clients, record: Any) -> dict[str, Any]:
    key = key_of(record)
    found = clients.dynamodb.get_item(TableName=TABLE, Key={"partition": {"S": key.partition}, "sort": {"S": key.sort}})
    return dict(found["Item"])


def ended(**changes: Any) -> Invocation:
    """Return an invocation to which nothing can happen any more."""
    gone = execution(worker_status=WorkerStatus.TERMINATED, terminated_at=NOW)
    finished = {"status": InvocationStatus.SUCCEEDED, "finished_at": NOW, "due_at": None, "waiting_in": None}
    return invocation(**{**finished, "executions": (gone,), **changes})


def test_an_item_holds_its_key_its_record_and_its_index_entries(moto_store: DynamoStore, clients: Clients) -> None:
    moto_store.commit([Put(invocation(), ABSENT)])
    found = item(clients, invocation())
    body, operation = json.loads(found.pop("body")["S"]), found.pop("operation")["S"]
    assert found == {
        "partition": {"S": f"INV#{INVOCATION_ID}"},
        "sort": {"S": "INVOCATION"},
        "version": {"N": "1"},
        "type": {"S": "Invocation"},
        "by_function_value": {"S": "tsp#ver-1#solve"},
        "by_function_sort": {"S": f"001795165200000#{INVOCATION_ID}"},
        "by_due_value": {"S": "WAITING"},
        # NOW in milliseconds since the epoch, 15 digits.
        "by_due_sort": {"S": f"001795165200000#{INVOCATION_ID}"},
    }
    assert body["invocation_id"] == INVOCATION_ID
    assert len(operation) == 32


def test_an_entry_that_a_record_has_no_more_leaves_its_item(moto_store: DynamoStore, clients: Clients) -> None:
    moto_store.commit([Put(invocation(), ABSENT)])
    moto_store.commit([Put(ended(), 1)])
    assert {"by_due_value", "by_due_sort"} & set(item(clients, invocation())) == set()


def test_what_has_ended_expires_after_the_retention(keeping: DynamoStore, clients: Clients) -> None:
    keeping.commit([Put(ended(), ABSENT)])
    assert item(clients, ended())["expires_at"] == {"N": str(THIRTY_DAYS_LATER)}


@pytest.mark.parametrize(
    "alive",
    [
        pytest.param(invocation(), id="it waits"),
        pytest.param(ended(executions=(execution(),)), id="its container is still there"),
        pytest.param(ended(due_at=NOW), id="the sweep still has to look at it, as while a cascade is pending"),
        pytest.param(ended(status=InvocationStatus.CANCELLING, finished_at=None), id="it is being cancelled"),
    ],
)
def test_what_may_still_be_needed_never_expires(keeping: DynamoStore, clients: Clients, alive: Invocation) -> None:
    keeping.commit([Put(alive, ABSENT)])
    assert "expires_at" not in item(clients, alive)


def test_payloads_expire_only_with_their_invocation(keeping: DynamoStore, clients: Clients) -> None:
    keeping.commit([Put(ended(), ABSENT), Put(Payload(INVOCATION_ID, "[]"), ABSENT)])
    assert "expires_at" not in item(clients, Payload(INVOCATION_ID, "[]"))


def test_without_a_retention_nothing_expires(moto_store: DynamoStore, clients: Clients) -> None:
    moto_store.commit([Put(ended(), ABSENT)])
    assert "expires_at" not in item(clients, ended())


def leave_the_rest(store: DynamoStore) -> None:
    """Store payloads and 150 links of an invocation whose own item is gone, as TTL leaves them."""
    store.commit([Put(Payload(INVOCATION_ID, "[]"), ABSENT), Put(Output(INVOCATION_ID, EXECUTION_ID, 1, "7"), ABSENT)])
    for start in (0, 75):
        links = [ChildLink(INVOCATION_ID, f"inv-child-{number}") for number in range(start, start + 75)]
        store.commit([Put(link, ABSENT) for link in links])


def test_what_is_left_of_an_expired_invocation_goes_too(moto_store: DynamoStore, clients: Clients) -> None:
    leave_the_rest(moto_store)
    bystander = Payload("inv-other", "[]")
    moto_store.commit([Put(bystander, ABSENT)])
    moto_store.forget(INVOCATION_ID)
    assert clients.dynamodb.scan(TableName=TABLE)["Items"] == [item(clients, bystander)]
    moto_store.forget(INVOCATION_ID)
    assert clients.dynamodb.scan(TableName=TABLE)["Count"] == 1


def test_an_invocation_that_exists_keeps_everything(moto_store: DynamoStore) -> None:
    leave_the_rest(moto_store)
    moto_store.commit([Put(invocation(), ABSENT)])
    moto_store.forget(INVOCATION_ID)
    assert moto_store.get(invocation_key(INVOCATION_ID)) is not None
    assert moto_store.get(input_key(INVOCATION_ID)) is not None
    assert moto_store.get(output_key(INVOCATION_ID, EXECUTION_ID)) is not None
    assert moto_store.get(child_key(INVOCATION_ID, "inv-child-0")) is not None


def test_an_invocation_created_and_deleted_leaves_nothing(moto_store: DynamoStore, clients: Clients) -> None:
    moto_store.commit([Put(invocation(), ABSENT)])
    moto_store.commit([Delete(invocation_key(INVOCATION_ID), 1)])
    assert clients.dynamodb.scan(TableName=TABLE)["Count"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "character",
    [
        pytest.param("\N{ROCKET}", id="four bytes"),
        pytest.param('"', id="two in JSON"),
        pytest.param("\0", id="six in JSON"),
    ],
)
def test_the_largest_output_with_its_whole_error_stays_under_the_item_limit(
    local_clients: Clients, character: str
) -> None:
    # 250,000 bytes of text, and twice 16,384 characters of at most 4 bytes: 381,072 bytes of 409,600.
    largest = Output(
        INVOCATION_ID,
        EXECUTION_ID,
        1,
        character * (MAX_PAYLOAD_BYTES // len(character.encode())),
        error_message=character * MAX_ERROR_CHARS,
        error_traceback=character * MAX_ERROR_CHARS,
    )
    store = DynamoStore(local_clients, TABLE)
    store.commit([Put(largest, ABSENT)])
    assert store.get(output_key(INVOCATION_ID, EXECUTION_ID)) == Stored(largest, 1)


def running(number: int, due_in_s: int) -> Invocation:
    """Return an invocation that holds a slot and is due so many seconds after NOW."""
    return invocation(
        invocation_id=f"inv-{number}",
        executions=(execution(),),
        waiting_in=None,
        due_at=NOW + timedelta(seconds=due_in_s),
    )


def open_ids(store: DynamoStore, **options: Any) -> list[str]:
    page = store.list(Index.BY_DUE, DUE_OPEN, **{"limit": 10, **options})
    return [stored.record.invocation_id for stored in page.items if isinstance(stored.record, Invocation)]


def test_a_new_due_time_of_what_holds_a_slot_costs_no_write_of_the_index(
    moto_store: DynamoStore, clients: Clients
) -> None:
    moto_store.commit([Put(running(1, 60), ABSENT)])
    before = item(clients, running(1, 60))
    moto_store.commit([Put(running(1, 900), 1)])
    after = item(clients, running(1, 900))
    assert (before["by_due_value"], before["by_due_sort"]) == ({"S": "OPEN"}, {"S": "INV#inv-1"})
    assert (after["by_due_value"], after["by_due_sort"]) == (before["by_due_value"], before["by_due_sort"])


def test_what_holds_a_slot_is_listed_by_the_due_times_in_the_records(moto_store: DynamoStore) -> None:
    moto_store.commit([Put(running(number, 100 - 10 * number), ABSENT) for number in range(5)])
    assert open_ids(moto_store) == ["inv-4", "inv-3", "inv-2", "inv-1", "inv-0"]
    assert open_ids(moto_store, newest_first=True) == ["inv-0", "inv-1", "inv-2", "inv-3", "inv-4"]
    # inv-3 is due 70 s after NOW; the bound is exclusive.
    bound = due_sort(int(NOW.timestamp() * 1000) + 80_000)
    assert open_ids(moto_store, before=bound) == ["inv-4", "inv-3"]
    moto_store.commit([Put(running(4, 1000), 1)])
    assert open_ids(moto_store) == ["inv-3", "inv-2", "inv-1", "inv-0", "inv-4"]


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_of_what_holds_a_slot_give_each_once(moto_store: DynamoStore, newest_first: bool) -> None:
    moto_store.commit([Put(running(number, 60), ABSENT) for number in range(7)])
    found: list[str] = []
    offset: str | None = None
    while True:
        page = moto_store.list(Index.BY_DUE, DUE_OPEN, limit=3, offset=offset, newest_first=newest_first)
        found += [stored.record.invocation_id for stored in page.items if isinstance(stored.record, Invocation)]
        if (offset := page.next_offset) is None:
            break
    assert found == sorted((f"inv-{number}" for number in range(7)), reverse=newest_first)


def test_what_has_given_its_slot_back_is_in_the_list_no_more(moto_store: DynamoStore) -> None:
    moto_store.commit([Put(running(1, 60), ABSENT)])
    moto_store.commit([Put(ended(invocation_id="inv-1"), 1)])
    assert open_ids(moto_store) == []


def test_a_lagging_entry_of_what_holds_no_slot_any_more_is_passed_over(
    moto_store: DynamoStore, clients: Clients
) -> None:
    moto_store.commit([Put(ended(invocation_id="inv-1"), ABSENT)])
    clients.dynamodb.update_item(
        TableName=TABLE,
        Key={"partition": {"S": "INV#inv-1"}, "sort": {"S": "INVOCATION"}},
        UpdateExpression="SET by_due_value = :open, by_due_sort = :sort",
        ExpressionAttributeValues={":open": {"S": "OPEN"}, ":sort": {"S": "INV#inv-1"}},
    )
    assert open_ids(moto_store) == []


@pytest.mark.parametrize("index", [Index.BY_DUE, Index.BY_FUNCTION])
def test_an_offset_of_a_listing_with_another_bound_is_refused(moto_store: DynamoStore, index: Index) -> None:
    moto_store.commit([Put(running(number, 60), ABSENT) for number in range(3)])
    value = DUE_OPEN if index is Index.BY_DUE else function_index_value(invocation().function_key)
    offset = moto_store.list(index, value, limit=1).next_offset
    with pytest.raises(ValueError, match="another listing"):
        moto_store.list(index, value, limit=1, offset=offset, before="0")


def test_an_empty_commit_is_none(moto_store: DynamoStore, clients: Clients) -> None:
    moto_store.commit([])
    assert clients.dynamodb.scan(TableName=TABLE)["Count"] == 0


@pytest.mark.parametrize(("after", "newest_first"), [("Z", False), ("A", True)])
def test_nothing_lies_past_the_end_of_a_prefix(moto_store: DynamoStore, after: str, newest_first: bool) -> None:
    moto_store.commit([Put(Output(INVOCATION_ID, EXECUTION_ID, 1, "7"), ABSENT)])
    found = moto_store.query(outputs_prefix(INVOCATION_ID), after=after, newest_first=newest_first)
    assert list(found) == []


@pytest.mark.parametrize(("after", "newest_first"), [("A", False), ("Z", True)])
def test_everything_lies_past_what_comes_before_a_prefix(
    moto_store: DynamoStore, after: str, newest_first: bool
) -> None:
    output = Output(INVOCATION_ID, EXECUTION_ID, 1, "7")
    moto_store.commit([Put(output, ABSENT)])
    found = moto_store.query(outputs_prefix(INVOCATION_ID), after=after, newest_first=newest_first)
    assert list(found) == [Stored(output, 1)]


@pytest.mark.parametrize("body", ["", "{", "[1]", "7", "null"])
def test_an_item_whose_body_is_no_json_object_is_named(moto_store: DynamoStore, clients: Clients, body: str) -> None:
    moto_store.commit([Put(invocation(), ABSENT)])
    clients.dynamodb.update_item(
        TableName=TABLE,
        Key={"partition": {"S": f"INV#{INVOCATION_ID}"}, "sort": {"S": "INVOCATION"}},
        UpdateExpression="SET body = :body",
        ExpressionAttributeValues={":body": {"S": body}},
    )
    with pytest.raises(ValueError, match=f"INV#{INVOCATION_ID} INVOCATION"):
        moto_store.get(invocation_key(INVOCATION_ID))
