"""Execution tokens, with which a container authenticates instead of the deployment's key. Signed, not encrypted.

``mnx_<claims>_<signature>``: base64url, unpadded. The claims are a JSON array of the five fields of a TokenScope; the
signature is HMAC-SHA256 over everything before it. A token carries no expiry: it is valid until its execution ends,
which `services.access` looks up.
"""

import base64
import hmac
import json
from dataclasses import astuple, dataclass

from multinode_control_plane.core.records import Execution, Invocation

PREFIX = "mnx_"
MIN_SECRET_BYTES = 32
MAX_TOKEN_CHARS = 2048
SIGNATURE_CHARS = 43
"""32 bytes in base64url without padding."""


@dataclass(frozen=True, slots=True)
class TokenScope:
    """The one execution that a token stands for."""

    project_name: str
    version_id: str
    function_name: str
    invocation_id: str
    execution_id: str


def execution_token(secret: bytes, invocation: Invocation, execution: Execution) -> str:
    """Return the token of an execution, as `sign` does."""
    key = invocation.function_key
    names = (key.project_name, key.version_id, key.function_name, invocation.invocation_id, execution.execution_id)
    return sign(secret, TokenScope(*names))


def sign(secret: bytes, scope: TokenScope) -> str:
    """Return the token of an execution: always the same for the same secret and scope.

    Raises ValueError for a secret shorter than the hash's output, as RFC 2104, section 3, recommends.
    """
    claims = json.dumps(astuple(scope), separators=(",", ":")).encode()
    signed = PREFIX + _base64(claims)
    return f"{signed}_{_signature(secret, signed)}"


def read(secret: bytes, text: str) -> TokenScope | None:
    """Return the scope of a token that was signed with `secret`; None for every other text."""
    if len(text) > MAX_TOKEN_CHARS or not text.isascii() or not text.startswith(PREFIX):
        return None
    # The alphabet of base64url contains _, so the separator is found by the signature's fixed length.
    signed, signature = text[: -SIGNATURE_CHARS - 1], text[-SIGNATURE_CHARS:]
    if text != f"{signed}_{signature}" or not hmac.compare_digest(signature, _signature(secret, signed)):
        return None
    return _scope(signed.removeprefix(PREFIX))


def _scope(claims: str) -> TokenScope | None:
    """Return the scope in signed claims; None if a newer Multinode wrote claims that this one does not know."""
    try:
        values = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except ValueError:
        return None
    well_formed = isinstance(values, list) and len(values) == 5 and all(isinstance(value, str) for value in values)
    return TokenScope(*values) if well_formed else None


def _signature(secret: bytes, signed: str) -> str:
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"the token secret has {len(secret)} bytes, it needs at least {MIN_SECRET_BYTES}")
    return _base64(hmac.digest(secret, signed.encode(), "sha256"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
