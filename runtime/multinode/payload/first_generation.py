"""What the first generation's SDK (`multinode` 1.0) sends and reads: jsonpickle, of which plain containers only.

Its arguments are ``[{"py/tuple": [args…]}, {kwargs…}]``, where ours begin with a list. In them::

    {"py/tuple": [items…]}    {"py/set": [items…]}    {"py/b64": <bytes as base64>}
    {"py/id": n}              the list or dictionary number n once more, counted from 0 in the order in which they begin

Every other tag names a class or function to be called, so it is refused.
"""

import base64
import json
import types
from itertools import count
from typing import Any

from multinode.errors import PayloadError
from multinode.payload.envelope import cut
from multinode_protocol.limits import MAX_PAYLOAD_BYTES

__all__ = ["TAG", "is_call", "restored", "written"]

TAG = "py/"
"""How each of jsonpickle's tags begins."""
MAX_DEPTH = 200


def is_call(document: object) -> bool:
    """True for the input of a call by the first generation's SDK."""
    match document:
        case [{"py/tuple": list()}, dict()]:
            return True
    return False


def restored(document: Any) -> Any:
    """Return the value that jsonpickle wrote as `document`; nothing but plain containers is ever built.

    Raises: PayloadError.
    """
    numbered: list[Any] = []

    def restore(part: Any) -> Any:
        if isinstance(part, list):
            items: list[Any] = []
            numbered.append(items)
            items.extend(map(restore, part))
            return items
        if not isinstance(part, dict):
            return part
        if not any(key.startswith(TAG) for key in part):
            entries: dict[str, Any] = {}
            numbered.append(entries)
            for key, value in part.items():
                entries[key] = restore(value)
            return entries
        match part if len(part) == 1 else None:
            case {"py/tuple": list(parts)}:
                return tuple(map(restore, parts))
            case {"py/set": list(parts)}:
                return set(map(restore, parts))
            case {"py/b64": str(data)}:
                return base64.b64decode(data, validate=True)
            case {"py/id": int(number)} if 0 <= number < len(numbered):
                return numbered[number]
        raise PayloadError(
            "A value from a program with multinode 1.0 is read only if it is plain data (numbers, text, bytes, lists, "
            "tuples, sets, dictionaries). Pass plain data, or install the current multinode there. "
            f"It holds {cut(json.dumps(part, ensure_ascii=False))}"
        )

    try:
        return restore(document)
    except (ValueError, TypeError, RecursionError) as error:  # not base64; a set of lists; nested too deeply
        raise PayloadError(f"A value from a program with multinode 1.0 is damaged: {error}") from error


def written(value: object) -> str | None:
    """Return `value` as the first generation's worker sends it; None where that takes more than plain containers.

    As there, keys that are not text become text: ``{1: "a"}`` is ``{"1": "a"}``.
    """
    counter = count()

    def tagged(part: Any, depth: int = 0) -> Any:
        # Each value takes at least a byte. A value that contains itself many times over, or without end, stops here.
        if depth > MAX_DEPTH or next(counter) >= MAX_PAYLOAD_BYTES:
            raise ValueError("too large")
        kind = type(part)
        if kind in (str, int, float, bool, types.NoneType):
            return part
        if kind is bytes:
            return {"py/b64": base64.b64encode(part).decode("ascii")}
        if kind is dict:
            entries = {_key(key): tagged(item, depth + 1) for key, item in part.items()}
            if len(entries) != len(part):
                raise ValueError("two keys become the same text")
            return entries
        if kind not in (list, tuple, set):
            raise ValueError("not plain")
        items = [tagged(item, depth + 1) for item in part]
        return items if kind is list else {f"{TAG}{kind.__name__}": items}

    try:
        return json.dumps(tagged(value))
    except ValueError:  # also an integer of more digits than Python converts
        return None


def _key(key: object) -> str:
    if key is None:
        return "null"
    if type(key) in (int, float, bool):
        return repr(key)
    if type(key) is str and not key.startswith(TAG):
        return key
    raise ValueError("not a key that jsonpickle writes as it is")
