"""Encoded arguments, progress and results, made readable without ever unpickling. Pure.

A text is plain JSON, or the envelope ``{"__multinode__": "cloudpickle", "data", "repr", "python", "packages"}`` around
a value that JSON cannot carry exactly, or jsonpickle from a program with multinode 1.0 (`payload.first_generation`), or
(from another kind of program) anything else.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

MARK = "__multinode__"


def as_json(text: str | None) -> object:
    """Return what a ``--json`` field shows: the decoded value, an envelope without its ``data``, else the text."""
    if text is None:
        return None
    try:
        value = _decoded(text)
    except ValueError:
        return text
    return {key: part for key, part in value.items() if key != "data"} if _is_envelope(value) else value


def as_text(text: str | None) -> str:
    """Return a value for people: JSON on one line; of an envelope, and of jsonpickle, the ``repr`` of the value."""
    if text is None:
        return ""
    try:
        value = _decoded(text)
    except ValueError:
        return text
    if _is_envelope(value):
        return _representation(value)
    restored = _restored(value) if '"py/' in text else value
    return _written(value) if restored == value else repr(restored)


def call_text(function_name: str, text: str) -> str:
    """Return an input as a call: ``solve(8, rounds=5)``."""
    try:
        value = _decoded(text)
    except ValueError:
        return f"{function_name}({text})"
    args: Sequence[object]
    written: Callable[[object], str] = _written
    if text.lstrip().startswith('[{"py/tuple"'):
        value, written = _restored(value), repr
    match value:
        case _ if _is_envelope(value):
            return f"{function_name}({_representation(value)})"
        case [list(args) | tuple(args), dict(kwargs)]:
            pass
        case dict(kwargs):
            args = []
        case _:
            return f"{function_name}({_written(value)})"
    parts = [written(argument) for argument in args] + [f"{name}={written(part)}" for name, part in kwargs.items()]
    return f"{function_name}({', '.join(parts)})"


def _restored(value: object) -> object:
    """Return the plain data that jsonpickle wrote as `value`; `value` itself where it is something else."""
    from multinode.errors import PayloadError
    from multinode.payload.first_generation import restored

    try:
        return restored(value)
    except PayloadError:
        return value


def _decoded(text: str) -> object:
    """Return the JSON value of `text`. Raises ValueError if it is not JSON."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_envelope(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and value.get(MARK) == "cloudpickle"


def _representation(envelope: dict[str, Any]) -> str:
    shown = envelope.get("repr")
    return shown if isinstance(shown, str) else "<a Python object>"
