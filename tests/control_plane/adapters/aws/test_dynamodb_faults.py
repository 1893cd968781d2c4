"""Commits on DynamoDB when requests or their answers get lost: made once, and never in conflict with themselves.

On DynamoDB Local, which keeps to request tokens; moto does not.
"""

from collections.abc import Callable

import pytest

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.dynamodb import DynamoStore
from multinode_control_plane.core.keys import input_key, invocation_key, outputs_prefix
from multinode_control_plane.core.records import Payload
from multinode_control_plane.ports import ABSENT, Check, Conflict, Delete, Put, Stored, StoreUnavailable
from tests.control_plane.adapters.aws.conftest import TABLE
from tests.support.aws.faults import Network
from tests.support.aws.records import INVOCATION_ID, invocation

pytestmark = pytest.mark.slow

KEY = invocation_key(INVOCATION_ID)
FIRST = invocation(status_reason="first")
SECOND = invocation(status_reason="second")
THIRD = invocation(status_reason="third")
FOURTH = invocation(status_reason="fourth")


@pytest.fixture
def store(local_clients: Clients, sleep: Callable[[float], None]) -> DynamoStore:
    found = DynamoStore(local_clients, TABLE, sleep=sleep)
    found.commit([Put(FIRST, ABSENT)])
    return found


@pytest.fixture
def other(sleep: Callable[[float], None], store: DynamoStore) -> DynamoStore:
    """Another process at work on the same table."""
    return DynamoStore(Clients(), TABLE, sleep=sleep)


@pytest.fixture
def puts(local_clients: Clients, store: DynamoStore) -> Network:
    return Network(local_clients.dynamodb, "PutItem")


@pytest.fixture
def transactions(local_clients: Clients, store: DynamoStore) -> Network:
    return Network(local_clients.dynamodb, "TransactWriteItems")


def test_a_put_whose_answer_is_lost_is_not_in_conflict_with_itself(store: DynamoStore, puts: Network) -> None:
    puts.fates = ["answer lost", "answer lost"]
    store.commit([Put(SECOND, 1)])
    assert store.get(KEY) == Stored(SECOND, 2)
    # The first was carried out, the second refused as no longer version 1; the third was told so, and saw its own work.
    assert len(puts.requests) == 3


def test_a_put_that_is_lost_is_sent_again(store: DynamoStore, puts: Network) -> None:
    puts.fates = ["lost", "lost"]
    store.commit([Put(SECOND, 1)])
    assert store.get(KEY) == Stored(SECOND, 2)
    assert len(puts.requests) == 3


def test_a_put_that_was_lost_while_another_came_first_is_a_conflict(
    store: DynamoStore, puts: Network, other: DynamoStore
) -> None:
    puts.fates = ["lost", lambda: other.commit([Put(THIRD, 1)])]
    with pytest.raises(Conflict):
        store.commit([Put(SECOND, 1)])
    assert store.get(KEY) == Stored(THIRD, 2)


def test_a_put_that_others_wrote_over_before_it_was_recognised_is_unknown(
    store: DynamoStore, puts: Network, other: DynamoStore
) -> None:
    def others() -> None:
        other.commit([Put(THIRD, 2)])
        other.commit([Put(FOURTH, 3)])

    puts.fates = ["answer lost", others]
    with pytest.raises(StoreUnavailable, match="the stored version is now 4"):
        store.commit([Put(SECOND, 1)])
    assert store.get(KEY) == Stored(FOURTH, 4)


def test_a_put_over_an_old_version_is_a_conflict_at_once(store: DynamoStore, puts: Network) -> None:
    store.commit([Put(SECOND, 1)])
    with pytest.raises(Conflict, match="expected version 1, found 2"):
        store.commit([Put(THIRD, 1)])
    assert len(puts.requests) == 2


def test_a_put_that_never_gets_an_answer_is_unknown(store: DynamoStore, puts: Network, pauses: list[float]) -> None:
    puts.fates = ["lost"] * 5
    with pytest.raises(StoreUnavailable, match="5 times"):
        store.commit([Put(SECOND, 1)])
    assert store.get(KEY) == Stored(FIRST, 1)
    # Longer and longer, with a random half, from 0.03 s on: four pauses between five tries.
    assert len(pauses) == 4
    assert all(0.03 * 2**n / 2 <= pause <= 0.03 * 2**n for n, pause in enumerate(pauses))


def test_a_transaction_whose_answer_is_lost_is_made_once(store: DynamoStore, transactions: Network) -> None:
    transactions.fates = ["answer lost", "answer lost"]
    store.commit([Put(SECOND, 1), Put(Payload(INVOCATION_ID, "[]"), ABSENT)])
    assert store.get(KEY) == Stored(SECOND, 2)
    assert store.get(input_key(INVOCATION_ID)) == Stored(Payload(INVOCATION_ID, "[]"), 1)
    assert len(transactions.requests) == 3
    assert len(set(transactions.requests)) == 1, "to the letter the same request, token included"


def test_a_creation_whose_answer_is_lost_stands_when_it_is_deleted_meanwhile(
    store: DynamoStore, transactions: Network, other: DynamoStore
) -> None:
    created = Payload(INVOCATION_ID, "[]")
    transactions.fates = ["answer lost", lambda: other.commit([Delete(input_key(INVOCATION_ID), 1)])]
    store.commit([Put(created, ABSENT)])
    assert store.get(input_key(INVOCATION_ID)) is None


def test_a_deletion_whose_answer_is_lost_is_no_conflict(store: DynamoStore, transactions: Network) -> None:
    transactions.fates = ["answer lost"]
    store.commit([Delete(KEY, 1)])
    assert store.get(KEY) is None


def test_each_commit_has_a_token_of_its_own(store: DynamoStore, transactions: Network) -> None:
    writes = [Check(KEY, 1), Check(input_key(INVOCATION_ID), ABSENT)]
    store.commit(writes)
    store.commit(writes)
    assert len(set(transactions.requests)) == 2


def test_a_transaction_that_was_lost_while_another_came_first_is_a_conflict(
    store: DynamoStore, transactions: Network, other: DynamoStore
) -> None:
    transactions.fates = ["lost", lambda: other.commit([Put(THIRD, 1)])]
    with pytest.raises(Conflict, match="INV#inv-0192f3a5b6c07a1b8c2d3e4f50617283 INVOCATION"):
        store.commit([Put(SECOND, 1), Check(input_key(INVOCATION_ID), ABSENT)])
    assert store.get(KEY) == Stored(THIRD, 2)


def test_a_read_is_repeated_until_it_is_answered(store: DynamoStore, local_clients: Clients) -> None:
    reads = Network(local_clients.dynamodb, "GetItem")
    reads.fates = ["lost", "answer lost"]
    assert store.get(KEY) == Stored(FIRST, 1)
    assert len(reads.requests) == 3


def test_a_read_that_is_never_answered_says_that_the_store_is_away(store: DynamoStore, local_clients: Clients) -> None:
    Network(local_clients.dynamodb, "Query").fates = ["lost"] * 5
    with pytest.raises(StoreUnavailable):
        store.query(outputs_prefix(INVOCATION_ID))
