"""A control plane to talk to, and an environment that names it."""

from collections.abc import Iterator

import pytest

from multinode import Function, get_deployed_function
from multinode.config import Connection
from tests.support.bodies import function_info
from tests.support.control_plane import KEY, FakeControlPlane
from tests.support.faulty_server import serving

PROJECT = "shop"
FUNCTIONS = (function_info("add", ["a", "b="]), function_info("free") | {"signature": None})


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeControlPlane]:
    """A control plane that has the functions `add(a, b=...)` and `free`, and to which the environment points."""
    with serving(FakeControlPlane()) as plane:
        plane.add_project(PROJECT, *FUNCTIONS)
        monkeypatch.setenv("MULTINODE_API_URL", plane.url)
        monkeypatch.setenv("MULTINODE_API_KEY", KEY)
        yield plane


@pytest.fixture
def connection(plane: FakeControlPlane) -> Connection:
    return Connection(plane.url, KEY, "environment")


@pytest.fixture
def add(plane: FakeControlPlane) -> "Function[..., int]":
    """The deployed function `add(a, b=...)`."""
    return get_deployed_function(PROJECT, "add")
