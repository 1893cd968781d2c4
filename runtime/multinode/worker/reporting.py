"""The worker's requests to the control plane, and how long it repeats them.

A request that does not succeed has one of three meanings:

Unavailable     no answer, or one that may change (429, 5xx): try again later
OwnershipLost   the execution has ended, never existed, or belongs to another worker: stop the code, report nothing more
Rejected        the request itself is wrong, and will be the next time: send less
"""

import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeVar, cast

from multinode.config import Connection
from multinode.errors import ApiError, ControlPlaneUnreachableError
from multinode.transport import Transport, path
from multinode.worker.identity import Identity
from multinode_protocol.backoff import Backoff
from multinode_protocol.error_codes import ErrorCode, is_temporary
from multinode_protocol.messages import ExecutionInfo, FinishBody
from multinode_protocol.status import AbortReason

START_PATIENCE_S = 15 * 60.0
"""How long `start` is repeated. A worker that then gives up loses nothing: none of the user's code has run."""
FINISH_PATIENCE_S = 24 * 3600.0
"""How long the end is repeated: as long as the longest time-out. If the platform ends the container before then, the
attempt counts as lost."""

_ANSWER_S = 15.0
_EAGER_S = 600.0
_EAGER_BACKOFF = Backoff(first_s=0.1, longest_s=3.0)
_LATE_BACKOFF = Backoff(first_s=6.0, longest_s=30.0)

_NOT_OURS = frozenset(
    {
        ErrorCode.API_KEY_IS_INVALID,
        ErrorCode.PROJECT_DOES_NOT_EXIST,
        ErrorCode.VERSION_DOES_NOT_EXIST,
        ErrorCode.FUNCTION_DOES_NOT_EXIST,
        ErrorCode.INVOCATION_DOES_NOT_EXIST,
        ErrorCode.EXECUTION_DOES_NOT_EXIST,
    }
)
"""Beside every 409. The key is the execution's own token, which ends with the execution."""
_ABOUT_THE_REQUEST = frozenset({400, 413, 414, 422, 431})

T = TypeVar("T")


class Unavailable(Exception):
    """The control plane gave no usable answer."""


class OwnershipLost(Exception):
    """The execution does not, or no longer, belong to this worker."""


class Rejected(Exception):
    """The control plane refuses this request, however often it is sent."""


class ControlPlane:
    """The routes of one execution. Each method sends one request. Raises: Unavailable, OwnershipLost, Rejected."""

    def __init__(self, identity: Identity, connection: Connection) -> None:
        self._transport = Transport(connection, retry_for_s=0, read_timeout_s=_ANSWER_S)
        self._path = path(
            "projects",
            identity.project_name,
            "versions",
            identity.version_id,
            "functions",
            identity.function_name,
            "invocations",
            identity.invocation_id,
            "executions",
            identity.execution_id,
        )

    def start(self, nonce: str, worker_identifier: str | None) -> ExecutionInfo:
        """Return the execution, now started by this worker. Repeated with the same nonce, it gives the same answer."""
        body = {"worker_nonce": nonce, "worker_identifier": worker_identifier}
        return cast(ExecutionInfo, self._request("PUT", "/start", body))

    def execution(self) -> ExecutionInfo:
        """Return the execution as the control plane knows it."""
        return cast(ExecutionInfo, self._request("GET", ""))

    def stop_reason(self) -> AbortReason | None:
        """Return why the worker was told to stop. None: nobody asked for it."""
        reason = self.execution().get("stop_reason")
        return AbortReason(reason) if reason in set(AbortReason) else None

    def update(self, text: str, sequence: int) -> None:
        """Report progress. A lower `sequence` than an accepted one changes nothing."""
        self._request("PUT", "/update", {"latest_output": text, "sequence": sequence})

    def finish(self, body: FinishBody) -> None:
        """Report the end. The same end may be reported again; another raises OwnershipLost."""
        self._request("PUT", "/finish", dict(body))

    def _request(self, method: str, route: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            return self._transport.request(method, f"{self._path}{route}", body=body)
        except ControlPlaneUnreachableError as error:
            raise Unavailable(str(error)) from error
        except ApiError as error:
            raise _meaning(error) from error


def _meaning(error: ApiError) -> Unavailable | OwnershipLost | Rejected:
    """Return what an answer means to a worker. One without a code does not come from the control plane, but a proxy."""
    if is_temporary(error.status):
        return Unavailable(str(error))
    if error.code is None:
        return Rejected(str(error)) if error.status in _ABOUT_THE_REQUEST else Unavailable(str(error))
    if error.status == 409 or error.code in _NOT_OURS:
        return OwnershipLost(str(error))
    return Rejected(str(error))


def pauses(uniform: Callable[[], float] = random.random) -> Iterator[float]:
    """Yield seconds to wait before each further try, without end; `uniform` draws the jitter from 0 to 1.

    Doubling from 0.1 s to 3 s, so that a worker is back soon after a control plane that was restarted; after ten
    minutes to 30 s. Half of each is random.
    """
    waited_s = 0.0
    for tries in count(1):
        if waited_s >= _EAGER_S:
            break
        pause_s = _EAGER_BACKOFF.pause_s(tries, uniform())
        yield pause_s
        waited_s += pause_s
    for tries in count(1):
        yield _LATE_BACKOFF.pause_s(tries, uniform())


def keep_trying(
    call: Callable[[], T],
    *,
    patience_s: float,
    monotonic: Callable[[], float],
    sleep: Callable[[float], object],
    say: Callable[[str], None],
    give_up: Callable[[], bool] = lambda: False,
) -> T:
    """Return what `call` returns, once the control plane answers.

    Raises: Unavailable after `patience_s` seconds, or when `give_up()`; OwnershipLost and Rejected at once.
    """
    give_up_at = monotonic() + patience_s
    said = False
    for pause_s in pauses():
        try:
            result = call()
        except Unavailable as error:
            if give_up() or monotonic() + pause_s > give_up_at:
                raise
            if not said:
                say(f"{error}; trying again until it answers")
                said = True
            sleep(pause_s)
        else:
            if said:
                say("the control plane answers again")
            return result
    raise AssertionError("pauses() never ends")
