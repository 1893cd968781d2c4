"""A function for its callers: one that is defined here, or one that is deployed."""

import functools
import inspect
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Generic, ParamSpec, TypeVar, cast

from multinode.config import connection
from multinode.errors import (
    FunctionDoesNotExist,
    InvalidUseError,
    InvocationAlreadyExists,
    InvocationDoesNotExist,
    ParameterValidationError,
)
from multinode.function.address import FunctionAddress, address_of
from multinode.function.signature import check_arguments, signature_text
from multinode.invocation import Invocation, Results, await_end, cancel, fetch, hold, value_of
from multinode.payload import encode_arguments
from multinode.transport import Transport, shared
from multinode_protocol.ids import LATEST, new_invocation_id
from multinode_protocol.limits import MAX_PARAMETERS
from multinode_protocol.messages import (
    ExecutionSpec,
    FunctionSpec,
    InvocationDefinition,
    InvocationsList,
    ResourceSpec,
    ScheduleSpec,
    VersionInfo,
)

__all__ = ["Function", "InvocationIds", "get_deployed_function", "last_value"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Seen = tuple[str, list[str] | None]
"""A version, and the function's signature there where it is known."""

MAX_IN_FLIGHT = 100
_ANYTHING = ("*args", "**kwargs")


@dataclass(frozen=True)
class InvocationIds:
    """One page of a function's invocations, newest first. Pass `next_offset` back for the next page; None: no more."""

    invocation_ids: list[str]
    next_offset: str | None


class Function(Generic[P, R]):
    """A function whose invocations each run in their own container.

    `Multinode.function` makes one from a function that is defined here; calling it runs it here. A deployed one comes
    from `get_deployed_function`. Start and follow invocations on deployed functions or, inside a worker, on the
    functions of the project that runs there; on others these methods raise InvalidUseError.

    The control plane is the one that `multinode.config.connection` names at the time of each call.
    """

    __name__: str

    def __init__(
        self,
        name: str,
        *,
        code: Callable[..., Any] | None = None,
        resource_spec: ResourceSpec | None = None,
        execution_spec: ExecutionSpec | None = None,
        schedule_spec: ScheduleSpec | None = None,
        project_name: str | None = None,
        version_id: str | None = None,
    ) -> None:
        """Not for users: see `Multinode.function` and `get_deployed_function`."""
        if code is not None:
            functools.update_wrapper(self, code)
        self.__name__ = name
        self._code = code
        self._resource_spec = resource_spec
        self._execution_spec = execution_spec
        self._schedule_spec = schedule_spec
        self._project_name = project_name
        self._version_id = version_id
        self._seen: Seen | None = None
        """As the function was when it was last looked up."""

    def __repr__(self) -> str:
        if self._project_name is None:
            return f"<multinode function {self.__name__}{inspect.signature(self)}>"
        return f"<multinode function {self._project_name}/{self.__name__}, version {self._version_id or LATEST}>"

    # ── one invocation ──────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, /, *args: P.args, **kwargs: P.kwargs) -> str:
        """Start an invocation with these arguments and return its id; it goes on even if this program ends.

        Temporary network failures are retried; that never starts a second invocation.

        Raises: ParameterValidationError when the arguments do not fit the function, FunctionInputSizeLimitExceeded,
        PayloadError when they cannot be pickled; ProjectDoesNotExist, FunctionDoesNotExist, LimitIsReached and other
        ApiErrors; ControlPlaneNotConfiguredError, ControlPlaneUnreachableError; InvalidUseError for a function that is
        only defined here.
        """
        return self._start(self._address(), _transport(), args, kwargs)

    def get(self, invocation_id: str) -> Invocation:
        """Return an invocation of this function as it stands.

        Raises: InvocationDoesNotExist and other ApiErrors.
        """
        address = self._address()
        return _own(address, fetch(_transport(), _checked_id(invocation_id)))

    def cancel(self, invocation_id: str) -> Invocation:
        """Ask that an invocation of this function be cancelled, with all its unfinished subtasks. Idempotent.

        The function sees InvocationCancelledError and has time to clean up; until it has ended, the returned
        invocation is CANCELLING.

        Raises: InvocationIsAlreadyTerminated when it has ended otherwise; InvocationDoesNotExist and other ApiErrors.
        """
        self.get(invocation_id)
        return cancel(_transport(), invocation_id)

    def await_result(self, invocation_id: str, timeout: timedelta | float | None = None) -> R:
        """Return the result of an invocation of this function once it has succeeded.

        `timeout`: seconds, or a timedelta; None waits as long as it takes. The wait survives up to a quarter of an hour
        without a control plane. Giving up or interrupting the wait does not affect the invocation.

        Raises: InvocationFailedError, with the traceback in the worker; InvocationCancelledError,
        InvocationTimedOutError (the function's own `timeout`); WaitTimedOutError (this call's); PayloadError when the
        result cannot be unpickled here; InvocationDoesNotExist and other ApiErrors.
        """
        address = self._address()
        timeout_s = None if timeout is None else _seconds(timeout)
        return cast(R, value_of(_own(address, await_end(_transport(), _checked_id(invocation_id), timeout_s))))

    def call_remote(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result of a new invocation: `start`, then `await_result`. Raises: what these two raise."""
        return self.await_result(self.start(*args, **kwargs))

    def list(self, offset: str | None = None) -> InvocationIds:
        """Return the ids of up to 50 invocations of this function's version, newest first.

        Inside a worker: only those that the running invocation has started.

        Raises: OffsetIsInvalid and other ApiErrors.
        """
        address = self._address()
        query: dict[str, str | int] = {} if offset is None else {"initial_offset": offset}
        if address.parent is not None:
            query["parent_function_name"] = address.parent["function_name"]
            query["parent_invocation_id"] = address.parent["invocation_id"]
        answer = cast(InvocationsList, _transport().request("GET", address.invocations_path, query=query))
        return InvocationIds([listed["invocation_id"] for listed in answer["invocations"]], answer["next_offset"])

    # ── many invocations ────────────────────────────────────────────────────────────────────────────────────────────

    def map(
        self, iterable: Iterable[Any], *, return_exceptions: bool = False, max_in_flight: int = MAX_IN_FLIGHT
    ) -> Results[R]:
        """Return the results of one invocation for each item of `iterable`, in its order, as soon as it is available.

        The first `max_in_flight` are started at once, further ones as earlier ones end and results are read; so
        `iterable` may be endless. With `return_exceptions`, the error of a failed call is returned in its
        place; otherwise it is raised there. Either way the later invocations go on, also when the caller stops
        reading: use ``with function.map(…) as results:`` to cancel what is unfinished when the block is left. All
        of them run the version that was the latest when `map` was called.

        Raises: ParameterValidationError for `max_in_flight`; what `start` raises because of the function itself; while
        the results are read, what `start` and `await_result` raise for each call.
        """
        return self._results(((item,) for item in iterable), return_exceptions, max_in_flight)

    def starmap(
        self,
        iterable: Iterable[Iterable[Any]],
        *,
        return_exceptions: bool = False,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> Results[R]:
        """Return what `map` returns; each item of `iterable` holds the positional arguments of one call."""
        return self._results(map(_arguments, iterable), return_exceptions, max_in_flight)

    # ── here ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def call_local(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here, in this process and thread, and return its result; of a generator, the last value.

        Raises: what the function raises; InvalidUseError for a deployed function, whose code is not here.
        """
        if self._code is None:
            raise InvalidUseError(
                f"The code of {self._project_name}/{self.__name__} is not here: use call_remote(...), or import the "
                "function from the project's own files"
            )
        value = self._code(*args, **kwargs)
        return cast(R, last_value(value) if isinstance(value, Generator) else value)

    __call__ = call_local

    def spec(self) -> FunctionSpec:
        """Return what a deploy registers of this function. Raises: InvalidUseError for a deployed one."""
        if self._code is None or self._resource_spec is None or self._execution_spec is None:
            raise InvalidUseError(f"{self.__name__} is deployed already: only a function defined here has a spec")
        signature = signature_text(self._code)
        spec: FunctionSpec = {
            "function_name": self.__name__,
            "docker_image_override": None,
            "resource_spec": self._resource_spec,
            "execution_spec": self._execution_spec,
            "description": (inspect.getdoc(self._code) or "").partition("\n")[0] or None,
            "signature": signature if len(signature) <= MAX_PARAMETERS else None,
        }
        if self._schedule_spec is not None:
            spec["schedule"] = self._schedule_spec
        return spec

    # ── how ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _address(self) -> FunctionAddress:
        return address_of(self._project_name, self._version_id, self.__name__)

    def _start(
        self, address: FunctionAddress, transport: Transport, args: Iterable[Any], kwargs: dict[str, Any]
    ) -> str:
        arguments = tuple(args)
        self._check(address, transport, arguments, kwargs)
        invocation_id = new_invocation_id()
        definition: InvocationDefinition = {
            "input": encode_arguments(arguments, kwargs),
            "invocation_id": invocation_id,
        }
        if address.parent is not None:
            definition["parent_invocation"] = address.parent
        try:
            answer = transport.request("POST", address.invocations_path, body=definition)
        except InvocationAlreadyExists:
            # The id was drawn above: only an earlier sending of this request, answered too late, can have used it.
            return invocation_id
        seen = self._seen
        if seen is not None and seen[0] != answer["version_id"]:
            self._seen = None  # a newer version is the latest now, perhaps with another signature
        return invocation_id

    def _check(
        self, address: FunctionAddress, transport: Transport, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Raise ParameterValidationError if the arguments do not fit the function as it is, or was last seen."""
        if self._code is not None:
            check_arguments(signature_text(self._code), args, kwargs, function_name=self.__name__)
            return
        known = self._seen
        version_id, signature = known or self._look_up(address, transport)
        try:
            check_arguments(_ANYTHING if signature is None else signature, args, kwargs, function_name=self.__name__)
        except ParameterValidationError:
            # The version that was seen earlier may no longer be the latest.
            if known is None or address.version_id != LATEST or self._look_up(address, transport)[0] == version_id:
                raise
            self._check(address, transport, args, kwargs)

    def _look_up(self, address: FunctionAddress, transport: Transport) -> Seen:
        """Return the version's id and the signature there. Raises: FunctionDoesNotExist, naming what does."""
        version = cast(VersionInfo, transport.request("GET", address.version_path))
        functions = {info["function_name"]: info for info in version["functions"]}
        info = functions.get(self.__name__)
        if info is None:
            close = get_close_matches(self.__name__, functions, n=1)
            known = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(sorted(functions))}"
            raise FunctionDoesNotExist(
                f"Version {version['version_id']} of {address.project_name} has no function {self.__name__!r}; {known}"
            )
        seen = self._seen = (version["version_id"], info.get("signature"))
        return seen

    def _results(self, calls: Iterable[tuple[Any, ...]], return_exceptions: bool, max_in_flight: int) -> Results[R]:
        if type(max_in_flight) is not int or max_in_flight < 1:
            raise ParameterValidationError(f"max_in_flight is {max_in_flight!r}; allowed is a whole number from 1")
        address, transport = self._address(), _transport()
        if self._code is None:
            address = replace(address, version_id=self._look_up(address, transport)[0])
        return Results(
            calls,
            start=lambda args: self._start(address, transport, args, {}),
            fetch=lambda invocation_id, wait_s: (
                hold(transport, invocation_id, wait_s) if wait_s else fetch(transport, invocation_id)
            ),
            cancel=lambda invocation_id: cancel(transport, invocation_id),
            return_exceptions=return_exceptions,
            max_in_flight=max_in_flight,
        )


def get_deployed_function(project_name: str, function_name: str, version_id: str | None = None) -> Function[..., Any]:
    """Return the function `function_name` of a deployed project. No request is sent before it is used.

    `version_id`: always this version; None: the latest at each start. Inside a worker, for its own project, None is
    the version that runs there.

    Raises: ParameterValidationError when an argument is not a name.
    """
    given = {"project_name": project_name, "function_name": function_name, "version_id": version_id or LATEST}
    for parameter, value in given.items():
        if not isinstance(value, str) or not value:
            raise ParameterValidationError(f"{parameter} is {value!r}; allowed is a non-empty string")
    return Function(function_name, project_name=project_name, version_id=version_id)


def last_value(generator: Iterator[T]) -> T | None:
    """Return what `generator` returns, or else (it returns None) what it yielded last: the worker does the same."""
    last: T | None = None
    while True:
        try:
            last = next(generator)
        except StopIteration as stop:
            return last if stop.value is None else cast(T, stop.value)


def _own(address: FunctionAddress, invocation: Invocation) -> Invocation:
    """Return `invocation` if it belongs to the function at `address`. Raises: InvocationDoesNotExist."""
    if (invocation.project_name, invocation.function_name) == (address.project_name, address.function_name):
        return invocation
    raise InvocationDoesNotExist(
        f"{invocation.invocation_id} is an invocation of {invocation.project_name}/{invocation.function_name}, "
        f"not of {address.project_name}/{address.function_name}"
    )


def _transport() -> Transport:
    return shared(connection())


def _checked_id(invocation_id: str) -> str:
    if not isinstance(invocation_id, str):
        raise ParameterValidationError(
            f"The invocation id is {invocation_id!r}; allowed is the string that start returns"
        )
    return invocation_id


def _seconds(timeout: timedelta | float) -> float:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or math.isnan(seconds) or seconds < 0:
        raise ParameterValidationError(f"timeout is {timeout!r}; allowed is None, a timedelta, or seconds from 0")
    return float(seconds)


def _arguments(item: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(item, str | bytes) or not isinstance(item, Iterable):
        raise ParameterValidationError(
            f"starmap takes each call's arguments as a tuple, and got {item!r}: use map for one argument per call"
        )
    return tuple(item)
