"""What a failed call of DynamoDB means, and how often to repeat it.

The client itself repeats nothing: whether a request may be sent again depends on the request.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar, cast

from botocore.exceptions import ClientError

from multinode_control_plane.adapters.aws.clients import NO_ANSWER
from multinode_control_plane.ports import Conflict, StoreUnavailable
from multinode_protocol.backoff import Backoff

logger = logging.getLogger(__name__)
T = TypeVar("T")

TRIES = 5
BACKOFF = Backoff(first_s=0.03, longest_s=1.0)

_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "ProvisionedThroughputExceeded",
        "ThrottlingError",
    }
)
_CONTENDED = frozenset(
    {
        "TransactionConflictException",
        "TransactionInProgressException",
        "TransactionConflict",
        "ReplicatedWriteConflictException",
    }
)
_UNCLEAR = frozenset({"InternalServerError", "InternalServerException", "ServiceUnavailable", "InternalFailure"})


class FailedCall(Enum):
    """What is known after a failed call."""

    CONDITION = "a condition did not hold: nothing was written"
    CONTENDED = "another transaction was at work on an item: nothing was written"
    THROTTLED = "too fast: nothing was written"
    LOST = "no answer: whether something was written is unknown"
    BROKEN = "repeating cannot help"


def failed_call(error: Exception) -> FailedCall:
    """Return what `error` says about its request; for a cancelled transaction, its reasons decide."""
    if isinstance(error, NO_ANSWER):
        return FailedCall.LOST
    if not isinstance(error, ClientError):
        return FailedCall.BROKEN
    code = error.response["Error"]["Code"]
    if code == "ConditionalCheckFailedException":
        return FailedCall.CONDITION
    if code == "TransactionCanceledException":
        return _cancelled({str(reason.get("Code")) for reason in cancellation_reasons(error)} - {"None"})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _THROTTLED:
        return FailedCall.THROTTLED
    if code in _CONTENDED:
        return FailedCall.CONTENDED
    return FailedCall.LOST if code in _UNCLEAR or status >= 500 else FailedCall.BROKEN


def _cancelled(codes: set[str]) -> FailedCall:
    if "ConditionalCheckFailed" in codes:
        return FailedCall.CONDITION
    if codes and codes <= _CONTENDED | _THROTTLED:
        return FailedCall.CONTENDED if codes & _CONTENDED else FailedCall.THROTTLED
    return FailedCall.BROKEN


def cancellation_reasons(error: ClientError) -> Sequence[Mapping[str, Any]]:
    """Return why a transaction was cancelled: one reason for each of its items, in their order."""
    return cast(Sequence[Mapping[str, Any]], error.response.get("CancellationReasons") or [])


class DynamoRetries:
    """Repeats a call with growing, random pauses. Tests pass their own `sleep`."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep

    def read(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, repeated while DynamoDB does not answer. Raises StoreUnavailable."""

        def no_condition(error: ClientError, unclear: bool) -> T:
            raise AssertionError(f"a read has no condition, {unclear=}") from error

        return self.write(call, no_condition)

    def write(self, call: Callable[[], T], on_condition: Callable[[ClientError, bool], T]) -> T:
        """Return what `call` returns, repeated until it is known to be written or refused; `call` must be repeatable.

        `on_condition(error, unclear)` decides if a condition did not hold. `unclear` says that an earlier try of this
        call got no answer, so that this very try may have made the condition false.
        Raises Conflict (also if other transactions kept the items busy), StoreUnavailable.
        """
        unclear = False
        for attempt in range(1, TRIES + 1):
            try:
                return call()
            except (ClientError, *NO_ANSWER) as error:
                failure = failed_call(error)
                if failure is FailedCall.BROKEN:
                    raise
                if failure is FailedCall.CONDITION and isinstance(error, ClientError):
                    return on_condition(error, unclear)
                unclear = unclear or failure is FailedCall.LOST
                if attempt == TRIES:
                    if failure is FailedCall.CONTENDED and not unclear:
                        raise Conflict(f"other transactions kept the items busy: {error}") from error
                    raise StoreUnavailable(f"DynamoDB failed {TRIES} times: {error}") from error
                logger.debug("trying DynamoDB again after %s: %s", failure.value, error)
            self.pause(attempt)
        raise AssertionError("the last try has returned or raised")

    def pause(self, attempt: int) -> None:
        """Wait before try `attempt` + 1."""
        self._sleep(BACKOFF.pause_s(attempt, random.random()))  # noqa: S311 - jitter
