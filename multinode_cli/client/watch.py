"""① Waiting for invocations through long requests, outages and Ctrl-C.

Each watched invocation has a daemon thread that asks the control plane and puts what it learns into one queue; the
main thread takes from the queue, so that Ctrl-C is noticed at once.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from multinode.invocation.waiting import LONGEST_ROUND_S, ROUND_GROWTH
from multinode_cli.client.api import Api, ControlPlaneAway
from multinode_cli.console.json_output import is_final
from multinode_cli.console.terminal import Terminal
from multinode_cli.console.text import duration
from multinode_cli.errors import ControlPlaneFailure
from multinode_protocol.limits import MAX_WAIT_S
from multinode_protocol.messages import InvocationInfo, LogLine

__all__ = ["Broke", "Changed", "LogsEnded", "Patience", "InvocationWatcher", "Wrote"]

T = TypeVar("T")
P = ParamSpec("P")

PATIENCE_S = 180.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Changed:
    """The invocation as it is now: the first answer, and each that differs from the one before."""

    invocation: InvocationInfo


@dataclass(frozen=True, slots=True)
class Wrote:
    """New log lines, oldest first."""

    lines: list[LogLine]


@dataclass(frozen=True, slots=True)
class LogsEnded:
    """The invocation has ended and all of its lines were given."""


@dataclass(frozen=True, slots=True)
class Broke:
    """Watching is over: the error is to be raised."""

    error: Exception


Event = Changed | Wrote | LogsEnded | Broke


class Patience:
    """Repeats a request through an outage, saying so once, and gives up after `patience_s` seconds without an answer.

    `come_back` ends the message of giving up: how to go on later.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        come_back: str,
        patience_s: float | None = None,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terminal = terminal
        self._come_back = come_back
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._sleep = sleep
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._away_since: float | None = None

    def call(self, request: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the answer to `request`, which must be repeatable.

        Raises: ControlPlaneFailure when the outage lasts too long.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                answer = request(*args, **kwargs)
            except ControlPlaneAway as away:
                if self._lost(away) >= self._patience_s:
                    raise ControlPlaneFailure(
                        f"{away.message}\nNo answer for {duration(self._patience_s)}. {self._come_back}"
                    ) from away
                self._sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                self._found()
                return answer

    def _lost(self, away: ControlPlaneAway) -> float:
        """Return for how long there has been no answer to anyone; say it when that begins."""
        with self._lock:
            now = self._monotonic()
            if self._away_since is None:
                self._away_since = now
                self._terminal.warning(f"{away.message}\nTrying again for {duration(self._patience_s)} …")
            return now - self._away_since

    def _found(self) -> None:
        with self._lock:
            if self._away_since is not None:
                self._away_since = None
                self._terminal.message("The control plane answers again")


class Rounds:
    """Keeps questions that bring no news apart, further and further: not every server holds its answers back."""

    def __init__(self, sleep: Callable[[float], object], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._sleep = sleep
        self._monotonic = monotonic
        self._least_s = FIRST_PAUSE_S
        self._began = 0.0

    def begin(self) -> None:
        self._began = self._monotonic()

    def end(self, *, news: bool) -> None:
        """Return at once after news; else not before the round has taken as long as it should."""
        if news:
            self._least_s = FIRST_PAUSE_S
            return
        early_s = self._least_s - (self._monotonic() - self._began)
        if early_s > 0:
            self._sleep(early_s)
        self._least_s = min(self._least_s * ROUND_GROWTH, LONGEST_ROUND_S)


class InvocationWatcher:
    """What happens to some invocations, as a queue of events."""

    def __init__(
        self, api: Api, patience: Patience, *, wait_s: int = MAX_WAIT_S, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._api = api
        self._patience = patience
        self._wait_s = wait_s
        self._sleep = sleep
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def next_event(self, timeout_s: float | None = None) -> Event | None:
        """Return the next event; None when there was none for `timeout_s`."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def invocation(self, invocation_id: str, *, until_finished: bool = False) -> None:
        """Begin to watch an invocation until it is final. `until_finished`: nothing in between is of interest."""

        def ask() -> None:
            revision: str | None = None
            rounds = Rounds(self._sleep)
            while True:
                rounds.begin()
                invocation = self._patience.call(
                    self._api.invocation,
                    invocation_id,
                    wait_s=self._wait_s if revision else 0,
                    since=None if until_finished else revision,
                    until_finished=until_finished and revision is not None,
                )
                news = invocation["revision"] != revision
                revision = invocation["revision"]
                if news:
                    self._events.put(Changed(invocation))
                if is_final(invocation):
                    return
                rounds.end(news=news)

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

        def ask() -> None:
            following = offset
            rounds = Rounds(self._sleep)
            while True:
                rounds.begin()
                page = self._patience.call(
                    self._api.logs,
                    invocation_id,
                    offset=following,
                    execution_id=execution_id,
                    since_ms=since_ms,
                    wait_s=self._wait_s,
                )
                following = page["next_offset"]
                if page["lines"]:
                    self._events.put(Wrote(page["lines"]))
                if page["complete"]:
                    self._events.put(LogsEnded())
                    return
                rounds.end(news=bool(page["lines"]))

        self._begin(ask, f"logs of {invocation_id}")

    def _begin(self, ask: Callable[[], None], name: str) -> None:
        def run() -> None:
            try:
                ask()
            except Exception as error:
                self._events.put(Broke(error))

        threading.Thread(target=run, name=name, daemon=True).start()
