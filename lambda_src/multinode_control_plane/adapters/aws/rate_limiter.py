"""Rate limiter for calls of an API: a token bucket that slows down when the platform throttles.

Several processes share the account's limit without knowing of each other. So a throttled call halves this process's
rate, and successful calls restore it little by little, like TCP on a congested network.
"""

import threading
import time
from collections.abc import Callable

SLOWEST_PER_S = 1.0
GAIN_PER_CALL = 0.5


class RateLimiter:
    """At most `burst` calls at once, then `per_second`. Safe to use from any thread."""

    def __init__(
        self,
        per_second: float,
        burst: int,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._full_rate = self._rate = per_second
        self._burst = burst
        self._now, self._sleep = now, sleep
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._counted_at = now()

    def take(self) -> None:
        """Wait for this caller's turn."""
        with self._lock:
            self._refill()
            self._tokens -= 1
            # A debt is a place in the queue: later callers wait longer.
            wait_s = max(0.0, -self._tokens / self._rate)
        if wait_s > 0:
            self._sleep(wait_s)

    def throttled(self) -> None:
        """Halve the rate, and empty the bucket."""
        with self._lock:
            self._refill()
            self._rate = max(SLOWEST_PER_S, self._rate / 2)
            self._tokens = min(self._tokens, 0.0)

    def went_through(self) -> None:
        """Raise the rate a little, up to the full rate."""
        with self._lock:
            self._refill()
            self._rate = min(self._full_rate, self._rate + GAIN_PER_CALL)

    def _refill(self) -> None:
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._counted_at) * self._rate)
        self._counted_at = now
