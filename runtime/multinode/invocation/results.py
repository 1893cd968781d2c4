"""Many calls of one function at once, their results as one stream in the order of the calls.

Only the next result is waited for; the other invocations go on without being watched. They are looked at only when
`max_in_flight` of them run and further calls wait for one to end.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from multinode.errors import (
    ExecutionInterruptedError,
    InvocationCancelledError,
    InvocationIsAlreadyTerminated,
    InvocationTimedOutError,
    MultinodeError,
)
from multinode.invocation.record import Invocation, value_of
from multinode_protocol.limits import MAX_WAIT_S

__all__ = ["Results"]

T = TypeVar("T")

THREADS = 8
"""Requests at a time: starts, and looks at invocations whose result is not due yet."""
WAIT_S = MAX_WAIT_S
FIRST_CROWDED_WAIT_S = 1
"""The wait for the next result while calls wait for a place; it doubles while no place gets free."""
LOOKS = 32
"""Invocations looked at between two such waits."""
UNREAD_PER_PLACE = 10
"""Results kept for a caller who has not read them, for each call that may be in flight."""


class _Call:
    """One call: its start under way, then its invocation, then that it is settled."""

    def __init__(self, started: "Future[str]") -> None:
        self.started = started
        self.end: Invocation | Exception | None = None

    @property
    def invocation_id(self) -> str | None:
        """None while the start is under way, and when it failed."""
        ready = self.started.done() and not self.started.cancelled() and self.started.exception() is None
        return self.started.result() if ready else None

    def value(self) -> Any:
        """Return the result of a settled call. Raises: what became of it instead."""
        if isinstance(self.end, Invocation):
            return value_of(self.end)
        raise self.end or AssertionError("the call is not settled")

    def is_interrupted_by(self, error: Exception) -> bool:
        """True when `error` is not the call's own: it was raised in this thread to end the function that runs here."""
        if isinstance(error, InvocationCancelledError | InvocationTimedOutError):
            return error is not self.end and error.invocation_id != self.invocation_id
        return isinstance(error, ExecutionInterruptedError)


class Results(Generic[T], Iterator[T]):
    """The results of `map` and `starmap`: an iterator, in the order of the calls, each as soon as it is available.

    The first calls are started at once, further ones as earlier ones end and results are read. A failed call raises its
    error in its turn (or returns it as a result, with `return_exceptions`); the next ``next()`` goes on with the call
    after it. When an error ends the caller's loop, or the iterator is dropped, nothing more is started, but what has
    been started goes on. To stop it, call `cancel()`, or read the results in a ``with`` block, which cancels what is
    unfinished when it is left.
    """

    def __init__(
        self,
        calls: Iterable[tuple[Any, ...]],
        *,
        start: Callable[[tuple[Any, ...]], str],
        fetch: Callable[[str, int], Invocation],
        cancel: Callable[[str], object],
        return_exceptions: bool,
        max_in_flight: int,
    ) -> None:
        """`start` returns the invocation's id; `fetch` takes an id and seconds to wait; `cancel` takes an id."""
        self._calls: Iterator[tuple[Any, ...]] | None = iter(calls)
        self._start, self._fetch, self._cancel = start, fetch, cancel
        self._return_exceptions = return_exceptions
        self._max_in_flight = max_in_flight
        self._unread: deque[_Call] = deque()
        self._in_flight = 0
        self._looked_at = 0
        self._crowded_wait_s = FIRST_CROWDED_WAIT_S
        self._threads = ThreadPoolExecutor(min(THREADS, max_in_flight), "multinode-map")
        self._fill()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """Return the next result, waiting for it as long as it takes.

        Raises: what `Function.await_result` and `Function.start` raise; StopIteration after the last.
        """
        self._fill()
        if not self._unread:
            self.close()
            raise StopIteration
        call = self._unread[0]
        while call.end is None:
            self._await(call)
            self._fill()
        self._unread.popleft()
        self._fill()
        try:
            result: T = call.value()
        except Exception as error:
            if self._return_exceptions and not call.is_interrupted_by(error):
                return error  # type: ignore[return-value]
            raise
        return result

    @property
    def invocation_ids(self) -> list[str]:
        """The invocations that have been started and whose results have not been read, in the order of the calls."""
        return [call.invocation_id for call in self._unread if call.invocation_id is not None]

    def cancel(self) -> None:
        """Start nothing more and cancel what is unfinished. Iteration then goes on, and shows how each call ended.

        Raises: the first error of the requests, all of which are made.
        """
        self._calls = None
        for call in self._unread:
            if call.end is None and call.started.cancel():
                self._settle(call, InvocationCancelledError("The call was cancelled before it was started"))
        pending = [call for call in self._unread if call.end is None]
        for request in [self._threads.submit(self._cancel_one, call) for call in pending]:
            request.result()

    def close(self) -> None:
        """Start nothing more, and end the iteration. What has been started goes on by itself."""
        self._calls = None
        self._unread.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.cancel()
        finally:
            self.close()

    def _fill(self) -> None:
        """Start calls while there is room for them. Raises: what the caller's iterable raises."""
        most_unread = self._max_in_flight * UNREAD_PER_PLACE
        while self._calls is not None and self._in_flight < self._max_in_flight and len(self._unread) < most_unread:
            try:
                arguments = next(self._calls)
            except BaseException as error:
                self._calls = None
                if isinstance(error, StopIteration):
                    return
                raise
            self._unread.append(_Call(self._threads.submit(self._start, arguments)))
            self._in_flight += 1

    def _await(self, call: _Call) -> None:
        """Wait for `call` for a while, and settle it if it has ended by then."""
        # Unlike `result()`, `exception()` raises nothing but an interruption of this thread.
        error = call.started.exception()
        if error is not None:
            self._settle(call, error)
            return
        crowded = self._calls is not None and 1 < self._in_flight >= self._max_in_flight
        self._settle(call, self._fetch(call.started.result(), self._crowded_wait_s if crowded else WAIT_S))
        if crowded and call.end is None:
            self._crowded_wait_s = min(WAIT_S, self._crowded_wait_s * 2)
            self._look_around(call)

    def _look_around(self, awaited: _Call) -> None:
        """Settle those of the next `LOOKS` calls that have ended, going round. `awaited` has just been looked at."""
        open_calls = [c for c in self._unread if c is not awaited and c.end is None and c.started.done()]
        first = self._looked_at % max(1, len(open_calls))
        chosen = (open_calls[first:] + open_calls[:first])[:LOOKS]
        self._looked_at = first + len(chosen)
        looks = [(call, self._threads.submit(self._look, call)) for call in chosen]
        for call, look in looks:
            self._settle(call, look.result())

    def _look(self, call: _Call) -> Invocation | BaseException:
        return call.started.exception() or self._fetch(call.started.result(), 0)

    def _settle(self, call: _Call, end: Invocation | BaseException) -> None:
        if isinstance(end, Invocation):
            if not end.status.finished:
                return
            call.end = end
        else:
            call.end = end if isinstance(end, Exception) else MultinodeError(f"The start was given up: {end!r}")
        self._in_flight -= 1
        self._crowded_wait_s = FIRST_CROWDED_WAIT_S

    def _cancel_one(self, call: _Call) -> None:
        with suppress(InvocationIsAlreadyTerminated):
            if call.started.exception() is None:
                self._cancel(call.started.result())
