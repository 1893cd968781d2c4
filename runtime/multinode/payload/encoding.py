"""Values as text: plain JSON whenever reading it back gives the same values of the same types, else an envelope.

Plain JSON comes first because programs in any language can read and write it.
"""

import json
import math
import types
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from multinode.errors import (
    FunctionInputSizeLimitExceeded,
    FunctionOutputSizeLimitExceeded,
    MultinodeError,
    PayloadError,
)
from multinode.payload import first_generation
from multinode.payload.envelope import ENVELOPE, cut, open_envelope, sealed
from multinode_protocol.limits import MAX_PAYLOAD_BYTES

__all__ = ["decode_arguments", "decode_value", "encode_arguments", "encode_value", "encode_value_for"]

MAX_JSON_DEPTH = 200
"""Deeper values are pickled: parsers of other languages stop at a few hundred levels."""


def encode_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return the input text of a call: JSON ``[[args…], {kwargs…}]`` where that is exact, else an envelope.

    Raises: PayloadError when they cannot be pickled, FunctionInputSizeLimitExceeded.
    """
    text = _exact_json([list(args), dict(kwargs)])
    if text is None:
        text = sealed((tuple(args), dict(kwargs)), "The arguments")
    return _within_limit(text, "The arguments take", FunctionInputSizeLimitExceeded)


def decode_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the keyword arguments of an input text.

    It reads ``[[args…], {kwargs…}]``, a JSON object of keyword arguments, an envelope, and what the first generation's
    SDK sends, ``[{"py/tuple": [args…]}, {kwargs…}]``.

    Raises: PayloadError.
    """
    document = _loads(text)
    if isinstance(document, dict) and ENVELOPE in document:
        document = open_envelope(document)
    elif first_generation.is_call(document):
        document = first_generation.restored(document)
    elif isinstance(document, dict):
        return [], document
    if isinstance(document, list | tuple) and len(document) == 2:
        args, kwargs = document
        if (
            isinstance(args, list | tuple)
            and isinstance(kwargs, dict)
            and all(isinstance(name, str) for name in kwargs)
        ):
            return list(args), kwargs
    raise PayloadError(
        "The input is not a call: it must be a JSON array [[positional arguments], {keyword arguments}], "
        f"or a JSON object of keyword arguments. It is: {cut(text)}"
    )


def encode_value(value: object) -> str:
    """Return a result or progress value as text: JSON where that is exact, else an envelope.

    Raises: PayloadError when it cannot be pickled, FunctionOutputSizeLimitExceeded.
    """
    return _value_text(value, _exact_json)


def encode_value_for(input_text: str) -> Callable[[object], str]:
    """Return the `encode_value` that suits the sender of an input.

    To the first generation's SDK it sends tuples, sets and bytes as jsonpickle, too, which that SDK and `decode_value`
    read. What is not plain data reaches it as the envelope: a dictionary with the value's `repr`.
    """
    if not first_generation.is_call(_loads(input_text)):
        return encode_value
    return partial(_value_text, write=lambda value: _exact_json(value) or first_generation.written(value))


def decode_value(text: str) -> Any:
    """Return the value of a text made by `encode_value`, by the first generation's SDK, or of any other JSON.

    Raises: PayloadError, naming the Python and package versions that differ from those of the writer.
    """
    document = _loads(text)
    if isinstance(document, dict) and ENVELOPE in document:
        return open_envelope(document)
    return first_generation.restored(document) if f'"{first_generation.TAG}' in text else document


def _value_text(value: object, write: Callable[[object], str | None]) -> str:
    # An object that looks like an envelope must not be taken for one when it is read.
    text = None if isinstance(value, dict) and ENVELOPE in value else write(value)
    if text is None:
        text = sealed(value, "The value")
    return _within_limit(text, "The value takes", FunctionOutputSizeLimitExceeded)


def _exact_json(value: object) -> str | None:
    """Return `value` as JSON; None unless reading it back gives equal values of the same types."""
    if not _survives_json(value):
        return None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode("utf-8")
    except ValueError:  # a lone surrogate; an integer of more digits than Python converts
        return None
    return text


def _survives_json(value: object) -> bool:
    """True when `value` holds plain JSON types only, exactly: no subclass, tuple, NaN or key that is not plain.

    Each value takes at least a byte, so a walk over more values than the limit has bytes is given up: cycles end too.
    """
    pending: list[tuple[Any, int]] = [(value, 0)]
    for _ in range(MAX_PAYLOAD_BYTES):
        if not pending:
            return True
        part, depth = pending.pop()
        kind = type(part)
        if kind is list or kind is dict:
            if depth == MAX_JSON_DEPTH or (kind is dict and not all(map(_is_plain_key, part))):
                return False
            pending.extend((child, depth + 1) for child in (part.values() if kind is dict else part))
        elif kind is float:
            if not math.isfinite(part):
                return False
        elif kind not in (str, int, bool, types.NoneType):
            return False
    return not pending


def _is_plain_key(key: object) -> bool:
    """True for a str, but not for jsonpickle's tags: the first generation's SDK would make an object of them."""
    return type(key) is str and not key.startswith(first_generation.TAG)


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError) as error:
        raise PayloadError(f"The text is not JSON ({error}): {cut(str(text))}") from error
    except RecursionError as error:
        raise PayloadError("The text is JSON nested too deeply to be read") from error


def _within_limit(text: str, subject: str, error: type[MultinodeError]) -> str:
    size = len(text.encode("utf-8"))
    if size > MAX_PAYLOAD_BYTES:
        raise error(
            f"{subject} {size:,} bytes once encoded; at most {MAX_PAYLOAD_BYTES:,} are allowed. "
            "Keep large data in a file or bucket that both sides can reach, and pass its name"
        )
    return text
