"""Opaque, URL-safe offsets: where a listing or a log goes on, bound to what was listed.

An offset is no secret and no capability; the binding makes one of another listing an error instead of a wrong page.
"""

import base64
import hashlib
import json

from multinode_control_plane.core.errors import Refused
from multinode_protocol.error_codes import ErrorCode

__all__ = ["pack", "unpack"]

BINDING_CHARS = 8


def pack(listing: tuple[object, ...], position: tuple[str | None, ...]) -> str:
    """Return the offset of `position` in `listing` (anything whose repr names it)."""
    text = json.dumps([_binding(listing), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def unpack(listing: tuple[object, ...], offset: str, *, parts: int) -> tuple[str | None, ...]:
    """Return the position in an offset of this listing: `parts` values. Raises Refused(OFFSET_IS_INVALID)."""
    try:
        padded = offset.encode("ascii") + b"=" * (-len(offset) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError) as error:
        raise Refused(ErrorCode.OFFSET_IS_INVALID) from error
    if not isinstance(values, list) or len(values) != parts + 1 or values[0] != _binding(listing):
        raise Refused(ErrorCode.OFFSET_IS_INVALID)
    if not all(value is None or isinstance(value, str) for value in values):
        raise Refused(ErrorCode.OFFSET_IS_INVALID)
    return tuple(values[1:])


def _binding(listing: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(listing).encode()).hexdigest()[:BINDING_CHARS]
