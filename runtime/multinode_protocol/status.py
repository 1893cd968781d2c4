"""The states that every program of Multinode agrees on."""

from enum import StrEnum

__all__ = ["AbortReason", "InvocationStatus", "Outcome", "WorkerStatus"]


class InvocationStatus(StrEnum):
    """Where an invocation stands: ``PENDING -> RUNNING -> (CANCELLING ->) `` one of four final states."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def finished(self) -> bool:
        """True once the status can never change again."""
        return self in _FINAL


_FINAL = frozenset(
    {
        InvocationStatus.SUCCEEDED,
        InvocationStatus.FAILED,
        InvocationStatus.CANCELLED,
        InvocationStatus.TIMED_OUT,
    }
)


class WorkerStatus(StrEnum):
    """Where the container of an execution stands. It only ever moves forward."""

    PENDING = "PENDING"
    PROVISIONING = "PROVISIONING"
    RUNNING = "RUNNING"
    TERMINATED = "TERMINATED"


class Outcome(StrEnum):
    """How the user's code of one execution ended. Set once."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"


class AbortReason(StrEnum):
    """Why a worker interrupted the user's code; sent beside the outcome ``ABORTED``."""

    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    INTERRUPTED = "INTERRUPTED"
    """SIGTERM that nobody asked for: the platform takes the host back (retirement, Spot)."""
