"""① The project as its own code sees it: a `Multinode` object, whose decorator makes `Function`s of functions."""

import inspect
import math
import re
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from multinode.errors import DuplicateFunctionError, ParameterValidationError
from multinode.function import Function
from multinode.schedule import Cron, Every
from multinode_protocol import limits
from multinode_protocol.messages import ExecutionSpec, ResourceSpec, RetrySpec, ScheduleSpec

__all__ = ["Multinode", "Retry"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

GIB_PER_UNIT = {"KiB": 1 / 1024**2, "MiB": 1 / 1024, "GiB": 1.0}
MAX_CLASS_NAME_CHARS = 500
MAX_RETRY_ON = 100


class _Decorator(Protocol):
    """What `Multinode.function` with parameters returns. The invocations of a generator give its last value."""

    @overload
    def __call__(self, function: Callable[P, Iterator[T]], /) -> Function[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Function[P, R]: ...


@dataclass(frozen=True)
class Retry:
    """When, and how often, an attempt that failed is repeated.

    The pause after attempt n is ``initial_delay * backoff ** (n - 1)``, at most `max_delay`; the share `jitter` of it
    is drawn at random, so that what failed together does not come back together. `NonRetryableError` is never retried.

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
    """From 0, no chance in it, to 1, anything from no pause to the whole."""
    retry_on: Iterable[type[BaseException] | str] | None = None
    """Exception classes, or their names, whose instances (and those of subclasses) are retried; None: all."""

    def __post_init__(self) -> None:
        _whole("Retry's max_retries", self.max_retries, 0, limits.MAX_RETRIES)
        _delay_s("Retry's initial_delay", self.initial_delay)
        _delay_s("Retry's max_delay", self.max_delay)
        _number("Retry's backoff", self.backoff, f"a number from 1 to {limits.MAX_BACKOFF:g}", 1, limits.MAX_BACKOFF)
        _number("Retry's jitter", self.jitter, "a number from 0 to 1", 0, 1)
        if self.retry_on is not None:
            object.__setattr__(self, "retry_on", _class_names(self.retry_on))

    def spec(self) -> RetrySpec:
        """Return the policy as a deploy registers it."""
        return {
            "initial_delay_s": _delay_s("initial_delay", self.initial_delay),
            "backoff": float(self.backoff),
            "max_delay_s": _delay_s("max_delay", self.max_delay),
            "jitter": float(self.jitter),
            "retry_on": None if self.retry_on is None else [str(name) for name in self.retry_on],
        }


class Multinode:
    """One project: the functions that ``main.py`` offers. A project's ``main.py`` has exactly one, of any name."""

    def __init__(self) -> None:
        self.functions: dict[str, Function[..., Any]] = {}
        """By name, in the order of their definition."""

    @overload
    def function(self, function: Callable[P, Iterator[T]], /) -> Function[P, T]: ...
    @overload
    def function(self, function: Callable[P, R], /) -> Function[P, R]: ...
    @overload
    def function(
        self,
        code: None = None,
        /,
        *,
        cpu: float = ...,
        memory: str = ...,
        timeout: timedelta | float = ...,
        max_concurrency: int = ...,
        max_retries: int = ...,
        retry: Retry | None = ...,
        max_queue_time: timedelta | float | None = ...,
        schedule: Cron | Every | None = ...,
    ) -> _Decorator: ...
    def function(
        self,
        code: Callable[..., Any] | None = None,
        /,
        *,
        cpu: float = 0.1,
        memory: str = "256 MiB",
        timeout: timedelta | float = timedelta(hours=1),
        max_concurrency: int = 10,
        max_retries: int = 0,
        retry: Retry | None = None,
        max_queue_time: timedelta | float | None = None,
        schedule: Cron | Every | None = None,
    ) -> Any:
        """Make a function of the project one whose invocations run in containers of their own.

        Use it as ``@mn.function`` or as ``@mn.function(cpu=2, memory="4 GiB")``. It must be a plain function; of a
        generator each yielded value is progress that callers can see, and the last one the result.

        `cpu`: virtual CPUs of each container. `memory`: a number and KiB, MiB or GiB. `timeout`: of one attempt, from
        the moment its code starts; a timedelta or whole seconds. `max_concurrency`: containers at a time; further
        invocations wait, the oldest first. `max_retries`: attempts after a first one that failed, at once; `retry`
        instead says more, see `Retry`. `max_queue_time`: how long an invocation may wait for its first start.
        `schedule`: when the newest deployed version of it runs by itself, without arguments; see `Cron` and `Every`.

        Raises: ParameterValidationError, saying what is allowed; DuplicateFunctionError.
        """
        resource_spec: ResourceSpec = {
            "virtual_cpus": _cpu(cpu),
            "memory_gbs": _memory_gbs(memory),
            "max_concurrency": _whole("max_concurrency", max_concurrency, 1, limits.MAX_CONCURRENCY),
        }
        execution_spec: ExecutionSpec = {
            "max_retries": _max_retries(max_retries, retry),
            "timeout_seconds": _whole_s("timeout", timeout, limits.MAX_TIMEOUT_S),
            "max_queue_seconds": None
            if max_queue_time is None
            else _whole_s("max_queue_time", max_queue_time, limits.MAX_QUEUE_S),
            "retry": None if retry is None else retry.spec(),
        }
        schedule_spec = None if schedule is None else _schedule_spec(schedule)

        def decorate(code: Callable[..., Any]) -> Function[..., Any]:
            name = _name(code)
            if schedule_spec is not None:
                _check_callable_alone(name, code)
            made: Function[..., Any] = Function(
                name,
                code=code,
                resource_spec=resource_spec,
                execution_spec=execution_spec,
                schedule_spec=schedule_spec,
            )
            self._add(made, code)
            return made

        return decorate if code is None else decorate(code)

    def _add(self, function: Function[..., Any], code: Callable[..., Any]) -> None:
        name = function.__name__
        earlier = self.functions.get(name)
        if earlier is not None:
            raise DuplicateFunctionError(
                f"The function {name!r} is defined twice, in {_where(inspect.unwrap(earlier))} and in {_where(code)}: "
                "each function of a project needs a name of its own"
            )
        self.functions[name] = function


def _name(code: object) -> str:
    """Return the name of a function that can be one of a project. Raises: ParameterValidationError."""
    allowed = "allowed is a plain function: `def name(...)` at the top level of a module"
    if isinstance(code, Function):
        raise ParameterValidationError(f"{code.__name__!r} is decorated with @mn.function twice; once is enough")
    if not isinstance(code, types.FunctionType):
        raise ParameterValidationError(f"@mn.function was given {code!r}, which is no function; {allowed}")
    name = code.__name__
    if name == "<lambda>":
        raise ParameterValidationError(f"@mn.function was given a lambda, which has no name to call it by; {allowed}")
    if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
        raise ParameterValidationError(
            f"{name!r} is an async function; {allowed}. Put what is async into a function of its own and run it with "
            "asyncio.run(...)"
        )
    if "." in code.__qualname__.rpartition("<locals>.")[2]:
        raise ParameterValidationError(f"{code.__qualname__!r} is a method; {allowed}")
    if len(name) > limits.MAX_FUNCTION_NAME_CHARS or re.fullmatch(limits.FUNCTION_NAME_PATTERN, name) is None:
        raise ParameterValidationError(
            f"The function name {name!r} is not allowed; allowed are at most {limits.MAX_FUNCTION_NAME_CHARS} ASCII "
            "letters, digits and underscores, not beginning with a digit"
        )
    return name


def _schedule_spec(schedule: object) -> ScheduleSpec:
    if not isinstance(schedule, Cron | Every):
        raise ParameterValidationError(
            f"schedule is {schedule!r}; allowed is Cron('0 9 * * *', timezone='Europe/London') or Every(hours=1), for "
            "example"
        )
    return schedule.spec()


def _check_callable_alone(name: str, code: Callable[..., Any]) -> None:
    """Raise ParameterValidationError if a function that is to run by itself needs arguments."""
    needed = [
        parameter.name
        for parameter in inspect.signature(code).parameters.values()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    ]
    if needed:
        raise ParameterValidationError(
            f"{name!r} has a schedule, which starts it without arguments, but it needs {', '.join(needed)}; allowed "
            "are parameters with a default"
        )


def _where(code: Callable[..., Any]) -> str:
    place: types.CodeType | None = getattr(code, "__code__", None)
    return "an unknown place" if place is None else f"{place.co_filename}:{place.co_firstlineno}"


def _cpu(cpu: float) -> float:
    allowed = f"a number of virtual CPUs above {limits.MIN_CPU:g}, at most {limits.MAX_CPU:g}"
    return _number("cpu", cpu, allowed, math.nextafter(limits.MIN_CPU, 1), limits.MAX_CPU)


def _memory_gbs(memory: str) -> float:
    """Return `memory` in GiB."""
    allowed = (
        "allowed is a number and one of KiB, MiB, GiB, such as '256 MiB' or '4 GiB', "
        f"above {limits.MIN_MEMORY_GBS:g} and at most {limits.MAX_MEMORY_GBS:g} GiB"
    )
    match = (
        re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,12})?)\s*([KMG]iB)\s*", memory, re.ASCII)
        if isinstance(memory, str)
        else None
    )
    gbs = float(match[1]) * GIB_PER_UNIT[match[2]] if match else 0.0
    if not limits.MIN_MEMORY_GBS < gbs <= limits.MAX_MEMORY_GBS:
        raise ParameterValidationError(f"memory is {memory!r}; {allowed}")
    return gbs


