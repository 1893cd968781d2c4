"""Progress on its way to the control plane: the newest value wins, and the function never waits for the network.

A separate thread sends the values. While one request is on its way, newer values replace each other; what is sent
next is the newest. The same thread asks why the worker was told to stop: that question takes precedence over progress.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from multinode.worker.reporting import ControlPlane, OwnershipLost, Rejected, Unavailable, pauses
from multinode_protocol.status import AbortReason

MIN_INTERVAL_S = 0.5
"""Between two updates: each costs the control plane a request and a write."""


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """A yielded value, encoded; `sequence` counts the values of the execution from 1."""

    text: str
    sequence: int


class ProgressReporter(threading.Thread):
    """Sends what `put` receives, at its own pace, until `close`. `changed` is called when an answer arrives."""

    def __init__(
        self,
        control_plane: ControlPlane,
        *,
        changed: Callable[[], None],
        say: Callable[[str], None],
        min_interval_s: float = MIN_INTERVAL_S,
    ) -> None:
        super().__init__(name="multinode-progress", daemon=True)
        self._control_plane = control_plane
        self._changed = changed
        self._say = say
        self._min_interval_s = min_interval_s
        self._condition = threading.Condition()
        self._count = 0
        self._update_at = 0.0
        """When the next update may be sent, on the monotonic clock."""
        self._question_at: float | None = None
        """When to ask the question. None: there is none."""
        self._stopping = False
        self._unavailable = False
        self.unsent: ProgressUpdate | None = None
        """The newest value, until it has arrived."""
        self.ownership_lost: str | None = None
        """Why this worker has lost the execution, once the control plane has said so."""
        self.answer: tuple[AbortReason | None] | None = None
        """The answer to `ask`, once it is there."""

    def put(self, text: str) -> None:
        """Report `text` as the latest progress. Returns at once."""
        with self._condition:
            self._count += 1
            self.unsent = ProgressUpdate(text, self._count)
            self._condition.notify()

    def ask(self) -> None:
        """Ask the control plane why the worker was told to stop; the reply appears in `answer`."""
        with self._condition:
            self._question_at = 0.0
            self._condition.notify()

    def stop(self) -> None:
        """Send nothing more after the current request."""
        with self._condition:
            self._stopping = True
            self._condition.notify()

    def close(self, wait_s: float) -> ProgressUpdate | None:
        """Stop, and return the last value if it has not arrived. The current request gets `wait_s` seconds."""
        self.stop()
        self.join(wait_s)
        with self._condition:
            return self.unsent

    def run(self) -> None:
        waits = pauses()
        while (task := self._next_task()) is not None:
            try:
                task()
            except Unavailable as error:
                self._put_off(next(waits), asking=task == self._send_question)
                self._note_unavailable(error)
            except OwnershipLost as refusal:
                self.ownership_lost = str(refusal)
                self._changed()
                return
            else:
                waits = pauses()
                self._note_unavailable(None)

    def _next_task(self) -> Callable[[], None] | None:
        """Wait until there is something to send, and return what sends it. None: no more."""
        with self._condition:
            while not self._stopping:
                now = time.monotonic()
                if self._question_at is not None and now >= self._question_at:
                    return self._send_question
                if self.unsent is not None and now >= self._update_at:
                    return self._send_update
                due = [self._question_at] if self._question_at is not None else []
                due += [self._update_at] if self.unsent is not None else []
                self._condition.wait(min(due) - now if due else None)
        return None

    def _send_question(self) -> None:
        try:
            answer = self._control_plane.stop_reason()
        except Rejected as rejection:
            raise Unavailable(str(rejection)) from rejection
        with self._condition:
            self._question_at = None
            self.answer = (answer,)
        self._changed()

    def _send_update(self) -> None:
        with self._condition:
            progress = self.unsent
            self._update_at = time.monotonic() + self._min_interval_s
        if progress is None:
            return
        try:
            self._control_plane.update(progress.text, progress.sequence)
        except Rejected as rejection:
            self._say(f"the control plane did not take the progress value number {progress.sequence}: {rejection}")
        with self._condition:
            if self.unsent is progress:
                self.unsent = None

    def _put_off(self, pause_s: float, *, asking: bool) -> None:
        """Send nothing for a while, except a question that has not been asked before."""
        with self._condition:
            until = time.monotonic() + pause_s
            self._update_at = max(self._update_at, until)
            if asking:
                self._question_at = until

    def _note_unavailable(self, error: Unavailable | None) -> None:
        if error is not None and not self._unavailable:
            self._say(f"{error}; the function goes on, and the report follows")
        elif error is None and self._unavailable:
            self._say("the control plane answers again")
        self._unavailable = error is not None
