"""A project in its own code: a `Multinode` object, whose decorator turns functions into `Function`s."""

import inspect
import re
import types
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from multinode.errors import DuplicateFunctionError, ParameterValidationError
from multinode.function import Function
from multinode.options import Retry, specs
from multinode.schedule import Cron, Every
from multinode_protocol import limits
from multinode_protocol.messages import ScheduleSpec

__all__ = ["Multinode"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _Decorator(Protocol):
    """What `Multinode.function` returns when it is given options. The result of a generator is its last value."""

    @overload
    def __call__(self, function: Callable[P, Iterator[T]], /) -> Function[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Function[P, R]: ...


class Multinode:
    """One project: the functions that its ``main.py`` defines. Each ``main.py`` has exactly one, under any name."""

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
    def function(self, code: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Make this a function of the project, whose invocations each run in their own container.

        Use it as ``@mn.function`` or as ``@mn.function(cpu=2, memory="4 GiB")``. It must be a plain function. If
        it is a generator, callers see each yielded value as progress, and the last one is the result.

        `cpu`: Virtual CPUs of each container.
        `memory`: Memory of each container, in KiB, MiB or GiB.
        `timeout`: How long one attempt may take, from the moment its code starts.
        `max_concurrency`: Containers that may run at a time; the oldest invocation goes first.
        `max_retries`: How often a failed attempt is repeated, without a pause; `retry` adds pauses.
        `retry`: When a failed attempt is repeated: a `Retry`, in place of `max_retries`.
        `max_queue_time`: How long an invocation may wait for its first start.
        `schedule`: When the newest deployed version runs by itself, without arguments: a `Cron` or an `Every`.

        Times are timedeltas or seconds. Bounds and defaults: docs/functions.md.

        Raises: ParameterValidationError, saying what is allowed; DuplicateFunctionError.
        """
        schedule = options.pop("schedule", None)
        resource_spec, execution_spec = specs(options)
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
                "give each function of a project its own name"
            )
        self.functions[name] = function


def _name(code: object) -> str:
    """Return the name of `code`, which must be a plain function. Raises: ParameterValidationError."""
    allowed = "allowed is a plain function: `def name(...)` at the top level of a module"
    if isinstance(code, Function):
        raise ParameterValidationError(f"{code.__name__!r} is decorated with @mn.function twice; once is enough")
    if not isinstance(code, types.FunctionType):
        raise ParameterValidationError(f"@mn.function was given {code!r}, which is not a function; {allowed}")
    name = code.__name__
    if name == "<lambda>":
        raise ParameterValidationError(f"@mn.function was given a lambda, which has no name to call it by; {allowed}")
    if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
        raise ParameterValidationError(
            f"{name!r} is an async function; {allowed}. Move the async code into its own function and run that with "
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
    """Raise ParameterValidationError if a function with a schedule needs arguments."""
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
