"""The table as terraform/tables.tf makes it, for tests against an emulator."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from multinode_control_plane.adapters.aws.streams import change_of
from multinode_control_plane.core.keys import Index, Key
from multinode_control_plane.core.records import Record
from multinode_control_plane.ports import Change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient


def create_table(client: "DynamoDBClient", name: str) -> None:
    """Make an empty table with the three indexes and the stream."""
    attributes = ["partition", "sort", *(f"{index}_{part}" for index in Index for part in ("value", "sort"))]
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": attribute, "AttributeType": "S"} for attribute in attributes],
        KeySchema=_key("partition", "sort"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": str(index),
                "KeySchema": _key(f"{index}_value", f"{index}_sort"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
            for index in Index
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


def _key(hash_key: str, range_key: str) -> Any:
    return [{"AttributeName": hash_key, "KeyType": "HASH"}, {"AttributeName": range_key, "KeyType": "RANGE"}]


def corrupt_item(client: "DynamoDBClient", table: str, key: Key[Record]) -> None:
    client.update_item(
        TableName=table,
        Key={"partition": {"S": key.partition}, "sort": {"S": key.sort}},
        UpdateExpression="SET #type = :type",
        ExpressionAttributeNames={"#type": "type"},
        ExpressionAttributeValues={":type": {"S": "Nonsense"}},
    )


class StreamReader:
    """Reads a table's stream from its beginning, as Lambda's event source does. `streams` makes its client."""

    def __init__(self, streams: "Callable[[], DynamoDBStreamsClient]", table: str) -> None:
        self._client = streams
        self._table = table
        self._iterators: dict[str, str | None] = {}

    def records(self) -> list[dict[str, Any]]:
        """Return the records since the last call, per shard in order, in the form of Lambda's events."""
        found: list[dict[str, Any]] = []
        streams = self._client()
        # DynamoDB Local remembers the streams of earlier tables of the name.
        stream = max(streams.list_streams(TableName=self._table)["Streams"], key=lambda found: found["StreamLabel"])
        arn = stream["StreamArn"]
        for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            shard_id = shard["ShardId"]
            if shard_id not in self._iterators:
                self._iterators[shard_id] = streams.get_shard_iterator(
                    StreamArn=arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]
            while (iterator := self._iterators[shard_id]) is not None:
                answer = streams.get_records(ShardIterator=iterator)
                self._iterators[shard_id] = answer.get("NextShardIterator")
                found += answer["Records"]  # type: ignore[arg-type]
                if not answer["Records"]:
                    break
        return found

    def changes(self) -> Sequence[Change]:
        return [change for record in self.records() if (change := change_of(record)) is not None]
