"""Reading one invocation, cancelling it, waiting for its end: by its id alone."""

import time
from collections.abc import Callable
from typing import cast

from multinode.errors import ControlPlaneUnreachableError, InvocationIsAlreadyTerminated, WaitTimedOutError
from multinode.invocation.polling import LONGEST_ROUND_S, Seen, poll
from multinode.invocation.record import Invocation
from multinode.transport import Transport, path
from multinode_protocol.limits import MAX_WAIT_S
from multinode_protocol.messages import InvocationInfo
from multinode_protocol.status import InvocationStatus

__all__ = ["await_end", "cancel", "fetch", "hold"]

PATIENCE_S = 900.0
"""How long a wait survives without a control plane: a restart, an upgrade, a laptop between two networks."""
LEAST_ROUND_S = 0.5
"""An unfinished invocation is not asked for again sooner, even if the server does not hold its answers."""


def fetch(
    transport: Transport, invocation_id: str, *, wait_s: float = 0, retry_for_s: float | None = None
) -> Invocation:
    """Return the invocation as it is; with `wait_s`, once it is finished or that many seconds have passed.

    Raises: InvocationDoesNotExist and other ApiErrors, ControlPlaneUnreachableError.
    """
    answer = transport.request(
        "GET",
        path("invocations", invocation_id),
        query={"until": "finished"} if wait_s else None,
        wait_s=wait_s,
        retry_for_s=retry_for_s,
    )
    return Invocation.from_info(cast(InvocationInfo, answer))


def cancel(transport: Transport, invocation_id: str) -> Invocation:
    """Ask that the invocation be cancelled, and return it as it then is. Idempotent.

    Raises: InvocationIsAlreadyTerminated when it ended otherwise first; InvocationDoesNotExist and other ApiErrors.
    """
    try:
        answer = transport.request("PUT", path("invocations", invocation_id, "cancel"))
    except InvocationIsAlreadyTerminated:
        # Perhaps by this very request: sent again because its first answer was lost.
        invocation = fetch(transport, invocation_id)
        if invocation.status is InvocationStatus.CANCELLED:
            return invocation
        raise
    return Invocation.from_info(cast(InvocationInfo, answer))


def hold(
    transport: Transport,
    invocation_id: str,
    wait_s: int,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Invocation:
    """Return the invocation once it is finished, or as it is after about `wait_s` seconds.

    An unfinished one is never returned before `LEAST_ROUND_S`, so that this may be called in a loop.
    """
    began = monotonic()
    invocation = fetch(transport, invocation_id, wait_s=wait_s, retry_for_s=PATIENCE_S)
    early_s = min(LEAST_ROUND_S, wait_s) - (monotonic() - began)
    if not invocation.status.finished and early_s > 0:
        sleep(early_s)
    return invocation


def await_end(
    transport: Transport,
    invocation_id: str,
    timeout_s: float | None = None,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Invocation:
    """Return the invocation once it is finished. Survives `PATIENCE_S` seconds without an answer.

    Raises: WaitTimedOutError after `timeout_s` seconds (None: never); InvocationDoesNotExist and other ApiErrors;
    ControlPlaneUnreachableError.
    """
    give_up_at = float("inf") if timeout_s is None else monotonic() + timeout_s
    latest: list[Invocation] = []

    def ask() -> Seen:
        left_s = max(0.0, give_up_at - monotonic())
        wait_s, patience_s = int(min(MAX_WAIT_S, left_s)), min(PATIENCE_S, left_s)
        latest[:] = [fetch(transport, invocation_id, wait_s=wait_s, retry_for_s=patience_s)]
        return Seen.END if latest[0].status.finished else Seen.NOTHING

    missed = f"Invocation {invocation_id} did not end within {0 if timeout_s is None else timeout_s:g} s"
    try:
        ended = poll(ask, longest_s=LONGEST_ROUND_S, timeout_s=timeout_s, monotonic=monotonic, sleep=sleep)
    except ControlPlaneUnreachableError as error:
        if monotonic() < give_up_at:
            raise
        raise WaitTimedOutError(f"{missed}: {error}") from error
    if ended:
        return latest[0]
    raise WaitTimedOutError(
        f"{missed}; it is {latest[0].status} ({latest[0].status_reason}) and goes on: wait again, or cancel it"
    )