def _max_retries(max_retries: int, retry: Retry | None) -> int:
    _whole("max_retries", max_retries, 0, limits.MAX_RETRIES)
    if retry is None:
        return max_retries
    if not isinstance(retry, Retry):
        raise ParameterValidationError(f"retry is {retry!r}; allowed is a Retry(...), or max_retries=N instead")
    if max_retries not in {0, retry.max_retries}:
        raise ParameterValidationError(
            f"max_retries is {max_retries} and retry says {retry.max_retries}; allowed is one of the two"
        )
    return retry.max_retries


def _whole(name: str, value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ParameterValidationError(f"{name} is {value!r}; allowed is a whole number from {least} to {most:,}")
    return value


def _number(name: str, value: object, allowed: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ParameterValidationError(f"{name} is {value!r}; allowed is {allowed}")
    return float(value)


def _whole_s(name: str, value: object, most: int) -> int:
    """Return a duration in whole seconds, from 1."""
    allowed = f"a timedelta or number of whole seconds, from 1 second to {timedelta(seconds=most)}"
    seconds = _number(name, _in_seconds(value), allowed, 1, most)
    if not seconds.is_integer():
        raise ParameterValidationError(f"{name} is {value!r}; allowed is {allowed}")
    return int(seconds)


def _delay_s(name: str, value: object) -> float:
    most = limits.MAX_RETRY_DELAY_S
    allowed = f"a timedelta or number of seconds, from 0 to {timedelta(seconds=most)}"
    return _number(name, _in_seconds(value), allowed, 0, most)


def _in_seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _class_names(given: object) -> tuple[str, ...]:
    """Return names by which the worker knows exception classes: simple ones, or ``module.Class``."""
    allowed = f"allowed is a list of at most {MAX_RETRY_ON} exception classes or their names, or None for all"
    items = [given] if isinstance(given, str | type) else list(given) if isinstance(given, Iterable) else None
    if items is None or len(items) > MAX_RETRY_ON:
        raise ParameterValidationError(f"Retry's retry_on is {given!r}; {allowed}")
    names = tuple(_class_name(item) for item in items)
    for item, name in zip(items, names, strict=True):
        if not 0 < len(name) <= MAX_CLASS_NAME_CHARS:
            raise ParameterValidationError(f"Retry's retry_on has {item!r}; {allowed}")
    return names


def _class_name(item: object) -> str:
    """Return the name of an exception class, or the name that `item` is; empty for everything else."""
    if isinstance(item, type) and issubclass(item, BaseException):
        bare = item.__module__ in {"builtins", "__main__"}
        return item.__qualname__ if bare else f"{item.__module__}.{item.__qualname__}"
    return item.strip() if isinstance(item, str) else ""
