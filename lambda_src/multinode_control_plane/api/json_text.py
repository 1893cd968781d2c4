"""Parsing a request's bytes as a JSON object, strictly: text that two parsers might read differently is refused."""

import json
import re
from typing import NoReturn, cast

from multinode_control_plane.core.errors import Refused
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.limits import MAX_BODY_BYTES

JsonObject = dict[str, object]

MAX_DEPTH = 100
"""How deep arrays and objects may be nested: far more than our bodies need, far less than overflows the parser."""

_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
"""Each alternative consumes what it has read, an unterminated string to its end, so the time is linear in the text."""


def read_object(body: bytes) -> JsonObject:
    """Return the JSON object in `body`; an empty body is an empty object.

    Raises Refused: REQUEST_IS_TOO_LARGE over MAX_BODY_BYTES; REQUEST_IS_MALFORMED if it is not UTF-8 or not JSON (NaN
    and Infinity are not), is nested deeper than MAX_DEPTH, has a key twice in one object, or is not an object.
    """
    if len(body) > MAX_BODY_BYTES:
        raise Refused(ErrorCode.REQUEST_IS_TOO_LARGE, f"a body may have {MAX_BODY_BYTES} bytes, this has {len(body)}")
    if not body.strip():
        return {}
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not UTF-8 at byte {error.start}") from error
    if _depth(text) > MAX_DEPTH:
        raise _malformed(f"the body is nested deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _malformed(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except ValueError as error:  # an integer of more digits than Python reads
        raise _malformed(f"the body is not JSON that can be read: {error}") from error
    if not isinstance(value, dict):
        raise _malformed(f"the body must be a JSON object, not {_kind(value)}")
    return cast(JsonObject, value)


def _depth(text: str) -> int:
    """Return how deep brackets outside strings are nested, without recursion."""
    depth = deepest = 0
    for match in _STRINGS_AND_BRACKETS.finditer(text):
        mark = match[0]
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, object]]) -> JsonObject:
    result: JsonObject = {}
    for key, value in pairs:
        if key in result:
            raise _malformed(f"an object of the body has the key {json.dumps(key[:100])} twice")
        result[key] = value
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise _malformed(f"the body is not JSON: {name} is no JSON number")


def _malformed(detail: str) -> Refused:
    return Refused(ErrorCode.REQUEST_IS_MALFORMED, detail)


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return "a string"
    return "null" if value is None else "true or false" if isinstance(value, bool) else "a number"
