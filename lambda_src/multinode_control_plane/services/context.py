"""What every service is given: the ports it may use and the deployment's limits. `wiring` builds it, tests fake it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.ports import Clock, Conflict, Ids, Store
from multinode_protocol.backoff import Backoff
from multinode_protocol.error_codes import ErrorCode

logger = logging.getLogger(__name__)
T = TypeVar("T")

COMMIT_TRIES = 12
BACKOFF = Backoff(first_s=0.01, longest_s=0.5)


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of one deployment: what protects the bill and the machine from a runaway program."""

    max_depth: int = 20
    max_refused_launches: int = 60
    """No container was started: no capacity, throttling. With the backoff of `core.retry` that is about two hours."""
    max_lost_containers: int = 8
    """A container was started and ended before its code did."""
    longest_request_s: float | None = None
    """How long a handler may live, where the platform sees to that; None: for ever. See `invocations.create`."""
    hold_retry_s: float = 20.0
    """A retry's delay up to this long is waited by its worker, so that it overlaps the container's start-up."""


@dataclass(frozen=True, slots=True)
class Context:
    store: Store
    clock: Clock
    ids: Ids
    limits: Limits = Limits()
    fires_schedules: bool = False
    """True where the sweep starts functions by their schedules; False where the platform has a scheduler of its own."""


def commit_with_retries(context: Context, attempt: Callable[[], T]) -> T:
    """Return `attempt()`, made again with jitter after each Conflict: it must read, decide and commit anew each time.

    Raises Refused(CONTROL_PLANE_IS_BUSY) when it met a Conflict `COMMIT_TRIES` times.
    """
    for tries in range(1, COMMIT_TRIES + 1):
        try:
            return attempt()
        except Conflict as conflict:
            logger.debug("commit met a conflict, deciding again: %s", conflict)
        context.clock.sleep(BACKOFF.pause_s(tries, context.ids.jitter()))
    raise Refused(ErrorCode.CONTROL_PLANE_IS_BUSY)
