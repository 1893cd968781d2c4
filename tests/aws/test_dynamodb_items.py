"""How records lie in DynamoDB: small items, sparse indexes, and an expiry only where nothing is needed any more."""

import json
from datetime import timedelta
from typing import Any

import pytest

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.dynamodb import DynamoStore
from multinode_control_plane.core.keys import child_key, input_key, invocation_key, key_of, output_key
from multinode_control_plane.core.records import ChildLink, Invocation, Output, Payload
from multinode_control_plane.ports import ABSENT, Delete, Put, Stored
from multinode_protocol.limits import MAX_ERROR_CHARS, MAX_PAYLOAD_BYTES
from multinode_protocol.status import InvocationStatus, WorkerStatus
from tests.aws.conftest import TABLE
from tests.aws.samples import EXECUTION_ID, INVOCATION_ID, NOW, execution, invocation

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
        "by_function_sort": {"S": f"001796979600000#{INVOCATION_ID}"},
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
