"""Signals to the supervisor, in a form that its loop can wait for beside everything else."""

import contextlib
import os
import selectors
import signal
from types import FrameType

_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """A pipe that becomes readable when a signal comes, or when another thread calls `wake`.

    SIGTERM is how every platform asks for a stop; SIGINT and SIGHUP come from a terminal and mean the same here.
    """

    def __init__(self) -> None:
        """Install the handlers. Call it in the main thread."""
        self.stop_requested = False
        self.fd, self._write_fd = os.pipe()
        for fd in (self.fd, self._write_fd):
            os.set_blocking(fd, False)
        for number in _STOP:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)

    def wake(self) -> None:
        """Make the pipe readable. Any thread may call it."""
        with contextlib.suppress(BlockingIOError):  # full: then it is readable already
            os.write(self._write_fd, b"\0")

    def clear(self) -> None:
        """Empty the pipe. Look for what woke it afterwards, not before."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, 4096):
                pass

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or at the next signal."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.fd, selectors.EVENT_READ)
            selector.select(max(0.0, seconds))
        self.clear()

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requested = True
