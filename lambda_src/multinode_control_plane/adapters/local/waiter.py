"""Waiting requests of the local server, woken by the commits that they wait for."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.records import Invocation, Output
from multinode_control_plane.ports import Delete, Put, Write

_PARTITION = invocation_key("").partition


@dataclass
class _Room:
    """Those who wait for one invocation. `changes` counts its changes, so that none between two looks is missed."""

    woken: threading.Condition
    occupants: int = 0
    changes: int = field(default=0)


class LocalWaiter:
    """See `ports.Waiter`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rooms: dict[str, _Room] = {}
        self._closed = False

    def wait(self, invocation_id: str, changed: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        with self._lock:
            room = self._rooms.setdefault(invocation_id, _Room(threading.Condition(self._lock)))
            room.occupants += 1
        try:
            while True:
                seen = room.changes
                if changed():
                    return
                with self._lock:
                    while room.changes == seen and not self._closed:
                        left_s = deadline - time.monotonic()
                        if left_s <= 0 or not room.woken.wait(left_s):
                            return
                    if self._closed:
                        return
        finally:
            with self._lock:
                room.occupants -= 1
                if room.occupants == 0:
                    self._rooms.pop(invocation_id, None)

    def committed(self, writes: Sequence[Write]) -> None:
        """Wake the requests that wait for an invocation whose visible contents `writes` changed."""
        self.wake(filter(None, map(_invocation_id, writes)))

    def wake(self, invocation_ids: Iterable[str]) -> None:
        with self._lock:
            for invocation_id in invocation_ids:
                room = self._rooms.get(invocation_id)
                if room is not None:
                    room.changes += 1
                    room.woken.notify_all()

    def close(self) -> None:
        """End all waiting, now and from now on: the server is stopping."""
        with self._lock:
            self._closed = True
            for room in self._rooms.values():
                room.woken.notify_all()


def _invocation_id(write: Write) -> str | None:
    """Return the invocation whose visible contents a write changes; None if it changes none."""
    if isinstance(write, Put):
        return write.record.invocation_id if isinstance(write.record, Invocation | Output) else None
    if isinstance(write, Delete) and write.key.partition.startswith(_PARTITION):
        return write.key.partition.removeprefix(_PARTITION)
    return None
