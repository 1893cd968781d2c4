"""The options of a function as `@mn.function` takes them, checked and turned into what a deploy registers.

Which options there are, and their bounds: `multinode_protocol.function_options`. Here is how Python writes each kind.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from multinode.errors import ParameterValidationError
from multinode_protocol import messages
from multinode_protocol.function_options import (
    ExceptionNames,
    ExecutionSpec,
    Kind,
    Memory,
    Number,
    RetryOptions,
    RetryPolicy,
    Seconds,
    WholeNumber,
    WholeSeconds,
    options_of,
    user_options,
)

__all__ = ["Retry", "specs"]

GIB_PER_UNIT = {"KiB": 1 / 1024**2, "MiB": 1 / 1024, "GiB": 1.0}
_MAX_RETRIES = options_of(ExecutionSpec)["max_retries"].kind


@dataclass(frozen=True)
class Retry:
    """When, and how often, an attempt that failed is repeated.

    The pause after attempt n is ``initial_delay * backoff ** (n - 1)``, at most `max_delay`; the share `jitter` of it
    is random, so that attempts that failed together are not repeated together. `NonRetryableError` is never retried.

    Raises: ParameterValidationError.
    """

    max_retries: int
    """Attempts after the first."""
    initial_delay: timedelta | float = 1.0
    """A timedelta, or seconds."""
    backoff: float = 2.0
    max_delay: timedelta | float = 300.0
    """A timedelta, or seconds."""
    jitter: float = 0.1
    """From 0 (the exact pause) to 1 (anything from no pause to the whole)."""
    retry_on: Iterable[type[BaseException] | str] | None = None
    """Exception classes, or their names, that are retried, with their subclasses; None: all."""

    def __post_init__(self) -> None:
        _checked("Retry's max_retries", _MAX_RETRIES, self.max_retries)
        # An iterator can be read once only.
        object.__setattr__(self, "retry_on", self.spec()["retry_on"])

    def spec(self) -> messages.RetrySpec:
        """Return the policy as a deploy registers it."""
        values = {
            option.wire_name: _checked(f"Retry's {option.python_name}", option.kind, getattr(self, option.python_name))
            for option in options_of(RetryPolicy).values()
            if option.python_name is not None
        }
        return cast(messages.RetrySpec, values)


def specs(given: Mapping[str, Any]) -> tuple[messages.ResourceSpec, messages.ExecutionSpec]:
    """Return what a deploy registers for a function with the options that are given; the others are at their defaults.

    Raises: ParameterValidationError, saying what is allowed; TypeError for an option that does not exist.
    """
    parts: dict[str, dict[str, Any]] = {}
    unknown = set(given)
    for part, option in user_options():
        name = str(option.python_name)
        value = given.get(name, option.default)
        unset = value is None and option.default is None
        parts.setdefault(part, {})[option.wire_name] = None if unset else _checked(name, option.kind, value)
        unknown.discard(name)
    if unknown:
        raise TypeError(f"Multinode.function() got an unexpected keyword argument {min(unknown)!r}")
    execution, retry = parts["execution_spec"], given.get("retry")
    if retry is not None:
        execution["max_retries"] = _max_retries(execution["max_retries"], retry)
    return cast(messages.ResourceSpec, parts["resource_spec"]), cast(messages.ExecutionSpec, execution)


def _max_retries(max_retries: int, retry: Retry) -> int:
    if max_retries not in {0, retry.max_retries}:
        raise ParameterValidationError(
            f"max_retries is {max_retries} and retry says {retry.max_retries}; allowed is one of the two"
        )
    return retry.max_retries


def _checked(name: str, kind: Kind, value: object) -> object:
    """Return a value of Python's as the REST API has it. Raises: ParameterValidationError."""
    match kind:
        case WholeNumber(least, most):
            return _whole(name, value, least, most)
        case Number(least, most, above, of):
            bounds = f"above {least:g}, at most {most:g}" if above else f"from {least:g} to {most:g}"
            allowed = f"a number {f'of {of} ' if of else ''}{bounds}"
            return _number(name, value, allowed, math.nextafter(least, most) if above else least, most)
        case WholeSeconds(least, most):
            return _whole_s(name, value, least, most)
        case Seconds(most):
            allowed = f"a timedelta or number of seconds, from 0 to {timedelta(seconds=most)}"
            return _number(name, _in_seconds(value), allowed, 0, most)
        case Memory(most):
            return _memory_gbs(name, value, most)
        case ExceptionNames(most, max_chars):
            return None if value is None else _class_names(name, value, most, max_chars)
        case RetryOptions():
            if not isinstance(value, Retry):
                raise ParameterValidationError(
                    f"{name} is {value!r}; allowed is a Retry(...), or max_retries=N instead"
                )
            return value.spec()


def _whole(name: str, value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ParameterValidationError(f"{name} is {value!r}; allowed is a whole number from {least} to {most:,}")
    return value


def _number(name: str, value: object, allowed: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ParameterValidationError(f"{name} is {value!r}; allowed is {allowed}")
    return float(value)


def _whole_s(name: str, value: object, least: int, most: int) -> int:
    seconds_word = "second" if least == 1 else "seconds"
    allowed = f"a timedelta or number of whole seconds, from {least} {seconds_word} to {timedelta(seconds=most)}"
    seconds = _number(name, _in_seconds(value), allowed, least, most)
    if not seconds.is_integer():
        raise ParameterValidationError(f"{name} is {value!r}; allowed is {allowed}")
    return int(seconds)


def _in_seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _memory_gbs(name: str, value: object, most: float) -> float:
    """Return an amount of memory in GiB."""
    text = value if isinstance(value, str) else ""
    match = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,12})?)\s*([KMG]iB)\s*", text, re.ASCII)
    gbs = float(match[1]) * GIB_PER_UNIT[match[2]] if match else 0.0
    if not 0 < gbs <= most:
        raise ParameterValidationError(
            f"{name} is {value!r}; allowed is a number and one of KiB, MiB, GiB, such as '256 MiB' or '4 GiB', "
            f"above 0 and at most {most:g} GiB"
        )
    return gbs


def _class_names(name: str, given: object, most: int, max_chars: int) -> list[str]:
    """Return names by which the worker knows exception classes: simple ones, or ``module.Class``."""
    allowed = f"allowed is a list of at most {most} exception classes or their names, or None for all"
    items = [given] if isinstance(given, str | type) else list(given) if isinstance(given, Iterable) else None
    if items is None or len(items) > most:
        raise ParameterValidationError(f"{name} is {given!r}; {allowed}")
    names = [_class_name(item) for item in items]
    for item, class_name in zip(items, names, strict=True):
        if not 0 < len(class_name) <= max_chars:
            raise ParameterValidationError(f"{name} has {item!r}; {allowed}")
    return names


def _class_name(item: object) -> str:
    """Return the name of an exception class, or the name that `item` is; empty for everything else."""
    if isinstance(item, type) and issubclass(item, BaseException):
        bare = item.__module__ in {"builtins", "__main__"}
        return item.__qualname__ if bare else f"{item.__module__}.{item.__qualname__}"
    return item.strip() if isinstance(item, str) else ""
