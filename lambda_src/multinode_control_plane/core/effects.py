"""What a committed state calls for: the one place where changes of invocations become side effects.

Effects are level-triggered: `_wanted` says what a state calls for, `effects` what the new state calls for that the old
one did not. A nudge (see `external_transitions.due`) calls for all of it again, which repairs a lost effect.
"""

from dataclasses import dataclass
from datetime import datetime

from multinode_control_plane.core.records import Execution, FunctionKey, Invocation, QueueName
from multinode_protocol.status import InvocationStatus


@dataclass(frozen=True, slots=True)
class Admit:
    """Give the function's free slots to the oldest of its waiting invocations."""

    function_key: FunctionKey


@dataclass(frozen=True, slots=True)
class Launch:
    """Start a container for an execution, under the token of this launch attempt."""

    execution_id: str
    launch_attempt: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the container of an execution. The container may be unknown, or may never have existed."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class CancelChildren:
    """Cancel the unfinished subtasks of an invocation."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish a new status."""

    previous: InvocationStatus | None


Effect = Admit | Launch | Stop | CancelChildren | Announce


def effects(old: Invocation | None, new: Invocation | None, now: datetime) -> tuple[Effect, ...]:
    """Return what to do after `old` became `new`, in order: effects that free resources and stop work come first."""
    if new is None:
        return ()
    before = () if old is None or old.nudges != new.nudges else _wanted(old, now)
    found: list[Effect] = [effect for effect in _wanted(new, now) if effect not in before]
    if _slot_given_back(old, new) and Admit(new.function_key) not in found:
        found.append(Admit(new.function_key))
    if old is None or old.status is not new.status:
        found.append(Announce(None if old is None else old.status))
    return tuple(found)


def _wanted(invocation: Invocation, now: datetime) -> tuple[Effect, ...]:
    found: list[Effect] = []
    current = invocation.open_execution
    if current is not None and current.termination_signal_at is not None:
        found.append(Stop(current.execution_id))
    elif (
        current is not None and needs_launch(current) and (current.launch_after is None or current.launch_after <= now)
    ):
        found.append(Launch(current.execution_id, current.launch_attempt))
    if invocation.cascade_pending:
        found.append(CancelChildren())
    if invocation.waiting_in is QueueName.QUEUE:
        found.append(Admit(invocation.function_key))
    return tuple(found)


def needs_launch(execution: Execution) -> bool:
    """Return True while its container is unknown: it has not been launched yet, or the launch's answer was lost."""
    return (
        execution.open
        and execution.container is None
        and not execution.reported
        and execution.termination_signal_at is None
    )


def _slot_given_back(old: Invocation | None, new: Invocation) -> bool:
    held = None if old is None else old.open_execution
    return (
        held is not None
        and new.open_execution != held
        and (new.open_execution is None or new.open_execution.execution_id != held.execution_id)
    )
