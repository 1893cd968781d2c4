"""When to interrupt the user's code and when to kill it: decisions by one monotonic clock, without acting.

A stop has one of these causes:

- the time-out, which the supervisor counts itself from the answer to `start`: TIMED_OUT;
- SIGTERM (or SIGINT, SIGHUP) to the supervisor. Only the control plane knows why, so it is asked at once. The code runs
  on until it answers, at most for `PATIENCE_S`. Without an answer the code is interrupted as INTERRUPTED, and the
  question is asked again before the end is reported.

The first cause decides which exception the user's code sees. The grace is the time between the interruption and the
kill. When a SIGTERM announces the platform's SIGKILL, the kill comes earlier, by a margin that leaves time to report:
10 s, or half the grace if that is 20 s or less.
"""

from dataclasses import dataclass
from enum import Enum

from multinode_protocol.status import AbortReason

PATIENCE_S = 3.0
_REPORTING_MARGIN_S = 10.0
_FIRST_REPEAT_S = 1.0


class StopAction(Enum):
    """What the supervisor does next to the child."""

    WAIT = "WAIT"
    INTERRUPT = "INTERRUPT"
    KILL = "KILL"


def margin_s(grace_s: float) -> float:
    """Return how many seconds before the platform's SIGKILL the child's group is killed."""
    return _REPORTING_MARGIN_S if grace_s > 2 * _REPORTING_MARGIN_S else grace_s / 2


@dataclass(slots=True)
class StopPlan:
    """The plan for one call. All times are seconds on the same monotonic clock as `deadline`."""

    deadline: float
    """When the time-out is over."""
    grace_s: float
    requested_at: float | None = None
    """When the supervisor was first told to stop."""
    answered: bool = False
    """The control plane has said why."""
    reason: AbortReason | None = None
    """Why the code was, or is about to be, interrupted. None while it is not."""
    kill_at: float | None = None
    _answer: AbortReason | None = None
    _signal_at: float | None = None
    _repeat_s: float = _FIRST_REPEAT_S

    def request(self, now: float) -> None:
        """Note that the supervisor was told to stop. Only the first time counts: platforms repeat the signal."""
        if self.requested_at is None:
            self.requested_at = now
            self._kill_by(now + self.grace_s - margin_s(self.grace_s))

    def answer(self, reason: AbortReason | None) -> None:
        """Note what the control plane said; None: nobody asked for the stop."""
        self.answered = True
        self._answer = reason or AbortReason.INTERRUPTED
        if self.reason is AbortReason.INTERRUPTED:
            self.reason = self._answer

    def action(self, now: float) -> StopAction:
        """Return what is due at `now`. INTERRUPT is repeated, ever more rarely: one inside a destructor is lost."""
        if self.reason is None:
            self._decide(now)
        if self.kill_at is not None and now >= self.kill_at:
            return StopAction.KILL
        if self._signal_at is not None and now >= self._signal_at:
            self._signal_at = now + self._repeat_s
            self._repeat_s *= 2
            return StopAction.INTERRUPT
        return StopAction.WAIT

    def next_at(self) -> float:
        """Return when `action` may next return something else, if nothing is noted before."""
        times = [self.kill_at, self._signal_at]
        if self.reason is None:
            times += [self.deadline, self._patience_ends()]
        return min(time for time in times if time is not None)

    def _decide(self, now: float) -> None:
        if now >= self.deadline:
            self.reason = AbortReason.TIMED_OUT
            self._kill_by(now + self.grace_s)
        elif self.requested_at is not None and self.answered:
            self.reason = self._answer
        else:
            patience_ends = self._patience_ends()
            if patience_ends is not None and now >= patience_ends:
                self.reason = AbortReason.INTERRUPTED
        if self.reason is not None:
            self._signal_at = now

    def _patience_ends(self) -> float | None:
        if self.requested_at is None:
            return None
        return self.requested_at + min(PATIENCE_S, self.grace_s / 8)

    def _kill_by(self, time: float) -> None:
        self.kill_at = time if self.kill_at is None else min(self.kill_at, time)
