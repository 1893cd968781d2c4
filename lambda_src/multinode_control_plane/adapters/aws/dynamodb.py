"""The Store on DynamoDB: one table, three indexes of keys only, conditional writes.

A commit of one record over a known version is a conditional PutItem, at half the price of a transaction. Any other
commit is one TransactWriteItems, all or nothing. Both may be repeated after a lost answer without conflicting with
themselves: a transaction is recognised by its request token (for 10 minutes), a put by the operation id in the item.
"""

import builtins
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from botocore.exceptions import ClientError

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.dynamodb_items import (
    KEY_ATTRIBUTES,
    is_unsorted,
    item_of,
    key_item,
    operation_of,
    position_of,
    sort_in,
    start_key,
    stored_of,
    text_of,
    version_of,
)
from multinode_control_plane.adapters.aws.dynamodb_retries import DynamoRetries, cancellation_reasons
from multinode_control_plane.core import offsets
from multinode_control_plane.core.keys import Index, Key, Prefix, end_of_prefix, invocation_key, key_of
from multinode_control_plane.core.records import Record
from multinode_control_plane.ports import (
    ABSENT,
    Absent,
    Check,
    Conflict,
    Delete,
    Page,
    Put,
    Stored,
    StoreUnavailable,
    keys_of,
)
from multinode_control_plane.ports import Write as StoreWrite

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

    Item = Mapping[str, AttributeValueTypeDef]

logger = logging.getLogger(__name__)
R = TypeVar("R", bound=Record)


MAX_BATCH_READ = 100
FIRST_CHARACTER, LAST_CHARACTER = chr(0), chr(0x10FFFF)

NOBODY_WROTE_IT = "attribute_not_exists(#partition)"
"""A record is created once: a repeated `start` creates no second invocation (F1), child link or input."""
NOBODY_WROTE_SINCE = "#version = :expected"
"""The record has not changed since the decision: cancel against finish (F18), retry against time-out (F21), a zombie's
report against its successor (F13), two reactors on one slot (F3). Whichever comes second reads and decides again."""


