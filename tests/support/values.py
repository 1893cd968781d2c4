"""Values that JSON cannot carry exactly, and how tests look at what became of values."""

import enum
import json
import math
from collections import namedtuple
from typing import Any

Point = namedtuple("Point", "x y")


class Word(str):
    pass


class Level(enum.IntEnum):
    HIGH = 3


def same(a: Any, b: Any) -> bool:
    """True when both are equal and of the same types, throughout; -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(map(same, a.items(), b.items()))
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return bool(a == b)


def is_envelope(text: str) -> bool:
    document = json.loads(text)
    return isinstance(document, dict) and document.get("__multinode__") == "cloudpickle"
