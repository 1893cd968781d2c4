"""Text for people: cleaned of control characters, cut to a width; durations and sizes. Pure."""

import os
import re
import unicodedata

_ESCAPE_SEQUENCE = re.compile(
    r"""
      (?:\x1b\[|\x9b) [0-?]* [ -/]* [@-~]                          # CSI: colours, cursor movement
    | (?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f]) .*? (?:\x07|\x1b\\|\x9c|$)   # OSC, DCS, SOS, PM, APC and their text
    | \x1b [ -/]* [0-~]                                            # two-character escapes
    """,
    re.VERBOSE | re.DOTALL,
)
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069"  # marks that reorder what follows them
    "\u2028\u2029\ufeff"
    "\ud800-\udfff]"  # lone surrogates: a file name that is not UTF-8
)
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


def clean(text: str) -> str:
    """Return `text` without anything that a terminal would obey: only printable characters, tabs and newlines are left.

    Of a line that was rewritten with carriage returns (a progress bar), what a terminal would show last is kept.
    """
    text = _ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROL.sub("", text)


def one_line(text: str, columns: int | None = None) -> str:
    """Return `text` cleaned, on one line, cut to `columns` (None: whole)."""
    line = " ".join(clean(text).split())
    return line if columns is None else clip(line, columns)


def path_text(path: str | os.PathLike[str]) -> str:
    """Return a path as it may be printed: no control characters."""
    return clean(os.fspath(path)).replace("\n", "?").replace("\t", "?")


def width(text: str) -> int:
    """Return how many columns a terminal gives to `text`: 2 for wide East Asian characters and emoji, 0 for marks."""
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def clip(text: str, columns: int) -> str:
    """Return `text` cut to at most `columns` columns, ending in ``...`` where something was cut off."""
    if width(text) <= columns:
        return text
    mark = "..."[: max(columns, 0)]
    kept, used = [], len(mark)
    for character in text:
        used += _character_width(character)
        if used > columns:
            break
        kept.append(character)
    return "".join(kept) + mark


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 0:
        seconds = 0.0
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    if whole < 86_400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86_400, "d", whole % 86_400 // 3600, "h")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit}" + (f" {small} {small_unit}" if small else "")


def ago(seconds: float) -> str:
    """Return how long ago something was, in one unit: ``just now``, ``40 s ago``, ``5 min ago``, ``2 d ago``."""
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {unit} ago"
    return f"{int(seconds)} s ago" if seconds >= 2 else "just now"


def size(count: int) -> str:
    """Return a number of bytes in decimal units: ``812 B``, ``3.4 kB``, ``120 MB``."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5 or unit == "GB":
            break
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"


def parse_duration(text: str) -> float:
    """Return the seconds that ``90s``, ``10m``, ``2h``, ``1d`` or a sum such as ``1h30m`` means. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not a length of time; write 90s, 10m, 2h, 1d or 1h30m")
    days, hours, minutes, seconds = match.groups()
    return int(days or 0) * 86_400 + int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0)
