"""DynamoDB in the Store contract suite: in memory by moto, and by AWS's own DynamoDB Local."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.dynamodb import DynamoStore
from tests.control_plane.contract.stores import StoreFactory, StoreUnderTest
from tests.support.aws.emulators import dynamodb_local_environment, moto_environment, streams_client
from tests.support.aws.table import StreamReader, corrupt_item, create_table

_numbers = itertools.count(1)


def _factory(environment: Callable[[], AbstractContextManager[None]]) -> StoreFactory:
    # Made once: clients outlive the emulated tables, and making them takes longer than most tests.
    make_clients, make_streams_client = cache(Clients), cache(streams_client)

    @contextmanager
    def dynamodb_store(folder: Path) -> Iterator[StoreUnderTest]:
        with environment():
            clients, table = make_clients(), f"multinode-contract-{next(_numbers)}"
            create_table(clients.dynamodb, table)
            yield StoreUnderTest(
                store=DynamoStore(clients, table),
                changes=StreamReader(make_streams_client, table).changes,
                corrupt=lambda key: corrupt_item(clients.dynamodb, table, key),
                reopened=lambda: DynamoStore(Clients(), table),
            )
            clients.dynamodb.delete_table(TableName=table)

    return dynamodb_store


STORES: dict[str, StoreFactory] = {
    "dynamodb-moto": _factory(moto_environment),
    "dynamodb-local": _factory(dynamodb_local_environment),
}
