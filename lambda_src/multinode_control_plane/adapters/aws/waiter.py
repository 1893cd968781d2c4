"""Waiting requests on Lambda: held for a moment, however long they want to wait, then answered with the current state.

A waiting Lambda costs as much as a working one, and takes up one of the account's few concurrent executions: at 512
MiB, a minute costs about twice as much as a small container's. Clients ask again after a pause of their own.
"""

import time
from collections.abc import Callable

LONGEST_HOLD_S = 1.0


class PollingWaiter:
    """See `ports.Waiter`. Asks once, because each answer is read from DynamoDB or CloudWatch Logs."""

    def __init__(self, *, longest_hold_s: float = LONGEST_HOLD_S, sleep: Callable[[float], None] = time.sleep) -> None:
        self._longest_hold_s = longest_hold_s
        self._sleep = sleep

    def wait(self, invocation_id: str, changed: Callable[[], bool], timeout_s: float) -> None:  # noqa: ARG002 - port
        if not changed() and timeout_s > 0:
            self._sleep(min(timeout_s, self._longest_hold_s))
