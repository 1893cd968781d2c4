"""What DynamoDB's errors mean to a commit: which are decided again, which tried again, which passed on."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.dynamodb import DynamoStore
from multinode_control_plane.adapters.aws.dynamodb_retries import FailedCall, failed_call
from multinode_control_plane.core.keys import input_key, invocation_key
from multinode_control_plane.ports import ABSENT, Check, Conflict, Put, StoreUnavailable
from tests.control_plane.adapters.aws.conftest import TABLE
from tests.support.aws.records import INVOCATION_ID, invocation

WRITES = [Check(invocation_key(INVOCATION_ID), 1), Check(input_key(INVOCATION_ID), ABSENT)]


def error(code: str, status: int = 400, **response: Any) -> ClientError:
    metadata = {"HTTPStatusCode": status}
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": metadata, **response}
    return ClientError(answer, "X")


def cancelled(*codes: str) -> ClientError:
    return error("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


@pytest.mark.parametrize(
    ("raised", "meaning"),
    [
        (error("ConditionalCheckFailedException"), FailedCall.CONDITION),
        (cancelled("None", "ConditionalCheckFailed"), FailedCall.CONDITION),
        # What else went wrong does not matter: the decision was made on something that is no longer so.
        (cancelled("ConditionalCheckFailed", "TransactionConflict", "ThrottlingError"), FailedCall.CONDITION),
        (cancelled("TransactionConflict", "None"), FailedCall.CONTENDED),
        (cancelled("TransactionConflict", "ThrottlingError"), FailedCall.CONTENDED),
        (error("TransactionConflictException"), FailedCall.CONTENDED),
        (error("TransactionInProgressException"), FailedCall.CONTENDED),
        (cancelled("ProvisionedThroughputExceeded"), FailedCall.THROTTLED),
        (cancelled("ThrottlingError", "None"), FailedCall.THROTTLED),
        (error("ThrottlingException"), FailedCall.THROTTLED),
        (error("ProvisionedThroughputExceededException"), FailedCall.THROTTLED),
        (error("RequestLimitExceeded"), FailedCall.THROTTLED),
        (error("InternalServerError", 500), FailedCall.LOST),
        (error("ServiceUnavailable", 503), FailedCall.LOST),
        (error("SomethingNew", 502), FailedCall.LOST),
        (ReadTimeoutError(endpoint_url="u"), FailedCall.LOST),
        (EndpointConnectionError(endpoint_url="u"), FailedCall.LOST),
        (ResponseParserError("half an answer"), FailedCall.LOST),
        (cancelled("ValidationError"), FailedCall.BROKEN),
        (cancelled("ItemCollectionSizeLimitExceeded"), FailedCall.BROKEN),
        (cancelled("TransactionConflict", "ValidationError"), FailedCall.BROKEN),
        (cancelled(), FailedCall.BROKEN),
        (error("ValidationException"), FailedCall.BROKEN),
        (error("AccessDeniedException"), FailedCall.BROKEN),
        (error("ResourceNotFoundException"), FailedCall.BROKEN),
        (error("IdempotentParameterMismatchException"), FailedCall.BROKEN),
        (NoCredentialsError(), FailedCall.BROKEN),
    ],
    ids=repr,
)
def test_each_error_is_read_for_what_it_says_of_the_write(raised: Exception, meaning: FailedCall) -> None:
    assert failed_call(raised) is meaning


@pytest.fixture
def stub(clients: Clients) -> Iterator[Stubber]:
    with Stubber(clients.dynamodb) as stubbed:
        yield stubbed
        stubbed.assert_no_pending_responses()


@pytest.fixture
def store(clients: Clients, pauses: list[float]) -> DynamoStore:
    return DynamoStore(clients, TABLE, sleep=pauses.append)


def refuse(stub: Stubber, code: str, times: int = 1, *reasons: str) -> None:
    fields = {"CancellationReasons": [{"Code": reason} for reason in reasons]} if reasons else None
    for _ in range(times):
        stub.add_client_error("transact_write_items", code, modeled_fields=fields)


def test_a_transaction_in_the_way_of_another_is_tried_again(store: DynamoStore, stub: Stubber) -> None:
    refuse(stub, "TransactionCanceledException", 2, "TransactionConflict", "None")
    stub.add_response("transact_write_items", {})
    store.commit(WRITES)
    stub.assert_no_pending_responses()
    with pytest.raises(Conflict):
        refuse(stub, "TransactionCanceledException", 1, "None", "ConditionalCheckFailed")
        store.commit(WRITES)


def test_a_transaction_that_stays_in_the_way_is_a_conflict(
    store: DynamoStore, stub: Stubber, pauses: list[float]
) -> None:
    refuse(stub, "TransactionCanceledException", 5, "TransactionConflict", "None")
    with pytest.raises(Conflict, match="busy"):
        store.commit(WRITES)
    assert len(pauses) == 4


def test_a_throttled_transaction_is_tried_again_and_then_the_store_is_away(store: DynamoStore, stub: Stubber) -> None:
    refuse(stub, "ThrottlingException", 5)
    with pytest.raises(StoreUnavailable, match="ThrottlingException"):
        store.commit(WRITES)


def test_a_conflict_after_an_unclear_try_is_not_certain(store: DynamoStore, stub: Stubber) -> None:
    stub.add_client_error("transact_write_items", "InternalServerError", http_status_code=500)
    refuse(stub, "TransactionInProgressException", 4)
    with pytest.raises(StoreUnavailable):
        store.commit(WRITES)


def test_a_conflict_names_the_records_that_were_not_as_expected(store: DynamoStore, stub: Stubber) -> None:
    refuse(stub, "TransactionCanceledException", 1, "None", "ConditionalCheckFailed")
    with pytest.raises(Conflict, match=f"^not as expected: INV#{INVOCATION_ID} INPUT$"):
        store.commit(WRITES)


def test_an_error_that_is_our_own_fault_is_passed_on_at_once(
    store: DynamoStore, stub: Stubber, pauses: list[float]
) -> None:
    refuse(stub, "ValidationException")
    with pytest.raises(ClientError, match="ValidationException"):
        store.commit(WRITES)
    assert pauses == []


def test_a_single_write_that_loses_to_a_transaction_is_tried_again(store: DynamoStore, stub: Stubber) -> None:
    stub.add_client_error("put_item", "TransactionConflictException")
    stub.add_response("put_item", {})
    assert store.commit([Put(invocation(), 1)]) is None  # type: ignore[func-returns-value]


def test_keys_that_a_batch_left_unread_are_asked_for_again(
    store: DynamoStore, stub: Stubber, pauses: list[float]
) -> None:
    from multinode_control_plane.core.keys import ALL, Index

    keys = [{"partition": {"S": f"PROJECT#{name}"}, "sort": {"S": "PROJECT"}} for name in "ab"]
    entries = [{**key, "projects_value": {"S": "ALL"}, "projects_sort": {"S": "x"}} for key in keys]
    items = [
        {
            **key,
            "version": {"N": "1"},
            "type": {"S": "Project"},
            "body": {"S": f'{{"project_name":"{name}","created_at":0}}'},
        }
        for key, name in zip(keys, "ab", strict=True)
    ]
    stub.add_response("query", {"Items": entries})
    stub.add_response(
        "batch_get_item",
        {"Responses": {TABLE: [items[1]]}, "UnprocessedKeys": {TABLE: {"Keys": [keys[0]]}}},
        {"RequestItems": {TABLE: {"Keys": keys, "ConsistentRead": True}}},
    )
    stub.add_response(
        "batch_get_item",
        {"Responses": {TABLE: [items[0]]}, "UnprocessedKeys": {}},
        {"RequestItems": {TABLE: {"Keys": [keys[0]], "ConsistentRead": True}}},
    )
    page = store.list(Index.PROJECTS, ALL, limit=5)
    assert [stored.record.project_name for stored in page.items] == ["a", "b"]  # type: ignore[union-attr]
    assert len(pauses) == 1
