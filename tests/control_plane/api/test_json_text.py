"""A request's bytes become one JSON object, or a refusal that says why: never two readings of the same bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode_control_plane.api.json_text import MAX_DEPTH, read_object
from multinode_control_plane.core.errors import Refused
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.limits import MAX_BODY_BYTES

MALFORMED = {
    "text that is no JSON": (b"hello", "not JSON"),
    "JSON cut short": (b'{"a": 1', "not JSON"),
    "something after the object": (b"{} {}", "not JSON"),
    "a trailing comma": (b'{"a": 1,}', "not JSON"),
    "single quotes": (b"{'a': 1}", "not JSON"),
    "an array": (b"[]", "not an array"),
    "a string": (b'"a"', "not a string"),
    "a number": (b"1", "not a number"),
    "true": (b"true", "not true or false"),
    "null": (b"null", "not null"),
    "NaN": (b'{"a": NaN}', "NaN"),
    "Infinity": (b'{"a": Infinity}', "Infinity"),
    "minus Infinity": (b'{"a": -Infinity}', "-Infinity"),
    "a key twice": (b'{"a": 1, "a": 1}', 'the key "a" twice'),
    "a key twice further down": (b'{"a": [{"b": 1, "c": 2, "b": 3}]}', 'the key "b" twice'),
    "a byte order mark": (b"\xef\xbb\xbf{}", "BOM"),
    "Latin-1": (b'{"a": "\xe9"}', "not UTF-8 at byte 7"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "gzip": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "not UTF-8"),
    "a raw control character in a string": (b'{"a": "\x00"}', "not JSON"),
    "an integer of 5,000 digits": (b'{"a": ' + b"1" * 5000 + b"}", "not JSON"),
    "objects nested 10,000 deep": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "deeper than 100"),
    "arrays nested 10,000 deep, never closed": (b"[" * 10_000, "deeper than 100"),
    "101 levels": (b"[" * 101 + b"]" * 101, "deeper than 100"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_one_json_object_is_malformed(name: str) -> None:
    body, words = MALFORMED[name]
    with pytest.raises(Refused) as refused:
        read_object(body)
    assert refused.value.code is ErrorCode.REQUEST_IS_MALFORMED
    assert words in refused.value.message


@pytest.mark.parametrize("body", [b"", b" \r\n\t"])
def test_no_body_is_an_empty_object(body: bytes) -> None:
    assert read_object(body) == {}


def test_a_body_over_the_limit_is_too_large_whatever_is_in_it() -> None:
    with pytest.raises(Refused) as refused:
        read_object(b" " * (MAX_BODY_BYTES + 1))
    assert refused.value.code is ErrorCode.REQUEST_IS_TOO_LARGE
    assert refused.value.message == "The request is too large: a body may have 1000000 bytes, this has 1000001"


def test_a_body_at_the_limit_is_read() -> None:
    body = b'{"a": "' + b"x" * (MAX_BODY_BYTES - 9) + b'"}'
    assert len(body) == MAX_BODY_BYTES
    assert len(str(read_object(body)["a"])) == MAX_BODY_BYTES - 9


def test_a_hundred_levels_are_read_and_brackets_within_strings_are_no_levels() -> None:
    deep = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert "a" in read_object(deep)
    assert read_object(b'{"a": "' + b"[" * 500 + b'\\"' + b"{" * 500 + b'"}')["a"] == "[" * 500 + '"' + "{" * 500


def test_an_unterminated_string_of_escaped_quotes_is_refused_without_delay() -> None:
    # Half a million starts of a string that all run to the end would take hours if each were tried.
    with pytest.raises(Refused) as refused:
        read_object(b'{"a": "' + b'\\"' * 490_000)
    assert refused.value.code is ErrorCode.REQUEST_IS_MALFORMED


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    ),
    st.booleans(),
)
def test_every_json_object_is_read_as_python_reads_it(value: object, ascii_only: bool) -> None:
    text = json.dumps({"value": value}, ensure_ascii=ascii_only)
    assert read_object(text.encode()) == {"value": value}


@given(st.binary(max_size=60))
def test_no_bytes_make_it_fail_in_any_other_way(body: bytes) -> None:
    try:
        assert isinstance(read_object(body), dict)
    except Refused as refused:
        assert refused.code is ErrorCode.REQUEST_IS_MALFORMED
