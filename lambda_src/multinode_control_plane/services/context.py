"""What every service is given: the ports it may use and the deployment's limits. `wiring` and the tests build it."""

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
    """Limits of one deployment, which protect the bill and the machine from a runaway program."""

    max_depth: int = 20
    max_refused_launches: int = 60
    """Launches that started no container (no capacity, throttling): with `core.retry`'s backoff, about two hours."""
    max_lost_containers: int = 8
    """Containers that ended before their code had started."""
    longest_request_s: float | None = None
    """How long a handler may run, if the platform limits that; None: without limit. See `invocations.create`."""
    hold_retry_s: float = 20.0
    """A retry's delay up to this long is spent in its worker, so that it overlaps the container's start-up."""


@dataclass(frozen=True, slots=True)
class Context:
    store: Store
    clock: Clock
    ids: Ids
    limits: Limits = Limits()
    fires_schedules: bool = False
    """True if the sweep starts scheduled functions; False if the platform has a scheduler of its own."""


def commit_with_retries(context: Context, attempt: Callable[[], T]) -> T:
    """Return `attempt()`, repeated with a random pause after each Conflict; it must read, decide and commit anew.

    Raises Refused(CONTROL_PLANE_IS_BUSY) after `COMMIT_TRIES` conflicts.
    """
    for tries in range(1, COMMIT_TRIES + 1):
        try:
            return attempt()
        except Conflict as conflict:
            logger.debug("commit met a conflict, deciding again: %s", conflict)
        context.clock.sleep(BACKOFF.pause_s(tries, context.ids.jitter()))
    raise Refused(ErrorCode.CONTROL_PLANE_IS_BUSY)
