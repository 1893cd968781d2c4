"""Asking repeatedly, through outages of the control plane."""

import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from multinode.invocation.polling import Seen, poll
from multinode_cli.client.api import ControlPlaneAway
from multinode_cli.console.terminal import Terminal
from multinode_cli.console.text import duration
from multinode_cli.errors import ControlPlaneFailure

T = TypeVar("T")
P = ParamSpec("P")

PATIENCE_S = 180.0
LONGEST_PAUSE_S = 5.0


class Patience:
    """Repeats a request through an outage, saying so once, and gives up after `patience_s` seconds without an answer.

    `come_back` says how to continue later; it ends the message of giving up.
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
        answers: list[T] = []

        def ask() -> Seen:
            try:
                answers.append(request(*args, **kwargs))
            except ControlPlaneAway as away:
                if self._lost(away) >= self._patience_s:
                    raise ControlPlaneFailure(
                        f"{away.message}\nNo answer for {duration(self._patience_s)}. {self._come_back}"
                    ) from away
                return Seen.NOTHING
            self._found()
            return Seen.END

        poll(ask, longest_s=LONGEST_PAUSE_S, growth=2, sleep=self._sleep, monotonic=self._monotonic)
        return answers[0]

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