class DynamoStore:
    """See `ports.Store`. `retention`: how long a finished invocation is kept; None keeps it for ever."""

    def __init__(
        self,
        clients: Clients,
        table: str,
        *,
        retention: timedelta | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clients = clients
        self._table = table
        self._retention = retention
        self._retries = DynamoRetries(sleep)

    @property
    def _client(self) -> "DynamoDBClient":
        return self._clients.dynamodb

    # --- reads ---

    def get(self, key: Key[R]) -> Stored[R] | None:
        item = self._retries.read(
            lambda: self._client.get_item(TableName=self._table, Key=key_item(key), ConsistentRead=True)
        ).get("Item")
        return None if item is None else stored_of(item)

    def query(
        self, prefix: Prefix[R], *, limit: int | None = None, after: str | None = None, newest_first: bool = False
    ) -> Sequence[Stored[R]]:
        first = prefix.sort_prefix or FIRST_CHARACTER
        last = end_of_prefix(prefix.sort_prefix) or LAST_CHARACTER
        if after is not None:
            first, last = (first, min(after, last)) if newest_first else (max(after, first), last)
        if first > last:
            return []
        items = self._items(
            KeyConditionExpression="#partition = :partition AND #sort BETWEEN :first AND :last",
            ExpressionAttributeNames=_names("partition", "sort"),
            ExpressionAttributeValues={
                ":partition": {"S": prefix.partition},
                ":first": {"S": first},
                ":last": {"S": last},
            },
            ConsistentRead=True,
            ScanIndexForward=not newest_first,
            # BETWEEN includes both ends: `after` and the end of the prefix, which are left out below.
            **({} if limit is None else {"Limit": limit + 2}),
        )
        found: list[Stored[R]] = []
        for item in items:
            if limit is not None and len(found) == limit:
                break
            if (sort := text_of(item, "sort")).startswith(prefix.sort_prefix) and sort != after:
                found.append(stored_of(item))
        return found

    def list(
        self,
        index: Index,
        value: str,
        *,
        limit: int,
        offset: str | None = None,
        newest_first: bool = False,
        before: str | None = None,
    ) -> Page[Record]:
        if is_unsorted(index, value):
            return self._list_sorted(index, value, limit, offset, newest_first=newest_first, before=before)
        condition, values = f"#{index}_value = :value", {":value": {"S": value}}
        if before is not None:
            condition += f" AND #{index}_sort < :before"
            values[":before"] = {"S": before}
        names = _names(f"{index}_value", *([f"{index}_sort"] if before is not None else []))
        entries = self._items(
            IndexName=str(index),
            KeyConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ScanIndexForward=not newest_first,
            Limit=limit + 1,
            **(
                {}
                if offset is None
                else {"ExclusiveStartKey": start_key(index, value, _position(offset, index, value, before))}
            ),
        )
        page: list[Item] = []
        for entry in entries:
            if len(page) == limit:
                return Page(self._records(page), offsets.pack((index, value), position_of(index, page[-1])))
            page.append(entry)
        return Page(self._records(page), None)

    def _list_sorted(
        self, index: Index, value: str, limit: int, offset: str | None, *, newest_first: bool, before: str | None
    ) -> Page[Record]:
        """Return a page of a list that is sorted by its records, not by the index: see `dynamodb_items`."""
        past = None if offset is None else _position(offset, index, value, before)
        entries = self._items(
            IndexName=str(index),
            KeyConditionExpression=f"#{index}_value = :value",
            ExpressionAttributeNames=_names(f"{index}_value"),
            ExpressionAttributeValues={":value": {"S": value}},
        )
        rows: list[tuple[tuple[str, ...], Stored[Record]]] = []
        for stored in self._records(list(entries)):
            sort, key = sort_in(stored.record, index, value), key_of(stored.record)
            if sort is not None and (before is None or sort < before):
                rows.append(((sort, key.partition, key.sort), stored))
        rows.sort(key=lambda row: row[0], reverse=newest_first)
        if past is not None:
            rows = [row for row in rows if (row[0] < past if newest_first else row[0] > past)]
        page = rows[:limit]
        more = len(rows) > limit
        return Page([stored for _, stored in page], offsets.pack((index, value), page[-1][0]) if more else None)

    def _items(self, **query: Any) -> "Iterator[Item]":
        """Yield the items that a query finds, page by page; a page may be empty without being the last."""
        while True:
            answer = self._retries.read(lambda: self._client.query(TableName=self._table, **query))
            yield from answer["Items"]
            if (last := answer.get("LastEvaluatedKey")) is None:
                return
            query["ExclusiveStartKey"] = last

    def _records(self, entries: "Sequence[Item]") -> Sequence[Stored[Record]]:
        """Return the records of an index's entries, in their order, leaving out those deleted or unreadable."""
        found = self._batch_get([{name: entry[name] for name in KEY_ATTRIBUTES} for entry in entries])
        records: list[Stored[Record]] = []
        for entry in entries:
            item = found.get((text_of(entry, "partition"), text_of(entry, "sort")))
            try:
                if item is not None:
                    records.append(stored_of(item))
            except ValueError as error:
                logger.error("left out of a listing: %s", error)  # noqa: TRY400 - the message says all
        return records

    def _batch_get(self, keys: "builtins.list[Item]") -> "dict[tuple[str, str], Item]":
        found: dict[tuple[str, str], Item] = {}
        attempt = 0
        while keys:
            wanted, keys = keys[:MAX_BATCH_READ], keys[MAX_BATCH_READ:]
            answer = self._retries.read(
                lambda wanted=wanted: self._client.batch_get_item(  # type: ignore[misc]
                    RequestItems={self._table: {"Keys": wanted, "ConsistentRead": True}}
                )
            )
            for item in answer["Responses"].get(self._table, []):
                found[text_of(item, "partition"), text_of(item, "sort")] = item
            if (left := answer["UnprocessedKeys"].get(self._table)) is not None:
                attempt += 1
                self._retries.pause(attempt)
                keys = [*left["Keys"], *keys]
        return found

    # --- writes ---

    def commit(self, writes: Sequence[StoreWrite]) -> None:
        keys = keys_of(writes)
        operation = uuid.uuid4().hex
        match writes:
            case []:
                return
            case [Put(record=record, expect=int(expect))]:
                self._put(record, expect, operation)
            case _:
                self._transact(writes, keys, operation)

    def _put(self, record: Record, expect: int, operation: str) -> None:
        """Write one record over a known version.

        If the condition fails after a try without an answer, the item itself says which write it holds (F15).
        """
        item = item_of(record, version=expect + 1, operation=operation, retention=self._retention)
        self._retries.write(
            lambda: self._client.put_item(
                TableName=self._table, Item=item, ReturnValuesOnConditionCheckFailure="ALL_OLD", **_condition(expect)
            ),
            lambda error, unclear: _recognise(error, operation, expect, unclear),
        )

    def _transact(self, writes: Sequence[StoreWrite], keys: Sequence[Key[Record]], operation: str) -> None:
        """Make all writes or none. By the token, DynamoDB recognises a repeated request."""
        items = [self._transact_item(write, key, operation) for write, key in zip(writes, keys, strict=True)]
        self._retries.write(
            lambda: self._client.transact_write_items(TransactItems=items, ClientRequestToken=operation),
            lambda error, _: _refuse(error, keys),
        )

    def _transact_item(self, write: StoreWrite, key: Key[Record], operation: str) -> "TransactWriteItemTypeDef":
        action: dict[str, Any] = {"TableName": self._table, **_condition(write.expect)}
        if isinstance(write, Put):
            version = 1 if isinstance(write.expect, Absent) else write.expect + 1
            action["Item"] = item_of(write.record, version=version, operation=operation, retention=self._retention)
        else:
            action["Key"] = key_item(key)
        name = {Put: "Put", Delete: "Delete", Check: "ConditionCheck"}[type(write)]
        return cast("TransactWriteItemTypeDef", {name: action})

    def forget(self, invocation_id: str) -> None:
        """Remove the rest of an invocation whose own item is gone: input, outputs, links to its subtasks. Idempotent.

        TTL removes only the invocation; its removal comes through the stream, whose consumer calls this. Nothing is
        removed from an invocation that exists.
        """
        key = invocation_key(invocation_id)
        found = self._items(
            KeyConditionExpression="#partition = :partition",
            ExpressionAttributeNames=_names("partition", "sort"),
            ExpressionAttributeValues={":partition": {"S": key.partition}},
            ProjectionExpression="#partition, #sort",
            ConsistentRead=True,
        )
        left = list(found)
        if any(text_of(item, "sort") == key.sort for item in left):
            return
        for item in left:
            self._retries.read(lambda item=item: self._client.delete_item(TableName=self._table, Key=item))  # type: ignore[misc]


def _condition(expect: int | Absent) -> Any:
    if expect is ABSENT:
        return {"ConditionExpression": NOBODY_WROTE_IT, "ExpressionAttributeNames": _names("partition")}
    return {
        "ConditionExpression": NOBODY_WROTE_SINCE,
        "ExpressionAttributeNames": _names("version"),
        "ExpressionAttributeValues": {":expected": {"N": str(expect)}},
    }


def _recognise(error: ClientError, operation: str, expect: int, unclear: bool) -> None:
    """Return if the item holds this very write. Raises Conflict, or StoreUnavailable if that is no longer known."""
    item: Item = cast("Item", error.response.get("Item") or {})
    if operation_of(item) == operation:
        return
    found = version_of(item)
    if unclear and found != expect + 1:
        raise StoreUnavailable(
            f"whether version {expect + 1} was written is unknown: the stored version is now {found or 'none'}"
        ) from error
    raise Conflict(f"expected version {expect}, found {found or 'none'}") from error


def _refuse(error: ClientError, keys: Sequence[Key[Record]]) -> Any:
    failed = [
        f"{key.partition} {key.sort}"
        for key, reason in zip(keys, cancellation_reasons(error), strict=False)
        if reason.get("Code") == "ConditionalCheckFailed"
    ]
    raise Conflict(f"not as expected: {', '.join(failed) or 'a condition of the transaction'}") from error


def _position(offset: str, index: Index, value: str, before: str | None) -> tuple[str, ...]:
    """Return the sort key in the index, partition and sort key of the previous page's last item. Raises ValueError."""
    position = tuple(part or "" for part in offsets.unpack((index, value), offset, parts=3))
    if before is not None and position[0] >= before:
        raise ValueError("this is an offset of another listing")
    return position


def _names(*attributes: str) -> dict[str, str]:
    return {f"#{attribute}": attribute for attribute in attributes}
