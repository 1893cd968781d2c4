"""Waiting for a condition: the one way in which tests wait for processes, threads and containers."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE_S", "until"]

T = TypeVar("T")
PATIENCE_S = 300.0
"""No promise of the product's: only a test that fails waits so long, however busy the machine is."""


def until(value: Callable[[], T], what: str, *, timeout_s: float = PATIENCE_S, every_s: float = 0.05) -> T:
    """Return the first true value. Raises AssertionError, with the last value, when none comes within `timeout_s`."""
    give_up_at = time.monotonic() + timeout_s
    while not (found := value()):
        assert time.monotonic() < give_up_at, f"waited {timeout_s:.0f} s for {what}; the last was: {found!r}"
        time.sleep(every_s)
    return found
