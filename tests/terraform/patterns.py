"""The part of EventBridge's and Lambda's filter patterns that the module uses: fields, and lists of exact values."""

from collections.abc import Mapping
from typing import Any


def matches(pattern: Mapping[str, Any], event: object) -> bool:
    """Return whether every field of `pattern` is in `event` with one of its values.

    Raises LookupError for what else a pattern could say: then this must learn it.
    """
    if not isinstance(event, Mapping):
        return False
    return all(_field_matches(wanted, event.get(name)) for name, wanted in pattern.items())


def _field_matches(wanted: object, value: object) -> bool:
    if isinstance(wanted, Mapping):
        return matches(wanted, value)
    if not isinstance(wanted, list) or not all(isinstance(option, str) for option in wanted):
        raise LookupError(f"a pattern of exact strings is understood, not {wanted!r}")
    return value in wanted
