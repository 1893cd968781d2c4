"""What the tests of the adapters for AWS share: clients that reach moto or a stub, and records to work on."""

from collections.abc import Callable, Iterator

import pytest

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.dynamodb import DynamoStore
from tests.support.aws.emulators import dynamodb_local_environment, moto_environment
from tests.support.aws.table import create_table

TABLE = "multinode-test"


@pytest.fixture
def moto() -> Iterator[None]:
    """AWS in memory, empty, and none of the developer's own credentials."""
    with moto_environment():
        yield


@pytest.fixture
def clients(moto: None) -> Clients:
    return Clients()


@pytest.fixture
def pauses() -> list[float]:
    """The seconds that `sleep` was asked for; nobody waits."""
    return []


@pytest.fixture
def sleep(pauses: list[float]) -> Callable[[float], None]:
    return pauses.append


@pytest.fixture
def moto_store(clients: Clients, sleep: Callable[[float], None]) -> DynamoStore:
    """A store on moto whose retries do not wait."""
    create_table(clients.dynamodb, TABLE)
    return DynamoStore(clients, TABLE, sleep=sleep)


@pytest.fixture
def local_clients() -> Iterator[Clients]:
    """Clients of DynamoDB Local, with a fresh table of the name TABLE."""
    with dynamodb_local_environment():
        clients = Clients()
        create_table(clients.dynamodb, TABLE)
        yield clients
        clients.dynamodb.delete_table(TableName=TABLE)
