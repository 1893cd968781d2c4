"""Reading one JSON object field by field; a message names the field, what is wrong with it and what is allowed.

A field that is absent or null counts as not given. Unknown fields are ignored.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict, TypeVar, Unpack, cast

from multinode_control_plane.api.json_text import JsonObject
from multinode_control_plane.core.errors import invalid

E = TypeVar("E", bound=StrEnum)

MAX_SHOWN_CHARS = 60


def shown(value: object) -> str:
    """Return `value` as printable ASCII JSON, cut short: safe to show in a message."""
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "…"


def check_encodable(path: str, text: str) -> None:
    """Refuse text that UTF-8 cannot encode: a lone half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise invalid(path, f"has a lone surrogate at character {error.start}", "Unicode text") from error


class TextBounds(TypedDict, total=False):
    """What a string may be. One of the two lengths is given; `described` says in words what `pattern` allows."""

    max_chars: int
    max_bytes: int
    pattern: str
    described: str
    printable: bool


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one object; `path` is its place in the body, "" for the body itself."""

    data: JsonObject
    path: str = ""

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def given(self, name: str) -> bool:
        return self.data.get(name) is not None

    def required(self, name: str, allowed: str) -> object:
        """Return the field's value. Raises Refused when it is not given."""
        if not self.given(name):
            raise invalid(self.at(name), "is missing", allowed)
        return self.data[name]

    def text(self, name: str, **bounds: Unpack[TextBounds]) -> str:
        """Return a required string within the bounds."""
        max_chars, max_bytes = bounds.get("max_chars"), bounds.get("max_bytes")
        pattern, described = bounds.get("pattern"), bounds.get("described")
        if described is None:
            unit = "bytes of UTF-8" if max_chars is None else "characters"
            described = f"a string of at most {max_bytes if max_chars is None else max_chars} {unit}"
        value = self.required(name, described)
        if not isinstance(value, str):
            raise invalid(self.at(name), f"is {shown(value)}", described)
        check_encodable(self.at(name), value)
        if max_chars is not None and len(value) > max_chars:
            raise invalid(self.at(name), f"has {len(value)} characters", described)
        if max_bytes is not None and (size := len(value.encode())) > max_bytes:
            raise invalid(self.at(name), f"has {size} bytes of UTF-8", described)
        if pattern is not None and re.fullmatch(pattern, value) is None:
            raise invalid(self.at(name), f"is {shown(value)}", described)
        if bounds.get("printable") and not value.isprintable():
            raise invalid(self.at(name), f"has a control character: {shown(value)}", described)
        return value

    def optional_text(self, name: str, **bounds: Unpack[TextBounds]) -> str | None:
        """Return the string, or None when it is not given."""
        return self.text(name, **bounds) if self.given(name) else None

    def whole(self, name: str, *, least: int, most: int, default: int | None = None) -> int:
        """Return a whole number from `least` to `most`; without a `default` it is required."""
        allowed = f"a whole number from {least} to {most}"
        if default is not None and not self.given(name):
            return default
        value = self.required(name, allowed)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise invalid(self.at(name), f"is {shown(value)}", allowed)
        return value

    def number(
        self, name: str, *, least: float, most: float, above: bool = False, default: float | None = None
    ) -> float:
        """Return a number from `least` (with `above`: more than it) to `most`."""
        allowed = f"a number {'above' if above else 'from'} {least:g} {'up ' if above else ''}to {most:g}"
        if default is not None and not self.given(name):
            return default
        value = self.required(name, allowed)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid(self.at(name), f"is {shown(value)}", allowed)
        # Compared before the conversion to float: an integer may be too large for one.
        if not least <= value <= most or (above and value == least):
            raise invalid(self.at(name), f"is {shown(value)}", allowed)
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        if not self.given(name):
            return default
        value = self.data[name]
        if not isinstance(value, bool):
            raise invalid(self.at(name), f"is {shown(value)}", "true or false")
        return value

    def choice(self, name: str, kind: type[E]) -> E:
        """Return the member of `kind` that the field names."""
        allowed = ", ".join(kind)
        value = self.required(name, allowed)
        if not isinstance(value, str) or value not in list(kind):
            raise invalid(self.at(name), f"is {shown(value)}", allowed)
        return kind(value)

    def object(self, name: str) -> "Fields":
        """Return the fields of a required object."""
        value = self.required(name, "an object")
        if not isinstance(value, dict):
            raise invalid(self.at(name), f"is {shown(value)}", "an object")
        return Fields(cast(JsonObject, value), self.at(name))

    def optional_object(self, name: str) -> "Fields | None":
        """Return the fields of an object, or None when it is not given."""
        return self.object(name) if self.given(name) else None

    def objects(self, name: str, *, least: int, most: int) -> Sequence["Fields"]:
        """Return the fields of each object of a required array."""
        allowed = f"an array of {least} to {most} objects"
        value = self.required(name, allowed)
        if not isinstance(value, list) or not least <= len(value) <= most:
            found = f"has {len(value)} items" if isinstance(value, list) else f"is {shown(value)}"
            raise invalid(self.at(name), found, allowed)
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise invalid(f"{self.at(name)}[{index}]", f"is {shown(item)}", "an object")
        return [Fields(cast(JsonObject, item), f"{self.at(name)}[{index}]") for index, item in enumerate(value)]

    def texts(self, name: str, *, most: int, max_chars: int) -> tuple[str, ...] | None:
        """Return an array of strings, or None when it is not given."""
        allowed = f"an array of at most {most} strings of at most {max_chars} characters"
        if not self.given(name):
            return None
        value = self.data[name]
        if not isinstance(value, list):
            raise invalid(self.at(name), f"is {shown(value)}", allowed)
        if len(value) > most:
            raise invalid(self.at(name), f"has {len(value)} items", allowed)
        for index, item in enumerate(value):
            if not isinstance(item, str) or len(item) > max_chars:
                raise invalid(f"{self.at(name)}[{index}]", f"is {shown(item)}", allowed)
            check_encodable(f"{self.at(name)}[{index}]", item)
        return tuple(value)
