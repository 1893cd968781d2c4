"""Waiting requests on Lambda: held for a moment, whatever they ask for, then answered as things stand.

A Lambda that waits is paid for as one that works, and takes up one of the account's few concurrent executions: at 512
MiB a minute costs about twice what a small container does. Clients come again after a pause of their own.
"""

import time
from collections.abc import Callable

LONGEST_HOLD_S = 1.0


class PollingWaiter:
    """See `ports.Waiter`. Asks once, since what waiting requests ask is read from DynamoDB or CloudWatch Logs anew."""

    def __init__(self, *, longest_hold_s: float = LONGEST_HOLD_S, sleep: Callable[[float], None] = time.sleep) -> None:
        self._longest_hold_s = longest_hold_s
        self._sleep = sleep

    def wait(self, invocation_id: str, changed: Callable[[], bool], timeout_s: float) -> None:  # noqa: ARG002 - port
        if not changed() and timeout_s > 0:
            self._sleep(min(timeout_s, self._longest_hold_s))
