"""Reading one invocation, cancelling it, waiting for its end: by its id alone."""

import time
from collections.abc import Callable
from typing import cast

from multinode.errors import ControlPlaneUnreachableError, InvocationIsAlreadyTerminated, WaitTimedOutError
from multinode.invocation.record import Invocation
from multinode.transport import Transport, path
from multinode_protocol.limits import MAX_WAIT_S
from multinode_protocol.messages import InvocationInfo
from multinode_protocol.status import InvocationStatus

__all__ = ["LONGEST_ROUND_S", "ROUND_GROWTH", "await_end", "cancel", "fetch", "hold"]

PATIENCE_S = 900.0
"""How long a wait survives without a control plane: a restart, an upgrade, a laptop between two networks."""
LEAST_ROUND_S = 0.5
"""An unfinished invocation is not asked for again sooner, even if the server does not hold its answers."""
LONGEST_ROUND_S = 3.0
"""What that grows to: on AWS a request that waits is paid for, so answers come at once and are asked for less often."""
ROUND_GROWTH = 1.3


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
    least_s: float = LEAST_ROUND_S,
    patience_s: float = PATIENCE_S,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Invocation:
    """Return the invocation once it is finished, or as it is after about `wait_s` seconds.

    An unfinished one is never returned before `least_s`, so that this may be called in a loop. `patience_s`: how long
    it keeps trying while the control plane does not answer.
    """
    began = monotonic()
    invocation = fetch(transport, invocation_id, wait_s=wait_s, retry_for_s=patience_s)
    early_s = min(least_s, wait_s) - (monotonic() - began)
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
    round_s = LEAST_ROUND_S
    while True:
        left_s = max(0.0, give_up_at - monotonic())
        try:
            invocation = hold(
                transport,
                invocation_id,
                int(min(MAX_WAIT_S, left_s)),
                least_s=round_s,
                patience_s=min(PATIENCE_S, left_s),
                monotonic=monotonic,
                sleep=sleep,
            )
        except ControlPlaneUnreachableError as error:
            if monotonic() < give_up_at:
                raise
            raise WaitTimedOutError(
                f"Invocation {invocation_id} did not end within {timeout_s:g} s: {error}"
            ) from error
        if invocation.status.finished:
            return invocation
        round_s = min(round_s * ROUND_GROWTH, LONGEST_ROUND_S)
        left_s = give_up_at - monotonic()
        if left_s <= 0:
            raise WaitTimedOutError(
                f"Invocation {invocation_id} did not end within {timeout_s:g} s; it is {invocation.status} "
                f"({invocation.status_reason}) and goes on: wait again, or cancel it"
            )
        if left_s < 1:  # the server counts whole seconds
            sleep(min(left_s, LEAST_ROUND_S))
