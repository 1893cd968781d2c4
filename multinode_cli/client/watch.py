"""Waiting for invocations, through long requests, outages and Ctrl-C.

Each watched invocation has a daemon thread that asks the control plane and puts what it learns into one queue; the
main thread takes from the queue, so that Ctrl-C is noticed at once.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from multinode.invocation.polling import LONGEST_ROUND_S, Seen, poll
from multinode_cli.client.api import Api
from multinode_cli.client.waiting import Patience
from multinode_cli.console.json_output import is_final
from multinode_protocol.limits import MAX_WAIT_S
from multinode_protocol.messages import InvocationInfo, LogLine


@dataclass(frozen=True, slots=True)
class InvocationChanged:
    """The invocation as it is now: the first answer, and each that differs from the one before."""

    invocation: InvocationInfo


@dataclass(frozen=True, slots=True)
class LinesWritten:
    """New log lines, oldest first."""

    lines: list[LogLine]


@dataclass(frozen=True, slots=True)
class LogsEnded:
    """The invocation has ended and all of its lines were given."""


@dataclass(frozen=True, slots=True)
class WatchFailed:
    """Watching is over; the error should be raised."""

    error: Exception


Event = InvocationChanged | LinesWritten | LogsEnded | WatchFailed


class InvocationWatcher:
    """What happens to some invocations, as a queue of events."""

    def __init__(self, api: Api, patience: Patience, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._api = api
        self._patience = patience
        self._sleep = sleep
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def next_event(self, timeout_s: float | None = None) -> Event | None:
        """Return the next event; None when there was none for `timeout_s`."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def invocation(self, invocation_id: str, *, until_finished: bool = False) -> None:
        """Begin to watch an invocation until it is final. `until_finished`: nothing before its end matters."""
        revision: str | None = None

        def ask() -> Seen:
            nonlocal revision
            invocation = self._patience.call(
                self._api.invocation,
                invocation_id,
                wait_s=MAX_WAIT_S if revision else 0,
                since=None if until_finished else revision,
                until_finished=until_finished and revision is not None,
            )
            news = invocation["revision"] != revision
            revision = invocation["revision"]
            if news:
                self._events.put(InvocationChanged(invocation))
            if is_final(invocation):
                return Seen.END
            return Seen.NEWS if news else Seen.NOTHING

        self._begin(ask, f"watch {invocation_id}")

    def logs(
        self,
        invocation_id: str,
        *,
        offset: str | None = None,
        execution_id: str | None = None,
        since_ms: int | None = None,
    ) -> None:
        """Begin to read log lines from `offset` on, until the invocation has ended and all of them were read."""
        following = offset

        def ask() -> Seen:
            nonlocal following
            page = self._patience.call(
                self._api.logs,
                invocation_id,
                offset=following,
                execution_id=execution_id,
                since_ms=since_ms,
                wait_s=MAX_WAIT_S,
            )
            following = page["next_offset"]
            if page["lines"]:
                self._events.put(LinesWritten(page["lines"]))
            if page["complete"]:
                self._events.put(LogsEnded())
                return Seen.END
            return Seen.NEWS if page["lines"] else Seen.NOTHING

        self._begin(ask, f"logs of {invocation_id}")

    def _begin(self, ask: Callable[[], Seen], name: str) -> None:
        def run() -> None:
            try:
                poll(ask, longest_s=LONGEST_ROUND_S, sleep=self._sleep)
            except Exception as error:
                self._events.put(WatchFailed(error))

        threading.Thread(target=run, name=name, daemon=True).start()
