"""Ids that sort by time: a prefix and a UUID of version 7 in hex (RFC 9562, section 5.7)."""

import os
import time

__all__ = ["LATEST", "new_invocation_id", "uuid7"]

LATEST = "latest"
"""Names the newest version of a project, where a version's id may stand."""


def uuid7(milliseconds: int, random: int) -> str:
    """Return the 32 hex digits of a UUIDv7: `milliseconds` since the epoch, then the low 74 bits of `random`.

    The upper 12 of those come first and may hold a fraction of the millisecond (section 6.2, method 3).
    """
    upper, lower = random >> 62 & 0xFFF, random & (1 << 62) - 1
    return f"{(milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | upper << 64 | 0b10 << 62 | lower:032x}"


def new_invocation_id() -> str:
    """Return a new ``inv-…``: made by the client before the first request, so that a repeated start is the same one."""
    return f"inv-{uuid7(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10)))}"
