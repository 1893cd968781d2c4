"""One parameter per implementation of a port: whatever a contract test takes, it takes from each of them in turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from multinode_control_plane.ports import Store
from tests.control_plane.contract.computes import ComputeUnderTest, registered_computes
from tests.control_plane.contract.stores import StoreUnderTest, registered_stores

_STORES = registered_stores()
_COMPUTES = registered_computes()


def _store_parameter(name: str) -> object:
    # Moto is slow, and DynamoDB Local is a JVM of its own for each worker of the run.
    return pytest.param(name, marks=pytest.mark.slow) if name.startswith("dynamodb-") else name


@pytest.fixture(params=[_store_parameter(name) for name in sorted(_STORES)])
def store_under_test(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreUnderTest]:
    with _STORES[request.param](tmp_path) as under_test:
        yield under_test


@pytest.fixture(params=[_store_parameter(name) for name in sorted(set(_STORES) - {"memory"})])
def encoded_store_under_test(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreUnderTest]:
    """Give each store that encodes its records: only there can one be unreadable."""
    with _STORES[request.param](tmp_path) as under_test:
        yield under_test


@pytest.fixture
def store(store_under_test: StoreUnderTest) -> Store:
    return store_under_test.store


def _compute_parameter(name: str) -> object:
    return name if name == "fake" else pytest.param(name, marks=pytest.mark.slow)


@pytest.fixture(params=[_compute_parameter(name) for name in sorted(_COMPUTES)])
def compute_under_test(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ComputeUnderTest]:
    with _COMPUTES[request.param](tmp_path) as under_test:
        yield under_test
