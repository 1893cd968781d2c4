"""The one loop that waits by asking again and again, for SDK and CLI."""

import time
from collections.abc import Callable
from enum import Enum

FIRST_PAUSE_S = 0.5
LONGEST_ROUND_S = 3.0
"""What a round grows to: on AWS a request that waits costs money, so it is answered at once and sent less often."""
ROUND_GROWTH = 1.3


class Seen(Enum):
    """What one question found out."""

    END = "end"
    NEWS = "news"
    NOTHING = "nothing"


def poll(
    ask: Callable[[], Seen],
    *,
    every_s: float | None = None,
    longest_s: float | None = None,
    growth: float = ROUND_GROWTH,
    timeout_s: float | None = None,
    sleep: Callable[[float], object] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> bool:
    """Return True once `ask` has seen the end; False if `timeout_s` seconds pass first.

    A question that brings no news begins at least `every_s` seconds before the next one. With `longest_s` that time
    grows up to it, and starts over after news: not every server holds its answers back.
    """
    first_s = FIRST_PAUSE_S if every_s is None else every_s
    round_s, began = first_s, monotonic()
    give_up_at = float("inf") if timeout_s is None else began + timeout_s
    while True:
        seen = ask()
        if seen is Seen.END:
            return True
        if monotonic() >= give_up_at:
            return False
        if seen is Seen.NEWS:
            round_s = first_s
        else:
            now = monotonic()
            early_s = min(began + round_s, give_up_at) - now
            if early_s > 0:
                sleep(early_s)
            if longest_s is not None:
                round_s = min(round_s * growth, longest_s)
        began = monotonic()
