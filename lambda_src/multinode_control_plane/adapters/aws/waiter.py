"""② Waiting requests on Lambda: asked again and again for a moment, then answered.

A Lambda that waits is paid for as one that works: 512 MiB held for a minute cost about as much as a small container. So
a request is held only for a moment, whatever it asked for, and the client that comes again after a pause of its own
does the waiting for nothing.
"""

import time
from collections.abc import Callable

__all__ = ["PollingWaiter"]

LONGEST_HOLD_S = 1.0
FIRST_PAUSE_S = 0.15
LONGEST_PAUSE_S = 0.4


class PollingWaiter:
    """See `ports.Waiter`. Returns after `longest_hold_s` although nothing has changed."""

    def __init__(
        self,
        *,
        longest_hold_s: float = LONGEST_HOLD_S,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._longest_hold_s = longest_hold_s
        self._sleep = sleep
        self._monotonic = monotonic

    def wait(self, invocation_id: str, changed: Callable[[], bool], timeout_s: float) -> None:  # noqa: ARG002 - port
        until = self._monotonic() + min(timeout_s, self._longest_hold_s)
        pause_s = FIRST_PAUSE_S
        while not changed():
            left_s = until - self._monotonic()
            if left_s <= 0:
                return
            self._sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
