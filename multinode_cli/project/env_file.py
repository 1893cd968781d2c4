"""``.env`` -> the project's own environment variables, in a file that only the user can read, never in the bundle."""

import hashlib
import hmac
import io
import json
import os
import re
import secrets
import tempfile
from pathlib import Path

from multinode_cli.console.text import one_line
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.files import NotAFile, open_file

NAME = ".env"
RESERVED_PREFIXES = ("AWS_", "MULTINODE_")
RESERVED_NAMES = frozenset({"PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME"})
MAX_FILE_BYTES = 1_000_000
MAX_VALUE_BYTES = 100_000
"""Linux refuses to start a program with a longer variable: MAX_ARG_STRLEN, 131,072 bytes with the name."""
MAX_TOTAL_BYTES = 500_000
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SALT = "salt"


def read_env_file(folder: Path) -> dict[str, str]:
    """Return the variables that ``.env`` in `folder` sets; none without such a file.

    Quotes, ``export`` and comments are as python-dotenv reads them; ``${NAME}`` in a value stays as it is.
    Raises UsageFailure naming the line, never the value.
    """
    text = _text(folder / NAME)
    if text is None:
        return {}
    from dotenv.parser import parse_stream

    variables: dict[str, str] = {}
    first_lines: dict[str, int] = {}
    for binding in parse_stream(io.StringIO(text)):
        number = binding.original.line + _blank_lines_before(binding.original.string)
        if binding.error:
            raise UsageFailure(f"{NAME}, line {number} is not NAME=value, or its quote is never closed")
        if binding.key is None:
            continue
        if binding.value is None:
            raise UsageFailure(f"{NAME}, line {number} has no '=': write NAME=value, or NAME= for an empty one")
        _check_name(binding.key, number)
        if binding.key in variables:
            first = first_lines[binding.key]
            raise UsageFailure(f"{NAME}, line {number} sets {binding.key} again; it is already set on line {first}")
        _check_value(binding.value, binding.key, number)
        variables[binding.key] = binding.value
        first_lines[binding.key] = number
    total = sum(len(os.fsencode(name)) + len(value.encode()) for name, value in variables.items())
    if total > MAX_TOTAL_BYTES:
        raise UsageFailure(
            f"{NAME} holds {total:,} bytes of values; at most {MAX_TOTAL_BYTES:,} can be given to a program"
        )
    return variables


def _text(path: Path) -> str | None:
    try:
        with open_file(path, follow_link=True) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except NotAFile as error:
        raise UsageFailure(f"{NAME} is not a file") from error
    except OSError as error:
        raise UsageFailure(f"{NAME} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise UsageFailure(f"{NAME} is larger than {MAX_FILE_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageFailure(f"{NAME} is not UTF-8 text; save it as UTF-8") from error
    if "\0" in text:
        raise UsageFailure(f"{NAME} has a NUL byte, which no environment variable can hold")
    return text


def _blank_lines_before(binding: str) -> int:
    """Return how many blank lines before a binding's first line the parser counted as part of it."""
    blank = binding[: len(binding) - len(binding.lstrip())]
    return blank.replace("\r\n", "\n").replace("\r", "\n").count("\n")


def _check_name(name: str, number: int) -> None:
    if not _VARIABLE.fullmatch(name):
        raise UsageFailure(
            f"{NAME}, line {number}: {one_line(name)!r} is not a valid variable name (letters, digits and _)"
        )
    if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES):
        raise UsageFailure(
            f"{NAME}, line {number}: {name} is reserved. Multinode sets it itself, as it does AWS_*, MULTINODE_* and "
            f"{', '.join(sorted(RESERVED_NAMES))}; choose another name"
        )


def _check_value(value: str, name: str, number: int) -> None:
    length = len(value.encode())
    if length > MAX_VALUE_BYTES:
        raise UsageFailure(
            f"{NAME}, line {number}: the value of {name} has {length:,} bytes, more than {MAX_VALUE_BYTES:,}; "
            "put it into a file of the project or into a secret store"
        )


def store_secrets(variables: dict[str, str], project_dir: Path) -> Path | None:
    """Write `variables` to a file in `project_dir` and return its path; None when there are none.

    Folder 0700, file 0600, written aside and renamed. The same variables give the same file. Its name is a keyed
    digest: whoever may read the version sees it, and could test guesses of short values against a plain digest.

    Raises: ControlPlaneFailure.
    """
    if not variables:
        return None
    content = json.dumps(variables, sort_keys=True).encode()
    try:
        project_dir.parent.mkdir(mode=0o700, exist_ok=True)
        project_dir.mkdir(mode=0o700, exist_ok=True)
        path = project_dir / f"{hmac.new(_salt(project_dir), content, hashlib.sha256).hexdigest()}.json"
        _write(path, content)
    except OSError as error:
        raise ControlPlaneFailure(f"cannot write to {project_dir}: {error.strerror}") from error
    return path


def _salt(project_dir: Path) -> bytes:
    path = project_dir / SALT
    if not path.exists():
        _write(path, secrets.token_bytes(32))
    return path.read_bytes()


def _write(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".incoming-")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
