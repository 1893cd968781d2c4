"""The machine's clock and randomness, for every deployment."""

import random
import secrets
import threading
import time
from datetime import UTC, datetime

from multinode_protocol.ids import uuid7

TICKS_PER_MS = 4096
"""As many as fit into the 12 bits that a UUIDv7 has for them."""


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
        milliseconds, fraction = divmod(self._ticks(), TICKS_PER_MS)
        return f"{prefix}-{uuid7(milliseconds, fraction << 62 | secrets.randbits(62))}"

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreads retries; no secret

    def _ticks(self) -> int:
        """Return the time in 1/4096 ms, at least one more than in the call before (RFC 9562, 6.2, method 3)."""
        with self._lock:
            self._last = max(time.time_ns() * TICKS_PER_MS // 1_000_000, self._last + 1)
            return self._last
