"""What went wrong in the user's code, in a form that always fits into a report.

Tracebacks are trimmed to what the user wrote or called: frames of Multinode itself and of Python's import machinery
are left out, and paths below the project's folder are relative to it.
"""

import contextlib
import importlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import multinode
from multinode.errors import NonRetryableError
from multinode_protocol.limits import MAX_ERROR_CHARS

_OWN_DIR = f"{Path(multinode.__file__).parent}/"
_MACHINERY = ("<frozen importlib.", "<frozen runpy>", importlib.__file__)


class ErrorReport(TypedDict):
    """The error fields of `messages.FinishBody`."""

    error_message: str
    error_type: str
    error_bases: list[str]
    error_traceback: str
    retryable: bool


def cut(text: str, limit: int = MAX_ERROR_CHARS) -> str:
    """Return `text` in at most `limit` characters: its beginning and end, and a note on what is left out."""
    if len(text) <= limit:
        return text
    note = f"\n[… {len(text) - limit:,} characters or more left out …]\n"
    if len(note) >= limit:
        return text[:limit]
    head = (limit - len(note)) // 3
    tail = limit - len(note) - head
    return f"{text[:head]}{note}{text[-tail:]}"


def describe(error: BaseException, code_dir: Path) -> ErrorReport:
    """Return the report on `error`. It never raises: if the error cannot be shown, it names its class."""
    kind = type(error)
    name = _name(kind)
    try:
        message = _message(error)
        return ErrorReport(
            error_message=_plain(cut(f"{name}: {message}" if message else name)),
            error_type=_plain(cut(_qualified(kind), 1_000)),
            error_bases=_names(kind),
            error_traceback=_plain(cut(trimmed_traceback(error, code_dir))),
            retryable=not isinstance(error, NonRetryableError),
        )
    except BaseException as trouble:  # perhaps out of memory or stack; no caller could handle it
        return ErrorReport(
            error_message=f"{name}: (the rest cannot be shown: {_name(type(trouble))})",
            error_type=name,
            error_bases=[name],
            error_traceback="",
            retryable=True,
        )


def trimmed_traceback(error: BaseException, code_dir: Path) -> str:
    """Return the traceback as Python prints it, with causes and groups, without the frames that are not the user's."""
    shown = traceback.TracebackException.from_exception(error, compact=True)
    root = f"{code_dir}/"
    for part in _parts(shown):
        kept = [frame for frame in part.stack if not _is_ours(frame.filename)]
        for frame in kept:
            frame.filename = frame.filename.removeprefix(root)
        part.stack = traceback.StackSummary.from_list(kept)
        if isinstance(getattr(part, "filename", None), str):  # of a SyntaxError
            part.filename = part.filename.removeprefix(root)
    return "".join(shown.format())


def _parts(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    pending = [shown]
    seen = set()
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        pending += [linked for linked in (part.__cause__, part.__context__) if linked is not None]
        pending += part.exceptions or []


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OWN_DIR, *_MACHINERY))


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException as trouble:  # the user's own __str__ may raise anything
        return f"(its text cannot be shown: __str__ raised {_name(type(trouble))})"
    if isinstance(error, SystemExit):
        return f"the code called sys.exit({'' if error.code is None else cut(repr(error.code), 1_000)})"
    return text


def _name(kind: type[BaseException]) -> str:
    name = "an exception"
    with contextlib.suppress(Exception):
        name = str(kind.__name__)
    return name


def _qualified(kind: type) -> str:
    module = str(kind.__module__)
    return str(kind.__qualname__) if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def _names(kind: type[BaseException]) -> list[str]:
    """Return the simple and the qualified name of the class and of each base, each once, nearest first."""
    names: dict[str, None] = {}
    for base in kind.__mro__:
        if base is not object:
            names.update(dict.fromkeys((base.__name__, f"{base.__module__}.{base.__qualname__}")))
    return [cut(name, 300) for name in list(names)[:100]]


def _plain(text: str) -> str:
    """Return `text` as UTF-8 can carry it, without NUL characters, which some stores cannot keep."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
