"""The simulation runs without coverage's tracing: it would take several times as long, and proves other things."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def without_tracing() -> Iterator[None]:
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)
