"""The interruption of the user's code, inside the child: an exception raised by a signal, once, and only in their code.

The supervisor writes the reason into a pipe and sends `SIGNAL`. Python runs its handler in the main thread between
two instructions, or inside a blocking call such as ``time.sleep``; where it raises, the user's code sees
InvocationCancelledError, InvocationTimedOutError or ExecutionInterruptedError. The handler raises

- only while `Interruption.call` runs the user's code. Elsewhere, in our own code, it just notes that an interruption
  is pending;
- only once: the supervisor repeats the signal, because Python prints and drops an exception that is raised inside a
  destructor or a callback of the garbage collector. Only then is it raised again.

There must be no gap in which a late interruption loses a result that is already complete. Therefore the
call is made by ``defaultdict.__missing__``, which calls and stores in C, without an instruction between the two.
"""

import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from multinode.errors import ExecutionInterruptedError, InvocationCancelledError, InvocationTimedOutError
from multinode_protocol.status import AbortReason

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

SIGNAL = signal.SIGRTMAX - 1 if sys.platform == "linux" else signal.SIGUSR2
"""One that hardly any library uses: many install their own handler of SIGTERM."""

INTERRUPTIONS = (InvocationCancelledError, InvocationTimedOutError, ExecutionInterruptedError)
_Raised = InvocationCancelledError | InvocationTimedOutError | ExecutionInterruptedError

T = TypeVar("T")


class Interruption:
    """At most one exception for the user's code. Used in the main thread only."""

    def __init__(self, reason_fd: int, invocation_id: str) -> None:
        """`reason_fd`: the reading end of the pipe on which the supervisor says why, in one word and a line end."""
        self._reason_fd = reason_fd
        self._invocation_id = invocation_id
        self._completed: Callable[[], bool] | None = None
        self.pending: _Raised | None = None
        """Requested, but not raised: the user's code was not running."""
        self.raised: _Raised | None = None
        """Raised inside the user's code, which may have caught it."""

    def install(self) -> None:
        """Install the handler. A request that came before is raised at the next call."""
        os.set_blocking(self._reason_fd, False)
        signal.signal(SIGNAL, self._handle)
        sys.unraisablehook = self._unraisable

    def call(self, step: Callable[[], T], over: Callable[[], bool] = lambda: False) -> T:
        """Return what `step` returns; only here can an interruption be raised.

        `step` must be written in C (a `partial`, a bound method of C) for its result to be safe, see above. `over`
        says that `step` has ended other than by returning: then, too, an interruption stays pending.
        """
        box = defaultdict[int, T](step)  # empty until `step` has given its result
        self._completed = lambda: 0 in box or over()
        try:
            self._raise_pending()
            return box[0]
        finally:
            self._completed = None

    def _raise_pending(self) -> None:
        error, self.pending = self.pending, None
        if error is not None:
            self.raised = error
            raise error

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.raised is not None:
            return
        if self.pending is None:
            self.pending = self._ordered()
        if self.pending is not None and self._completed is not None and not self._completed():
            self._raise_pending()

    def _ordered(self) -> _Raised | None:
        try:
            reason = os.read(self._reason_fd, 100).decode("ascii", "replace").split("\n")[0]
        except OSError:  # nothing written: somebody else sent the signal
            return None
        if reason == AbortReason.CANCELLED:
            return InvocationCancelledError(invocation_id=self._invocation_id)
        if reason == AbortReason.TIMED_OUT:
            return InvocationTimedOutError(invocation_id=self._invocation_id)
        return ExecutionInterruptedError() if reason == AbortReason.INTERRUPTED else None

    def _unraisable(self, lost: "UnraisableHookArgs") -> None:
        """Make our exception pending again if Python dropped it: it was raised where none can propagate."""
        if lost.exc_value is not None and lost.exc_value is self.raised:
            self.pending, self.raised = self.raised.with_traceback(None), None
            return
        sys.__unraisablehook__(lost)
