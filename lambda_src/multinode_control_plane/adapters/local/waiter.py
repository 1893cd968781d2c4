"""Waiting requests of the local server, woken by the commits that they wait for."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.records import Invocation, Output
from multinode_control_plane.ports import Delete, Put, Write

_PARTITION = invocation_key("").partition


@dataclass
class _Waiters:
    """The requests that wait for one invocation. `changes` counts, so that none between two checks is missed."""

    woken: threading.Condition
    count: int = 0
    changes: int = 0


class LocalWaiter:
    """See `ports.Waiter`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiters: dict[str, _Waiters] = {}
        self._closed = False

    def wait(self, invocation_id: str, changed: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        with self._lock:
            waiters = self._waiters.setdefault(invocation_id, _Waiters(threading.Condition(self._lock)))
            waiters.count += 1
        try:
            while True:
                seen = waiters.changes
                if changed():
                    return
                with self._lock:
                    while waiters.changes == seen and not self._closed:
                        left_s = deadline - time.monotonic()
                        if left_s <= 0 or not waiters.woken.wait(left_s):
                            return
                    if self._closed:
                        return
        finally:
            with self._lock:
                waiters.count -= 1
                if waiters.count == 0:
                    self._waiters.pop(invocation_id, None)

    def committed(self, writes: Sequence[Write]) -> None:
        """Wake the requests that wait for an invocation whose visible contents `writes` changed."""
        self.wake(filter(None, map(_invocation_id, writes)))

    def wake(self, invocation_ids: Iterable[str]) -> None:
        with self._lock:
            for invocation_id in invocation_ids:
                waiters = self._waiters.get(invocation_id)
                if waiters is not None:
                    waiters.changes += 1
                    waiters.woken.notify_all()

    def close(self) -> None:
        """End all waiting, now and from now on: the server is stopping."""
        with self._lock:
            self._closed = True
            for waiters in self._waiters.values():
                waiters.woken.notify_all()


def _invocation_id(write: Write) -> str | None:
    """Return the invocation whose visible contents a write changes; None if it changes none."""
    if isinstance(write, Put):
        return write.record.invocation_id if isinstance(write.record, Invocation | Output) else None
    if isinstance(write, Delete) and write.key.partition.startswith(_PARTITION):
        return write.key.partition.removeprefix(_PARTITION)
    return None
