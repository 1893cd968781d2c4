"""``--args``, ``--arg`` and ``--args-file`` -> positional and keyword arguments of an invocation."""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from multinode_cli.console.text import one_line, path_text
from multinode_cli.errors import UsageFailure

MAX_FILE_BYTES = 10_000_000


def from_options(text: str | None, pairs: tuple[str, ...], file: str | None) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments. Raises UsageFailure if they cannot be read or contradict each other.

    `text` is JSON, an array (positional) or an object (keywords); `file` holds the same; each of `pairs` is
    ``name=value``.
    """
    if text is not None and file is not None:
        raise UsageFailure("use either --args or --args-file, not both")
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    if text is not None:
        args, kwargs = from_json(text, "--args")
    elif file is not None:
        args, kwargs = from_json(read_file(file), "--args-file")
    for pair in pairs:
        name, value = _pair(pair)
        if name in kwargs:
            raise UsageFailure(f"the argument {one_line(name)} is given twice")
        kwargs[name] = value
    return args, kwargs


def from_json(text: str, option: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments in a JSON array or object. Raises UsageFailure, which names `option`."""
    try:
        value = _loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        hint = "" if text.strip() else "; to pass no arguments, leave it out"
        raise UsageFailure(f"{option} is not JSON: {error.msg} at {where}{hint}") from error
    except RecursionError as error:
        raise UsageFailure(f"{option} is nested too deeply") from error
    except ValueError as error:
        raise UsageFailure(f"{option} is not JSON: {error}") from error
    match value:
        case list():
            return value, {}
        case dict():
            return [], value
    raise UsageFailure(
        f"{option} must be a JSON array (positional arguments) or object (keyword arguments), such as "
        f"'[{json.dumps(value)}]'"
    )


def _pair(pair: str) -> tuple[str, Any]:
    """Return the name and the value of ``name=value``: the value as JSON if it parses, else as text."""
    name, equals, text = pair.partition("=")
    if not equals or not name:
        raise UsageFailure(f"--arg {one_line(pair, 60)!r} is not of the form name=value")
    try:
        return name, _loads(text)
    except (ValueError, RecursionError):
        return name, text


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_without_duplicates)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {one_line(twice)!r} occurs twice in one object")
    return value


def read_file(name: str) -> str:
    """Return the text of a file; ``-`` is stdin. Raises UsageFailure."""
    try:
        if name == "-":
            content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if sys.stdin else b""
        else:
            with Path(name).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageFailure(f"--args-file {path_text(name)} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageFailure(f"--args-file {path_text(name)} is not UTF-8 text") from error
    if len(content) > MAX_FILE_BYTES:
        raise UsageFailure(f"--args-file {path_text(name)} is larger than {MAX_FILE_BYTES:,} bytes")
    return text
