"""Fields for the first generation's clients, which derive an invocation's status from its executions.

The fields that they read have the values that lead them to our status. Their rules, in their order:

SUCCEEDED   an execution with that outcome
TIMED OUT   an aborted execution whose termination_signal_time is after creation_time + timeout_seconds
CANCELLED   any other aborted execution
FAILED      exactly max_retries + 1 failed executions
TIMED OUT   terminated, and last_update_time is after creation_time + timeout_seconds
CANCELLED   terminated otherwise

Times are whole seconds since the epoch.
"""

from multinode_control_plane.core.records import Execution, Invocation
from multinode_control_plane.core.times import optional_s, whole_s
from multinode_protocol.status import AbortReason, InvocationStatus, Outcome


def _stop(invocation: Invocation, execution: Execution) -> AbortReason | None:
    """Return CANCELLED or TIMED_OUT if that ended the execution, and the invocation with it; None otherwise.

    How the code reacted does not matter: an exception raised while it was being cancelled is not a failure.
    """
    if execution is not invocation.current:
        return None
    if invocation.status is InvocationStatus.TIMED_OUT:
        return AbortReason.TIMED_OUT
    if invocation.status is InvocationStatus.CANCELLED and execution.termination_signal_at is not None:
        return AbortReason.CANCELLED
    return None


def is_shown(invocation: Invocation, execution: Execution) -> bool:
    """Return False if a container failed to start and another took its place, which does not count as an attempt."""
    if execution.started_at is not None or execution.open:
        return True
    if invocation.status is InvocationStatus.FAILED:
        return execution is invocation.current
    return execution.termination_signal_at is not None and _stop(invocation, execution) is not None


def outcome(invocation: Invocation, execution: Execution) -> Outcome | None:
    """Return ABORTED for an execution that a cancel or a time-out ended, FAILED for any other one without success."""
    if execution.outcome is Outcome.SUCCEEDED:
        return Outcome.SUCCEEDED
    if execution.outcome is None and execution.open:
        return None
    return Outcome.FAILED if _stop(invocation, execution) is None else Outcome.ABORTED


def signal_s(invocation: Invocation, execution: Execution) -> int | None:
    """Return when a stop was requested, moved to the side of the time-out on which the older rules expect it."""
    limit_s = whole_s(invocation.created_at) + invocation.execution_spec.timeout_s
    asked_s = optional_s(execution.termination_signal_at)
    match _stop(invocation, execution):
        case AbortReason.TIMED_OUT:
            return max(asked_s or 0, limit_s + 1)
        case AbortReason.CANCELLED if asked_s is not None:
            return min(asked_s, limit_s)
        case _:
            return asked_s


def last_update_s(invocation: Invocation) -> int:
    """Return the time of the newest change, moved in the same way for clients that find no execution to go by."""
    limit_s = whole_s(invocation.created_at) + invocation.execution_spec.timeout_s
    updated_s = whole_s(invocation.updated_at)
    match invocation.status:
        case InvocationStatus.TIMED_OUT:
            return max(updated_s, limit_s + 1)
        case InvocationStatus.CANCELLED:
            return min(updated_s, limit_s)
        case _:
            return updated_s


def spent_retries(invocation: Invocation) -> int:
    """Return `max_retries`, or for a FAILED invocation the number of retries that were made.

    NonRetryableError, or a container that cannot be started, ends an invocation before its retries are used up.
    """
    if invocation.status is not InvocationStatus.FAILED:
        return invocation.execution_spec.max_retries
    shown = [execution for execution in invocation.executions if is_shown(invocation, execution)]
    return sum(outcome(invocation, execution) is Outcome.FAILED for execution in shown) - 1
