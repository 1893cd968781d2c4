"""The clock and the randomness of the machine: one implementation for every deployment."""

import random
import secrets
import threading
import time
from datetime import UTC, datetime

__all__ = ["SystemClock", "SystemIds"]


class SystemClock:
    """See `ports.Clock`."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SystemIds:
    """See `ports.Ids`. Ids made by one process sort in the order in which they were made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def new(self, prefix: str) -> str:
        return f"{prefix}-{self._uuid7():032x}"

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreads retries; no secret

    def _uuid7(self) -> int:
        """Return a UUIDv7 as an integer: RFC 9562, section 5.7, its `rand_a` holding a fraction of the millisecond.

        48 bits of milliseconds and 12 bits of 1/4096 ms, made to grow by at least one step (section 6.2, method 3),
        then 62 random bits.
        """
        with self._lock:
            ticks = max(time.time_ns() * 4096 // 1_000_000, self._last + 1)
            self._last = ticks
        milliseconds, fraction = divmod(ticks, 4096)
        return (milliseconds << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | secrets.randbits(62)
