"""Opaque, URL-safe offsets that say where a listing or a log continues. One codec for the API and every adapter.

An offset is neither a secret nor a capability. It carries a digest of what was listed, so that the offset of another
listing is an error instead of a wrong page.
"""

import base64
import hashlib
import json
from collections.abc import Sequence

DIGEST_CHARS = 8


def pack(listing: tuple[object, ...], position: Sequence[str | None]) -> str:
    """Return the offset of `position` in `listing`, which can be any tuple whose repr identifies the listing."""
    text = json.dumps([_digest(listing, position), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def unpack(listing: tuple[object, ...], offset: str, *, parts: int) -> tuple[str | None, ...]:
    """Return the position, of `parts` values, that `pack` was given. Raises ValueError for any other text."""
    try:
        padded = offset.encode("ascii") + b"=" * (-len(offset) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError) as error:
        raise ValueError("this is not an offset") from error
    if not isinstance(values, list) or len(values) != parts + 1:
        raise ValueError("this is not an offset of such a listing")
    digest, *position = values
    if not all(value is None or isinstance(value, str) for value in position):
        raise ValueError("this is not an offset of such a listing")
    if digest != _digest(listing, position):
        raise ValueError("this is an offset of another listing")
    return tuple(position)


def _digest(listing: tuple[object, ...], position: Sequence[str | None]) -> str:
    return hashlib.sha256(repr((listing, *position)).encode()).hexdigest()[:DIGEST_CHARS]
