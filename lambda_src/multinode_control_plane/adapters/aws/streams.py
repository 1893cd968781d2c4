"""DynamoDB Streams to the reactor: changes of one invocation in order, of different invocations at the same time.

A batch is answered with the sequence number of the first record that failed. Lambda delivers that record and all after
it again, so later records may be seen twice, and nothing is skipped. After a failure, the remaining records of the same
invocation are left for the next delivery.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from multinode_control_plane.adapters.aws.dynamodb_items import body_of
from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.records import Invocation
from multinode_control_plane.ports import Change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Image = Mapping[str, AttributeValueTypeDef]

logger = logging.getLogger(__name__)

THREADS = 16
"""Launches wait for ECS, not for the processor, so all launches of a batch go out at once."""

StreamRecord = Mapping[str, Any]


def change_of(record: StreamRecord) -> Change | None:
    """Return the change in a stream record, or None if it is not an invocation's. Raises ValueError."""
    data = record["dynamodb"]
    keys = data["Keys"]
    partition = keys["partition"]["S"]
    if keys["sort"]["S"] != invocation_key("").sort or not partition.startswith(invocation_key("").partition):
        return None
    return Change(_invocation(data.get("OldImage")), _invocation(data.get("NewImage")))


def _invocation(image: "Image | None") -> Invocation | None:
    if image is None:
        return None
    record = body_of(image)
    if not isinstance(record, Invocation):
        raise ValueError(f"the record of an invocation's key is a {type(record).__name__}")  # noqa: TRY004 - bad data
    return record


class StreamConsumer:
    """Passes each change of a batch to `react`, in `threads` threads, one change per invocation at a time."""

    def __init__(self, react: Callable[[Change], None], *, threads: int = THREADS) -> None:
        self._react = react
        self._threads = threads

    def consume(self, event: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
        """Return the answer to Lambda: `batchItemFailures` with the first record that failed, if one did."""
        records = cast(Sequence[StreamRecord], event["Records"])
        groups: dict[str, list[int]] = {}
        for number, record in enumerate(records):
            groups.setdefault(record["dynamodb"]["Keys"]["partition"]["S"], []).append(number)
        with ThreadPoolExecutor(max_workers=max(1, min(self._threads, len(groups)))) as pool:
            failed = list(pool.map(lambda numbers: self._in_order(records, numbers), groups.values()))
        first = min((number for number in failed if number is not None), default=None)
        if first is None:
            return {"batchItemFailures": []}
        return {"batchItemFailures": [{"itemIdentifier": records[first]["dynamodb"]["SequenceNumber"]}]}

    def _in_order(self, records: Sequence[StreamRecord], numbers: Sequence[int]) -> int | None:
        """Return the number of the first record that failed, after which none was tried; None if none did."""
        for number in numbers:
            record = records[number]
            try:
                change = change_of(record)
                if change is not None:
                    self._react(change)
            except Exception:
                place = record["dynamodb"]["Keys"]["partition"]["S"]
                logger.exception("a change of %s could not be handled; it will be delivered again", place)
                return number
        return None
