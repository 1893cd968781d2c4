"""Records as DynamoDB items and back, with their keys and index entries.

attribute             of            holds
partition, sort       every item    the key (see `core.keys`)
version               every item    number of writes, from 1: what conditions compare
type                  every item    the record's class
body                  every item    `core.codec`'s JSON of its fields, readable in the console
text_<field>          some          a long text field: as JSON, where a quote is two bytes, it might not fit into 400 KB
operation             every item    the commit that wrote it last, by which a repeated write recognises itself
<index>_value, _sort  listed items  hash and range key of the global secondary index of that name (keys only)
expires_at            some          when DynamoDB's TTL may remove it, in seconds since the epoch

An invocation that holds a slot keeps the same key in `by_due`, whatever its due time: changing an index key costs two
more writes, and twice that in a transaction. Their list is short, because each of them has a container, so the store
reads all of it and sorts it by the records themselves.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

from multinode_control_plane.core.codec import decode, encode
from multinode_control_plane.core.keys import DUE_OPEN, Index, Key, index_entries, key_of
from multinode_control_plane.core.records import Invocation, Record
from multinode_control_plane.ports import Stored

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = dict[str, AttributeValueTypeDef]

R = TypeVar("R", bound=Record)

KEY_ATTRIBUTES = ("partition", "sort")
TEXT_PREFIX = "text_"
LONG_TEXT_CHARS = 1000


def key_item(key: Key[Record]) -> "Item":
    return {"partition": {"S": key.partition}, "sort": {"S": key.sort}}


def item_of(record: Record, *, version: int, operation: str, retention: timedelta | None) -> "Item":
    """Return the whole item of `record`. A write replaces all of it, so that no outdated attribute remains."""
    item = key_item(key_of(record))
    item["version"] = {"N": str(version)}
    fields = encode(record)
    item["type"] = {"S": str(fields.pop("type"))}
    for name in [name for name, value in fields.items() if isinstance(value, str) and len(value) >= LONG_TEXT_CHARS]:
        item[f"{TEXT_PREFIX}{name}"] = {"S": str(fields.pop(name))}
    item["body"] = {"S": json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False)}
    item["operation"] = {"S": operation}
    for entry in index_entries(record):
        item[f"{entry.index}_value"] = {"S": entry.value}
        item[f"{entry.index}_sort"] = {
            "S": item["partition"]["S"] if is_unsorted(entry.index, entry.value) else entry.sort
        }
    if (expiry := expires_at(record, retention)) is not None:
        item["expires_at"] = {"N": str(expiry)}
    return item


def is_unsorted(index: Index, value: str) -> bool:
    """Return True for the list that is sorted by its records, not by the index."""
    return index is Index.BY_DUE and value == DUE_OPEN


def sort_in(record: Record, index: Index, value: str) -> str | None:
    """Return the record's sort key in a list, from the record itself; None if it is no longer in the list."""
    return next((e.sort for e in index_entries(record) if e.index is index and e.value == value), None)


def expires_at(record: Record, retention: timedelta | None) -> int | None:
    """Return when TTL may remove `record`, in seconds since the epoch; None for never.

    Only an invocation expires, and only once nothing more can happen to it: it is finished, none of its containers is
    left, and no cascade is pending (then `due_at` is None). After its removal, the rest of its partition is removed
    (see `DynamoStore.forget`). Subtasks that outlive it do not need it: a parent that has ended cannot start more of
    them, and one that did not succeed has cancelled them before `due_at` became None.
    """
    if retention is None or not isinstance(record, Invocation):
        return None
    if not record.terminated or record.due_at is not None or record.finished_at is None:
        return None
    return int((record.finished_at + retention).timestamp())


def stored_of(item: "Mapping[str, AttributeValueTypeDef]") -> Stored[R]:
    """Return the record in an item, of the type that its key has. Raises ValueError if it cannot be decoded."""
    return Stored(cast(R, body_of(item)), version_of(item))


def body_of(item: "Mapping[str, AttributeValueTypeDef]") -> Record:
    """Return the record in an item or a stream's image. Raises ValueError."""
    place = f"{text_of(item, 'partition')} {text_of(item, 'sort')}"
    try:
        data = json.loads(text_of(item, "body"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the item {place} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"the item {place} is not a JSON object")  # noqa: TRY004 - bad data, not a bad call
    data["type"] = text_of(item, "type")
    for name in item:
        if name.startswith(TEXT_PREFIX):
            data[name.removeprefix(TEXT_PREFIX)] = text_of(item, name)
    try:
        return decode(data)
    except ValueError as error:
        raise ValueError(f"the item {place}: {error}") from error


def version_of(item: "Mapping[str, AttributeValueTypeDef]") -> int:
    return int(item.get("version", {}).get("N", "0"))


def operation_of(item: "Mapping[str, AttributeValueTypeDef]") -> str:
    return text_of(item, "operation")


def text_of(item: "Mapping[str, AttributeValueTypeDef]", attribute: str) -> str:
    return item.get(attribute, {}).get("S", "")


def position_of(index: Index, entry: "Mapping[str, AttributeValueTypeDef]") -> Sequence[str]:
    """Return the position of an entry in an index: its sort key there, then the item's own keys."""
    return [text_of(entry, f"{index}_sort"), text_of(entry, "partition"), text_of(entry, "sort")]


def start_key(index: Index, value: str, position: Sequence[str]) -> "Item":
    """Return the key with which a query of `index` continues after `position`."""
    sort_in_index, partition, sort = position
    return {
        "partition": {"S": partition},
        "sort": {"S": sort},
        f"{index}_value": {"S": value},
        f"{index}_sort": {"S": sort_in_index},
    }
