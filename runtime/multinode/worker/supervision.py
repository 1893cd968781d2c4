"""The loop over one call: from the request to the child until the child is gone.

It waits for what comes first: a frame or the end of the child, a signal, an answer of the control plane, a time in the
plan.
"""

import contextlib
import json
import os
import selectors
import time
from collections.abc import Callable
from typing import cast

from multinode.worker.channel import END, PROGRESS, BrokenChannel, CallResult, FrameReader
from multinode.worker.interruption import SIGNAL
from multinode.worker.processes import Child
from multinode.worker.progress import ProgressReporter
from multinode.worker.signals import Signals
from multinode.worker.stop_plan import StopAction, StopPlan
from multinode_protocol.process_tree import signal_group

_LEAVE_S = 10.0
"""For the child's exit functions, once its result is there."""
_VANISH_S = 30.0
"""For the kernel to carry out SIGKILL; then the worker ends without waiting for it."""
_READ_BYTES = 1_048_576
_LONGEST_SLEEP_S = 3600.0


class CallSupervision:
    """One call while it runs."""

    def __init__(
        self, child: Child, plan: StopPlan, reporter: ProgressReporter, signals: Signals, say: Callable[[str], None]
    ) -> None:
        self._child = child
        self._plan = plan
        self._reporter = reporter
        self._signals = signals
        self._say = say
        self._frames = FrameReader()
        self._selector = selectors.DefaultSelector()
        self._request = memoryview(b"")
        self._signalled = False
        self._leave_by: float | None = None
        self._vanish_by: float | None = None
        self.result: CallResult | None = None
        """What the child reported, once it has."""
        self.broken: str | None = None
        """What is wrong with the bytes that came from the child."""
        self.ownership_lost: str | None = None
        """Why the code was stopped without a report: this worker has lost the execution."""

    def run(self, request: bytes) -> None:
        """Send `request` (nothing: the child is to be stopped before it runs) and return when the child is gone."""
        self._selector.register(self._signals.fd, selectors.EVENT_READ)
        self._selector.register(self._child.report_fd, selectors.EVENT_READ)
        if request:
            self._request = memoryview(request)
            self._selector.register(self._child.call_fd, selectors.EVENT_WRITE)
        with self._selector:
            while not self._is_over():
                self._act()
                for key, _ in self._selector.select(self._sleep_s()):
                    self._handle(cast(int, key.fileobj))
        self._read_rest()

    def _is_over(self) -> bool:
        self._child.reap()
        return self._child.status is not None or (self._vanish_by is not None and time.monotonic() >= self._vanish_by)

    def _act(self) -> None:
        """Do what is due now."""
        now = time.monotonic()
        self._hear(now)
        if self._vanish_by is not None:
            return
        if self.result is not None:
            if self._leave_by is not None and now >= self._leave_by:
                self._say(f"the exit functions of the code ran for more than {_LEAVE_S:g} s after its end: killed")
                self._kill(now)
            return
        action = self._plan.action(now)
        if action is StopAction.INTERRUPT:
            self._interrupt()
        elif action is StopAction.KILL:
            self._say("the function did not end within its grace period: killed")
            self._kill(now)

    def _hear(self, now: float) -> None:
        """Note what signals and the control plane have said."""
        if self._signals.stop_requested and self._plan.requested_at is None:
            self._plan.request(now)
            self._reporter.ask()
        if self._reporter.answer is not None and not self._plan.answered:
            self._plan.answer(self._reporter.answer[0])
        if self._reporter.ownership_lost is not None and self.ownership_lost is None and self.result is None:
            self.ownership_lost = self._reporter.ownership_lost
            self._say(f"stopping the function without a report: {self.ownership_lost}")
            self._kill(now)

    def _interrupt(self) -> None:
        if not self._signalled and self._plan.reason is not None:
            self._signalled = True
            self._say(f"interrupting the function: {self._plan.reason}")
            with contextlib.suppress(BrokenPipeError):  # it has just ended, or closed what it did not open
                os.write(self._child.reason_fd, f"{self._plan.reason}\n".encode("ascii"))
        self._child.signal(SIGNAL)

    def _kill(self, now: float) -> None:
        self._vanish_by = now + _VANISH_S
        signal_group(self._child.pid)

    def _sleep_s(self) -> float:
        times = [self._vanish_by]
        if self._vanish_by is None:
            times += [self._leave_by] if self.result is not None else [self._plan.next_at()]
        due = min((time for time in times if time is not None), default=time.monotonic() + _LONGEST_SLEEP_S)
        return min(max(0.0, due - time.monotonic()), _LONGEST_SLEEP_S)

    def _handle(self, fd: int) -> None:
        if fd == self._signals.fd:
            self._signals.clear()
        elif fd == self._child.call_fd:
            self._send_request()
        elif not self._read():
            self._selector.unregister(fd)

    def _send_request(self) -> None:
        """Write what the pipe takes; close it at the end, which tells the child to begin."""
        try:
            self._request = self._request[os.write(self._child.call_fd, self._request) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it has ended: its status will tell
            self._request = memoryview(b"")
        if not self._request:
            self._selector.unregister(self._child.call_fd)
            os.close(self._child.call_fd)

    def _read(self) -> bool:
        """Read what the child has sent. False when it can send no more."""
        try:
            data = os.read(self._child.report_fd, _READ_BYTES)
        except BlockingIOError:
            return True
        self._take(data)
        return bool(data) and self.broken is None

    def _read_rest(self) -> None:
        """Read what the child sent last. A fork of it may hold the pipe open, and is not waited for."""
        with contextlib.suppress(BlockingIOError):
            while self.broken is None and (data := os.read(self._child.report_fd, _READ_BYTES)):
                self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            frames = self._frames.feed(data)
        except BrokenChannel as broken:
            self.broken = str(broken)
            if self.result is None:
                self._kill(time.monotonic())
            return
        progress = [frame.text for frame in frames if frame.kind == PROGRESS]
        if progress:
            self._reporter.put(progress[-1])
        for frame in frames:
            if frame.kind == END and self.result is None:
                self.result = cast(CallResult, json.loads(frame.text))
                self._leave_by = time.monotonic() + _LEAVE_S
