"""``requirements.txt``, with every file that it includes -> one normalised text."""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from multinode_cli.console.text import one_line
from multinode_cli.errors import UsageFailure

NAME = "requirements.txt"
MAX_BYTES = 1_000_000
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),  # what PowerShell's `pip freeze > requirements.txt` writes
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_INCLUDE = re.compile(r"\s*(-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<file>[^\s#]+)")
_LOCAL_FILE = re.compile(r"(?:^|\s)(?:-e|--editable)\b|file:|\.(?:whl|zip|tar\.gz)(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What to install. `text` holds all requirements, `constraints` all constraints; included files are inlined.

    `names_files`: something of the project's own folder is installed, so its content matters too.
    """

    text: str
    constraints: str
    names_files: bool


def read_requirements(code_dir: Path) -> Requirements | None:
    """Return what the project in `code_dir` requires; None if it requires nothing.

    Windows line endings, a byte order mark and UTF-16 are understood. Raises UsageFailure.
    """
    if not (code_dir / NAME).is_file():
        return None
    reader = _Reader(code_dir)
    reader.read(code_dir / NAME, into=reader.requirements, above=())
    lines = [line for line in reader.requirements if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return None
    return Requirements(
        text="\n".join(reader.requirements) + "\n",
        constraints="\n".join([*reader.constraints, ""]),
        names_files=any(_names_file(line) for line in lines),
    )


class _Reader:
    def __init__(self, code_dir: Path) -> None:
        self._top = code_dir.resolve()
        self.requirements: list[str] = []
        self.constraints: list[str] = []

    def read(self, path: Path, *, into: list[str], above: tuple[Path, ...]) -> None:
        """Append the lines of `path` to `into`, with the files that it includes in their place."""
        for number, line in enumerate(_lines(path, self._top), start=1):
            match = _INCLUDE.match(line)
            if match is None or "://" in match["file"]:
                into.append(line)
                continue
            included = (path.parent / match["file"]).resolve()
            place = f"{path.relative_to(self._top).as_posix()}, line {number}"
            if not included.is_relative_to(self._top) or not included.is_file():
                raise UsageFailure(
                    f"{place} includes {one_line(match['file'])}, which is not among the folder's deployed files"
                )
            if included == path or included in above:
                raise UsageFailure(f"{place} includes {one_line(match['file'])}, which includes it in turn")
            target = self.constraints if match[1] in ("-c", "--constraint") else into
            self.read(included, into=target, above=(*above, path))


def _lines(path: Path, top: Path) -> list[str]:
    name = path.relative_to(top).as_posix()
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageFailure(f"{name} cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise UsageFailure(f"{name} is larger than {MAX_BYTES:,} bytes")
    encoding = next((encoding for mark, encoding in BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UsageFailure(f"{name} is not UTF-8 text; save it as UTF-8") from error
    if "\0" in text:
        raise UsageFailure(f"{name} is not a text file: it has NUL bytes")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _names_file(line: str) -> bool:
    """Return True when a requirement is a file or folder rather than the name of a package."""
    requirement = line.partition(" #")[0].strip()
    return bool(_LOCAL_FILE.search(requirement)) or requirement.startswith(".") or _is_path(requirement)


def _is_path(requirement: str) -> bool:
    return "/" in requirement and "://" not in requirement
