"""The local change feed: a pool of threads that hands every committed change to the reactor.

Each change is handed over at least once, because it leaves the outbox only after the reaction has succeeded. Changes
come in order per invocation, because one thread at a time handles an invocation, and its next change waits for that.
"""

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from multinode_control_plane.adapters.local.sqlite import Outbox
from multinode_control_plane.ports import Change, StoreUnavailable
from multinode_protocol.backoff import Backoff

logger = logging.getLogger(__name__)

THREADS = 8
BATCH = 500
MAX_TRIES = 12
"""With the pauses below, that takes about two and a half minutes."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
STORE_PAUSE_S = 1.0


class Feed:
    """Consumes an outbox until it is stopped. A change on which `react` keeps failing is set aside; others go on."""

    def __init__(
        self,
        outbox: Outbox,
        react: Callable[[Change], None],
        *,
        threads: int = THREADS,
        first_pause_s: float = FIRST_PAUSE_S,
        store_pause_s: float = STORE_PAUSE_S,
        max_tries: int = MAX_TRIES,
    ) -> None:
        self._outbox = outbox
        self._react = react
        self._first_pause_s = first_pause_s
        self._store_pause_s = store_pause_s
        self._max_tries = max_tries
        self._threads = [
            threading.Thread(target=self._work, name=f"feed-{number}", daemon=True) for number in range(threads)
        ]
        self._wake = threading.Condition()
        self._stopping = False
        self._unread = True
        self._position = 0
        self._waiting: dict[str, deque[int]] = {}
        """Changes that were read and are not done yet, by invocation; the first is the one to react to."""
        self._ready: deque[str] = deque()
        """Invocations whose first change may be taken now."""
        self._paused: list[tuple[float, str]] = []
        """Heap of invocations whose first change failed, and when to try it again."""
        self._tries: dict[str, int] = {}

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def committed(self) -> None:
        """Note that the outbox may hold new changes."""
        with self._wake:
            self._unread = True
            self._wake.notify()

    def stop(self, timeout_s: float) -> None:
        """End the threads after the reactions under way; the rest of the outbox is left for the next start."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        deadline = time.monotonic() + timeout_s
        for thread in (thread for thread in self._threads if thread.ident is not None):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            invocation_id, seq = taken
            self._done(invocation_id, self._handle(invocation_id, seq))

    def _take(self) -> tuple[str, int] | None:
        """Wait for an invocation and return it with its change to react to; None when the feed is stopped."""
        with self._wake:
            while not self._stopping:
                now = time.monotonic()
                while self._paused and self._paused[0][0] <= now:
                    self._ready.append(heapq.heappop(self._paused)[1])
                if self._ready:
                    invocation_id = self._ready.popleft()
                    if self._ready or self._unread:
                        self._wake.notify()
                    return invocation_id, self._waiting[invocation_id][0]
                if self._unread:
                    self._read_more()
                else:
                    self._wake.wait(self._paused[0][0] - now if self._paused else None)
            return None

    def _read_more(self) -> None:
        try:
            rows = self._outbox.after(self._position, limit=BATCH)
        except StoreUnavailable as error:
            if not self._stopping:
                logger.warning("the change feed cannot be read, trying again: %s", error)
                self._wake.wait(self._store_pause_s)
            return
        self._unread = len(rows) == BATCH
        for seq, invocation_id in rows:
            self._position = seq
            if invocation_id in self._waiting:
                self._waiting[invocation_id].append(seq)
            else:
                self._waiting[invocation_id] = deque([seq])
                self._ready.append(invocation_id)

    def _handle(self, invocation_id: str, seq: int) -> float | None:
        """React to one change. Return None if it is done, else the seconds until it should be tried again."""
        try:
            pending = self._outbox.get(seq)
            if pending is not None:
                try:
                    change = pending.change()
                except ValueError as error:
                    self._set_aside(invocation_id, seq, f"it cannot be read: {error}")
                    return None
                self._react(change)
                self._outbox.done(seq)
        except StoreUnavailable as error:
            if not self._stopping:
                logger.warning("change %d of %s has to wait for the store: %s", seq, invocation_id, error)
            return self._store_pause_s
        except Exception as error:
            return self._failed(invocation_id, seq, error)
        return None

    def _failed(self, invocation_id: str, seq: int, error: Exception) -> float | None:
        tries = self._tries.get(invocation_id, 0) + 1
        if tries >= self._max_tries:
            logger.error("change %d of %s failed %d times", seq, invocation_id, tries, exc_info=error)
            try:
                self._set_aside(invocation_id, seq, f"{tries} tries failed, the last with {error!r}")
            except StoreUnavailable:
                return LONGEST_PAUSE_S
            return None
        self._tries[invocation_id] = tries
        pause_s = Backoff(self._first_pause_s, LONGEST_PAUSE_S, jitter=0).pause_s(tries, 0)
        logger.warning("change %d of %s failed, trying again in %.1f s: %r", seq, invocation_id, pause_s, error)
        return pause_s

    def _set_aside(self, invocation_id: str, seq: int, reason: str) -> None:
        self._outbox.quarantine(seq, reason)
        logger.error(
            "change %d of %s is set aside in the table quarantined_changes; the sweep repairs what it can: %s",
            seq,
            invocation_id,
            reason,
        )

    def _done(self, invocation_id: str, pause_s: float | None) -> None:
        with self._wake:
            if pause_s is not None:
                heapq.heappush(self._paused, (time.monotonic() + pause_s, invocation_id))
                self._wake.notify()
                return
            self._tries.pop(invocation_id, None)
            changes = self._waiting[invocation_id]
            changes.popleft()
            if changes:
                self._ready.append(invocation_id)
                self._wake.notify()
            else:
                del self._waiting[invocation_id]
