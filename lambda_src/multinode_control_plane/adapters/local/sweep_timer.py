"""When the local sweep runs: a thread that wakes exactly when something is due, and regularly to reconcile."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from multinode_control_plane.core.records import Invocation, Project, Schedules
from multinode_control_plane.ports import Clock, Put, Write

logger = logging.getLogger(__name__)

RECONCILE_EVERY_S = 30.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0


class SweepTimer:
    """Calls ``sweep(reconcile)``, which returns when the next record is due (None: none is), until it is stopped."""

    def __init__(
        self,
        sweep: Callable[[bool], datetime | None],
        clock: Clock,
        *,
        reconcile_every_s: float = RECONCILE_EVERY_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._sweep = sweep
        self._clock = clock
        self._reconcile_every_s = reconcile_every_s
        self._first_pause_s = first_pause_s
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)
        self._wake = threading.Condition()
        self._stopping = False
        self._due: datetime | None = None

    def start(self) -> None:
        """Start with a sweep at once, which reconciles."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread after the sweep under way."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def committed(self, writes: Sequence[Write]) -> None:
        """Note when the records just written are due."""
        dues = [due for write in writes if isinstance(write, Put) and (due := _due(write.record)) is not None]
        if dues:
            self.set(min(dues))

    def set(self, due: datetime) -> None:
        """Sweep at `due` at the latest."""
        with self._wake:
            if self._due is None or due < self._due:
                self._due = due
                self._wake.notify_all()

    def _run(self) -> None:
        reconcile_at = time.monotonic()
        pause_s = self._first_pause_s
        while not self._stopping:
            reconcile = time.monotonic() >= reconcile_at
            if reconcile:
                reconcile_at = time.monotonic() + self._reconcile_every_s
            with self._wake:
                self._due = None
            try:
                due = self._sweep(reconcile)
            except Exception as error:
                if self._stopping:
                    return
                logger.exception("the sweep failed, trying again in %.2f s", pause_s, exc_info=error)
                due = self._clock.now()
            if due is not None:
                self.set(due)
            # A record that stays due after a sweep must not keep this thread busy.
            overdue = due is not None and due <= self._clock.now()
            self._wait(reconcile_at, least_s=pause_s if overdue else 0.0)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S) if overdue else self._first_pause_s

    def _wait(self, reconcile_at: float, *, least_s: float) -> None:
        begun = time.monotonic()
        with self._wake:
            while not self._stopping:
                until_s = reconcile_at - time.monotonic()
                if self._due is not None:
                    until_s = min(until_s, (self._due - self._clock.now()).total_seconds())
                until_s = max(until_s, begun + least_s - time.monotonic())
                if until_s <= 0:
                    return
                self._wake.wait(until_s)


def _due(record: object) -> datetime | None:
    if isinstance(record, Invocation | Schedules):
        return record.due_at
    return record.deletion_requested_at if isinstance(record, Project) else None
