"""A value that JSON cannot carry, pickled, with what a reader needs to know when it cannot read it::

    {"__multinode__": "cloudpickle", "data": <base64>, "repr": <text>, "python": "3.11.7", "packages": {"numpy": "2.1"}}

`repr` and `packages` are for people and for error messages. Opening an envelope can run code of its writer: open only
what comes from a control plane whose key holders you trust.
"""

import base64
import json
import pickle
import platform
import reprlib
import sys
from functools import cache
from typing import Any

from multinode.errors import (
    ExecutionInterruptedError,
    InvocationCancelledError,
    InvocationTimedOutError,
    PayloadError,
)
from multinode.payload.own_code import ByValue, dump, register_own_modules
from multinode_protocol.limits import MAX_PAYLOAD_BYTES

__all__ = ["ENVELOPE", "cut", "open_envelope", "sealed"]

ENVELOPE = "__multinode__"
CLOUDPICKLE = "cloudpickle"
MAX_REPR_CHARS = 1_000

_INTERRUPTIONS = (InvocationCancelledError, InvocationTimedOutError, ExecutionInterruptedError)
"""Raised into running code at any moment, so perhaps while a value is pickled: so the value is not at fault."""


def sealed(value: object, subject: str) -> str:
    """Return `value` pickled, in an envelope. `subject` begins the message of what this raises.

    Raises: PayloadError.
    """
    try:
        data = _pickled(value)
    except _INTERRUPTIONS:
        raise
    except Exception as error:
        raise PayloadError(
            f"{subject} cannot be pickled: {type(error).__name__}: {error}. Pass plain data instead of {_shown(value)}"
        ) from error
    envelope = {
        ENVELOPE: CLOUDPICKLE,
        "data": base64.b64encode(data).decode("ascii"),
        "repr": _shown(value),
        "python": platform.python_version(),
        "packages": _packages(data),
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))


def open_envelope(envelope: dict[str, Any]) -> Any:
    """Return the value in `envelope`.

    Raises: PayloadError, naming the Python and package versions that differ from those of the writer.
    """
    if envelope[ENVELOPE] != CLOUDPICKLE:
        raise PayloadError(
            f"The value is encoded as {envelope[ENVELOPE]!r}, which this version of multinode cannot read: upgrade it"
        )
    try:
        data = base64.b64decode(envelope["data"], validate=True)
    except (KeyError, ValueError, TypeError) as error:
        raise PayloadError("The value's envelope is damaged: its data is not base64") from error
    minor = ".".join(str(envelope.get("python", "")).split(".")[:2])
    if minor != ".".join(map(str, sys.version_info[:2])) and "_make_function" in _names_in(data):
        # Byte code of another minor version does not raise: it may crash the interpreter.
        raise PayloadError(
            _why_unreadable(envelope, "it holds functions, which only run on the version of Python that made them")
        )
    try:
        return pickle.loads(data)  # noqa: S301 - see the module's docstring
    except _INTERRUPTIONS:
        raise
    except Exception as error:
        raise PayloadError(_why_unreadable(envelope, f"{type(error).__name__}: {error}")) from error


def cut(text: str) -> str:
    """Return the beginning of `text` that people are shown: at most `MAX_REPR_CHARS`, encodable as UTF-8."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= MAX_REPR_CHARS else f"{text[: MAX_REPR_CHARS - 1]}…"


def _pickled(value: object) -> bytes:
    """Return `value` pickled, own code by value; by reference where that fails or is too large to be carried."""
    register_own_modules()
    try:
        data = dump(value, ByValue.ALL)
    except _INTERRUPTIONS:
        raise
    except Exception as failure:
        try:
            return dump(value, ByValue.NOTHING)
        except _INTERRUPTIONS:
            raise
        except Exception:
            raise failure from None
    # Base64 makes 4 characters of 3 bytes; what surrounds the data takes a few thousand.
    if len(data) * 4 / 3 < MAX_PAYLOAD_BYTES - 5_000:
        return data
    return min(data, dump(value, ByValue.NOTHING), key=len)


def _why_unreadable(envelope: dict[str, Any], reason: str) -> str:
    """Return the message of a value that cannot be unpickled here: what failed, what differs, what the value was."""
    here = platform.python_version()
    there = str(envelope.get("python", "unknown"))
    differences = [] if here == there else [f"Python {there} there, {here} here"]
    packages = envelope.get("packages")
    for package, version in (packages if isinstance(packages, dict) else {}).items():
        installed = _package_version(str(package))
        if installed != version:
            differences.append(f"{package} {version} there, {installed or 'not installed'} here")
    differs = f"What differs: {'; '.join(differences)}" if differences else "Python and packages are the same as there"
    return f"The value cannot be unpickled here: {reason}. {differs}. The value: {envelope.get('repr', 'unknown')}"


def _packages(data: bytes) -> dict[str, str]:
    """Return the versions of the packages that a pickle names: best effort, and only for error messages."""
    modules = {name.split(".")[0] for name in _names_in(data) if name in sys.modules}
    versions = {name: _package_version(name) for name in sorted(modules - sys.stdlib_module_names)}
    return {name: version for name, version in versions.items() if version}


def _names_in(data: bytes) -> set[str]:
    """Return every short string of a pickle that could be a module's or a function's name.

    Found by the opcode SHORT_BINUNICODE (0x8c, one byte of length, text); a chance hit in other bytes does no harm.
    """
    names = set()
    at = data.find(b"\x8c")
    while at != -1:
        length = data[at + 1] if at + 1 < len(data) else 0
        text = data[at + 2 : at + 2 + length]
        if text.isascii() and text.replace(b".", b"_").decode("ascii").isidentifier():
            names.add(text.decode("ascii"))
        at = data.find(b"\x8c", at + 1)
    return names


@cache
def _package_version(name: str) -> str | None:
    """Return the installed version of the distribution, or else of the imported module, called `name`."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        version = getattr(sys.modules.get(name), "__version__", None)
        return version if isinstance(version, str) else None


def _shown(value: object) -> str:
    """Return `value` for people, whatever its `__repr__` does."""
    shortener = reprlib.Repr()
    shortener.maxlevel, shortener.maxstring, shortener.maxother = 4, MAX_REPR_CHARS, MAX_REPR_CHARS
    shortener.maxlist = shortener.maxtuple = shortener.maxdict = shortener.maxset = 30
    try:
        return cut(shortener.repr(value))
    except _INTERRUPTIONS:
        raise
    except Exception as error:
        return f"<{type(value).__name__}; its repr raises {type(error).__name__}>"
