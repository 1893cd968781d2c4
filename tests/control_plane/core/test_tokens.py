"""An execution's token speaks for that execution, and no text that anybody can make of it speaks for another."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode_control_plane.core.tokens import TokenScope, _signature, read, sign

SECRET = bytes(range(32))
SCOPE = TokenScope("shop", "ver-1", "f", "inv-1", "exe-1")


def signed_claims(claims: bytes) -> str:
    """Return a token of any claims with a true signature."""
    head = "mnx_" + base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
    return f"{head}_{_signature(SECRET, head)}"


def test_a_token_is_prefix_claims_and_signature() -> None:
    claims = base64.urlsafe_b64encode(b'["shop","ver-1","f","inv-1","exe-1"]').rstrip(b"=").decode()
    token = sign(SECRET, SCOPE)
    assert token.startswith(f"mnx_{claims}_")
    assert len(token) == len(f"mnx_{claims}_") + 43


def test_the_known_token_of_a_known_secret_stays_the_same() -> None:
    # From `openssl dgst -sha256 -mac HMAC`: a change of format would lock out the workers that run during an upgrade.
    claims, signature = (
        "WyJzaG9wIiwidmVyLTEiLCJmIiwiaW52LTEiLCJleGUtMSJd",
        "g2jbfB21fd3BKwwCZkQTykq0WCXznkqdm7y_nap3HjQ",
    )
    assert sign(SECRET, SCOPE) == f"mnx_{claims}_{signature}"


@given(st.tuples(*[st.text(max_size=30)] * 5), st.binary(min_size=32, max_size=64))
def test_what_was_signed_is_read_back(names: tuple[str, str, str, str, str], secret: bytes) -> None:
    scope = TokenScope(*names)
    assert read(secret, sign(secret, scope)) == scope


def test_another_secret_reads_nothing() -> None:
    assert read(bytes(32), sign(SECRET, SCOPE)) is None


@given(st.integers(min_value=0), st.characters(min_codepoint=33, max_codepoint=126))
def test_a_token_with_any_character_changed_is_none(place: int, character: str) -> None:
    token = sign(SECRET, SCOPE)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    assert (read(SECRET, changed) is None) == (changed != token)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mnx_",
        "mnx__",
        "mn_00000001_" + "k" * 43,
        "x" * 3000,
        sign(SECRET, SCOPE) + "=",
        sign(SECRET, SCOPE) + "é",
        sign(SECRET, SCOPE)[:-1],
        sign(SECRET, SCOPE).upper(),
        sign(SECRET, SCOPE).replace("mnx_", "mny_"),
    ],
)
def test_other_texts_are_no_tokens(text: str) -> None:
    assert read(SECRET, text) is None


@pytest.mark.parametrize(
    "claims",
    [
        b'["shop","ver-1","f","inv-1"]',
        b'["shop","ver-1","f","inv-1","exe-1","more"]',
        b'["shop","ver-1","f","inv-1",5]',
        json.dumps({"project_name": "shop"}).encode(),
        b"not json",
        b"\xff",
    ],
)
def test_signed_claims_of_another_shape_speak_for_nobody(claims: bytes) -> None:
    assert read(SECRET, signed_claims(claims)) is None


def test_a_short_secret_is_refused_rather_than_used() -> None:
    with pytest.raises(ValueError, match="31 bytes, it needs at least 32"):
        sign(bytes(31), SCOPE)
