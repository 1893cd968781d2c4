"""The supervisor: start the execution, have the child make the call, report the end. It runs none of the user's code.

The main thread waits for everything at once: see `supervision`. Two threads carry the logs and talk to the control
plane, so that neither a slow reader of logs nor a slow network delays a time-out or a kill. They are started before the
user's code runs, because after a fork bomb no thread can be started.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar
from uuid import uuid4

from multinode.config import connection
from multinode.errors import ControlPlaneNotConfiguredError
from multinode.worker.call_outcome import CallOutcome, fallback, report
from multinode.worker.channel import CallRequest
from multinode.worker.identity import Identity, IdentityIsIncomplete, container_identifier
from multinode.worker.logs import LogPump, LogWriter
from multinode.worker.memory import oom_kills
from multinode.worker.processes import Processes
from multinode.worker.progress import ProgressReporter, ProgressUpdate
from multinode.worker.reporting import (
    FINISH_PATIENCE_S,
    START_PATIENCE_S,
    ControlPlane,
    OwnershipLost,
    Rejected,
    Unavailable,
    keep_trying,
)
from multinode.worker.signals import Signals
from multinode.worker.stop_plan import StopPlan
from multinode.worker.supervision import CallSupervision
from multinode_protocol.messages import ExecutionInfo, FinishBody
from multinode_protocol.status import AbortReason

_LONGEST_HOLD_S = 3600.0
"""A wrong clock must not hold an execution for ever."""
_DRAIN_S = 5.0
"""For the last lines of the logs, in case their reader is stuck."""
_LAST_UPDATE_S = 20.0
"""For a progress update that is being sent when the child ends: a little longer than a request may take."""

T = TypeVar("T")


def main() -> int:
    """Carry out the execution that the environment names. Return 0 when its end was reported, else 1."""
    try:
        identity = Identity.from_environment(os.environ)
        where = connection()
    except (IdentityIsIncomplete, ControlPlaneNotConfiguredError) as error:
        sys.stderr.write(f"multinode.worker: {error}\n")
        return 1
    _open_standard_streams()
    logs = LogWriter(1, json_lines=identity.json_logs)
    try:
        started = Processes(os.environ)
    except OSError as error:
        logs.say(f"the process for the function cannot be started: {error}")
        return 1
    try:
        return Supervisor(identity, ControlPlane(identity, where), started, Signals(), logs).run()
    finally:
        started.end()


class Supervisor:
    """One execution, from `start` to `finish`."""

    def __init__(
        self, identity: Identity, control_plane: ControlPlane, started: Processes, signals: Signals, logs: LogWriter
    ) -> None:
        self._identity = identity
        self._control_plane = control_plane
        self._processes = started
        self._signals = signals
        self._logs = logs
        child = started.child
        self._pump = LogPump({child.stdout_fd: "stdout", child.stderr_fd: "stderr"}, logs)
        self._reporter = ProgressReporter(control_plane, changed=signals.wake, say=logs.say)

    def run(self) -> int:
        """Return the worker's exit code."""
        self._pump.start()
        self._reporter.start()
        execution = self._start()
        if execution is None:
            return 1
        plan = StopPlan(deadline=time.monotonic() + _remaining_s(execution), grace_s=self._identity.grace_s)
        kills_before = oom_kills()
        supervision = CallSupervision(self._processes.child, plan, self._reporter, self._signals, self._logs.say)
        supervision.run(b"" if self._signals.stop_requested else self._call_request(execution))
        self._processes.end()
        self._pump.finish(_DRAIN_S)
        if supervision.ownership_lost is not None:
            return 1
        outcome = CallOutcome(
            result=supervision.result,
            status=self._processes.child.status,
            reason=plan.reason,
            oom_kills=_since(kills_before),
            memory_gib=execution["resource_spec"]["memory_gbs"],
            broken=supervision.broken,
        )
        return self._finish(plan, outcome)

    def _start(self) -> ExecutionInfo | None:
        """Return the execution once it counts as started. None: it does not start, and no code runs."""
        self._hold()
        if self._signals.stop_requested:
            self._logs.say(f"not starting {self._identity.execution_id}: told to stop before it began")
            return None
        identifier = container_identifier(self._identity, os.environ)
        nonce = uuid4().hex
        try:
            return self._keep_trying(
                lambda: self._control_plane.start(nonce, identifier),
                patience_s=START_PATIENCE_S,
                give_up=lambda: self._signals.stop_requested,
            )
        except (Unavailable, OwnershipLost, Rejected) as error:
            self._logs.say(f"not starting {self._identity.execution_id}: {error}")
            return None

    def _hold(self) -> None:
        """Wait until the code may start. The clock is read once, so that setting it meanwhile changes nothing."""
        not_before_ms = self._identity.not_before_ms
        if not_before_ms is None:
            return
        hold_s = min(not_before_ms / 1000 - time.time(), _LONGEST_HOLD_S)
        until = time.monotonic() + hold_s
        while (left_s := until - time.monotonic()) > 0 and not self._signals.stop_requested:
            self._signals.wait(left_s)

    def _call_request(self, execution: ExecutionInfo) -> bytes:
        call = CallRequest(
            code_dir=str(self._identity.code_dir),
            function_name=self._identity.function_name,
            invocation_id=self._identity.invocation_id,
            input=execution["input"],
        )
        return json.dumps(call).encode("ascii")

    def _finish(self, plan: StopPlan, outcome: CallOutcome) -> int:
        """Report the last progress and the end, however long that takes. Return the worker's exit code."""
        unsent = self._reporter.close(_LAST_UPDATE_S)
        if outcome.result is not None and outcome.oom_kills:
            self._logs.say(f"memory ran out: the kernel ended {outcome.oom_kills} of the function's processes")
        try:
            if outcome.reason is AbortReason.INTERRUPTED and not plan.answered:
                outcome = replace(outcome, reason=self._reason_at_last())
            body = report(outcome)
            self._send_last(unsent, body)
            self._send_end(body)
        except (Unavailable, OwnershipLost, Rejected) as error:
            self._logs.say(f"the end of {self._identity.execution_id} could not be reported: {error}")
            return 1
        return 0

    def _reason_at_last(self) -> AbortReason:
        """Return why the worker was told to stop, asked again because there was no answer at the time."""
        try:
            return self._keep_trying(self._control_plane.stop_reason) or AbortReason.INTERRUPTED
        except Rejected as rejection:
            self._logs.say(f"the control plane did not say why the worker was told to stop: {rejection}")
            return AbortReason.INTERRUPTED

    def _send_last(self, unsent: ProgressUpdate | None, body: FinishBody) -> None:
        """Report the last progress, unless the result is the same text, as it usually is for a generator."""
        if unsent is None or unsent.text == body.get("final_output"):
            return
        try:
            self._keep_trying(lambda: self._control_plane.update(unsent.text, unsent.sequence))
        except Rejected as rejection:
            self._logs.say(f"the control plane did not take the last progress value: {rejection}")

    def _send_end(self, body: FinishBody) -> None:
        try:
            self._keep_trying(lambda: self._control_plane.finish(body))
        except Rejected as rejection:
            self._logs.say(f"the control plane did not take the report, so a smaller one follows: {rejection}")
            small = fallback(body, str(rejection))
            self._keep_trying(lambda: self._control_plane.finish(small))

    def _keep_trying(
        self,
        call: Callable[[], T],
        *,
        patience_s: float = FINISH_PATIENCE_S,
        give_up: Callable[[], bool] = lambda: False,
    ) -> T:
        return keep_trying(
            call,
            patience_s=patience_s,
            monotonic=time.monotonic,
            sleep=self._signals.wait,  # a SIGTERM is a reason to try again at once
            say=self._logs.say,
            give_up=give_up,
        )


def _open_standard_streams() -> None:
    """Make sure that descriptors 0 to 2 are open, so that none of our pipes becomes stdout or stderr."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _remaining_s(execution: ExecutionInfo) -> float:
    """Return the seconds of `timeout` that are left: less than all of it when `start` had to be repeated."""
    remaining_s = execution.get("remaining_s")
    return float(execution["execution_spec"]["timeout_seconds"]) if remaining_s is None else remaining_s


def _since(kills_before: int | None) -> int | None:
    kills = oom_kills()
    return None if kills is None or kills_before is None else kills - kills_before
