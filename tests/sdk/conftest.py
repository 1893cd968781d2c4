"""A control plane to talk to, and an environment that names it."""

from collections.abc import Iterator

import pytest

from multinode import Function, get_deployed_function
from multinode.config import Connection
from tests.sdk.plane import KEY, PROJECT, Plane, serving


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plane]:
    """A control plane that answers, and to which the environment points."""
    with serving(Plane()) as plane:
        monkeypatch.setenv("MULTINODE_API_URL", plane.url)
        monkeypatch.setenv("MULTINODE_API_KEY", KEY)
        yield plane


@pytest.fixture
def connection(plane: Plane) -> Connection:
    return Connection(plane.url, KEY, "environment")


@pytest.fixture
def add(plane: Plane) -> "Function[..., int]":
    """The deployed function `add(a, b=...)`."""
    return get_deployed_function(PROJECT, "add")
