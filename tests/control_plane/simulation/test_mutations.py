"""Bugs planted one at a time: a simulation that cannot find them would prove nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from multinode_control_plane.core import external_transitions, lifecycle, worker_transitions
from multinode_control_plane.core.keys import input_key
from multinode_control_plane.core.records import Execution, Invocation, Payload
from multinode_control_plane.services import admission, commit, drain, executions, invocations, reactor, sweep
from multinode_protocol.status import InvocationStatus, WorkerStatus
from tests.control_plane.simulation.simulated_world import SimulatedWorld

Plant = Callable[[pytest.MonkeyPatch], None]
MOST_SEEDS = 400


def slots_are_never_given_back(patch: pytest.MonkeyPatch) -> None:
    original = commit.gate_writes
    patch.setattr(
        commit,
        "gate_writes",
        lambda store, key, pairs, **gate: [] if pairs[0][0].open_execution else original(store, key, pairs, **gate),
    )


def one_slot_too_many(patch: pytest.MonkeyPatch) -> None:
    def admit(invocation: Invocation, execution_id: str, now: Any) -> Invocation:
        return lifecycle.admit(invocation, execution_id, now)

    original = commit.read_gate
    calls = iter(range(10**9))

    def forgetful(store: Any, key: Any) -> Any:
        gate = original(store, key)
        if gate is None or next(calls) % 3:
            return gate
        return replace(gate, record=replace(gate.record, slots=dict(list(gate.record.slots.items())[1:])))

    patch.setattr(admission, "admit", admit)
    patch.setattr(admission, "read_gate", forgetful)


def start_is_not_fenced(patch: pytest.MonkeyPatch) -> None:
    original = worker_transitions.start

    def unfenced(invocation: Invocation, execution_id: str, **options: Any) -> Invocation:
        execution = invocation.execution(execution_id)
        if execution is not None and execution.open and execution.termination_signal_at is not None:
            calm = replace(execution, termination_signal_at=None, stop_reason=None)
            others = tuple(calm if e is execution else e for e in invocation.executions)
            running = InvocationStatus.RUNNING
            invocation = replace(invocation, executions=others, cancellation_requested_at=None, status=running)
        return original(invocation, execution_id, **options)

    patch.setattr(worker_transitions, "start", unfenced)


def the_sweep_never_runs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimulatedWorld, "_sweep", lambda self: None)


def reconciliation_is_left_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweep, "_reconcile", lambda *args: None)


def a_retry_does_not_wait_for_the_old_container(patch: pytest.MonkeyPatch) -> None:
    original = lifecycle.retry_or_fail

    def hasty(invocation: Invocation, **options: Any) -> Invocation:
        if invocation.open_execution is not None and invocation.attempts <= invocation.execution_spec.max_retries:
            now = options["now"]
            gone = lifecycle.update_current(invocation, now, worker_status=WorkerStatus.TERMINATED, terminated_at=now)
            return original(gone, **options)
        return original(invocation, **options)

    patch.setattr(worker_transitions, "retry_or_fail", hasty)


def a_launch_failure_counts_as_final(patch: pytest.MonkeyPatch) -> None:
    def harsh(invocation: Invocation, **options: Any) -> Invocation:
        return lifecycle.end_with(replace(invocation, failed_launches=0), InvocationStatus.FAILED, options["now"])

    patch.setattr(external_transitions, "fail_launch", harsh)


def a_cancelled_tree_keeps_its_children(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reactor, "cancelled", lambda child, cause, now: child)


def a_cascade_cancels_what_has_ended(patch: pytest.MonkeyPatch) -> None:
    original = external_transitions.cancel
    running = InvocationStatus.RUNNING
    patch.setattr(
        reactor,
        "cancelled",
        lambda child, cause, now: original(replace(child, status=running, finished_at=None), cause, now),
    )


def zombies_are_believed(patch: pytest.MonkeyPatch) -> None:
    original = worker_transitions.progress_allowed

    def gullible(invocation: Invocation, execution_id: str) -> Any:
        execution = invocation.execution(execution_id)
        return execution if execution is not None and execution.started_at else original(invocation, execution_id)

    patch.setattr(worker_transitions, "progress_allowed", gullible)


def a_parent_is_not_checked_in_the_childs_commit(patch: pytest.MonkeyPatch) -> None:
    original = invocations._parent_writes

    def unchecked(*args: Any) -> Any:
        writes, depth = original(*args)
        return writes[:1], depth

    patch.setattr(invocations, "_parent_writes", unchecked)


def the_dead_letters_are_never_made_up_for(patch: pytest.MonkeyPatch) -> None:
    original = external_transitions.due
    patch.setattr(
        external_transitions,
        "due",
        lambda invocation, now: replace(original(invocation, now), nudges=invocation.nudges),
    )


def ancestors_are_not_asked_at_the_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(executions, "_refuse_below_an_ended_ancestor", lambda *args: None)


def a_cancel_starts_no_cascade(patch: pytest.MonkeyPatch) -> None:
    original = external_transitions.cancel
    patch.setattr(
        invocations,
        "cancelled",
        lambda invocation, cause, now: replace(
            original(invocation, cause, now), cascade_pending=False, has_children=False
        ),
    )


def orphans_are_left_running(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reactor, "_stop", lambda *args: None)
    patch.setattr(sweep, "_stop_orphan", lambda *args: False)


def retries_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Invocation, "attempts", property(lambda self: 0))


def a_new_invocation_looks_at_no_limit(patch: pytest.MonkeyPatch) -> None:
    def greedy(context: Any, new: Invocation) -> tuple[Invocation, list[Any]]:
        gate = commit.read_gate(context.store, new.function_key)
        admitted = lifecycle.admit(new, context.ids.new("exe"), context.clock.now())
        pair, read = [(new, admitted)], commit.GateRead(gate)
        return admitted, commit.gate_writes(context.store, new.function_key, pair, gate=read)

    patch.setattr(invocations, "admit_at_once", greedy)


def a_new_invocation_takes_a_slot_without_saying_so(patch: pytest.MonkeyPatch) -> None:
    original = admission.admit_at_once
    patch.setattr(invocations, "admit_at_once", lambda context, new: (original(context, new)[0], []))


def each_try_of_a_launch_has_its_own_token(patch: pytest.MonkeyPatch) -> None:
    tries = iter(range(10**9))
    patch.setattr(Execution, "launch_token", property(lambda self: f"{self.execution_id}-{next(tries)}"))


def a_deletion_is_no_condition_of_a_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(invocations, "_project_writes", lambda context, project_name: [])


def a_long_input_is_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(invocations, "Payload", lambda invocation_id, text: Payload(invocation_id, text[:100]))


def a_long_result_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    original = executions._final_output

    def forgetful(stored: Any, invocation_id: str, execution_id: str, report: Any) -> Any:
        return original(stored, invocation_id, execution_id, replace(report, final_output=None))

    patch.setattr(executions, "_final_output", forgetful)


def a_short_result_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    def forgetful(invocation: Invocation, now: Any, **changes: Any) -> Invocation:
        changes.pop("final_output", None)
        return lifecycle.update_current(invocation, now, **changes)

    patch.setattr(worker_transitions, "update_current", forgetful)


def an_undeploy_leaves_inputs_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(drain, "input_key", lambda invocation_id: input_key(f"{invocation_id}-"))


PLANTED: list[Plant] = [
    a_long_input_is_cut,
    a_long_result_is_not_stored,
    a_short_result_is_not_stored,
    an_undeploy_leaves_inputs_behind,
    a_new_invocation_looks_at_no_limit,
    a_new_invocation_takes_a_slot_without_saying_so,
    each_try_of_a_launch_has_its_own_token,
    a_deletion_is_no_condition_of_a_start,
    slots_are_never_given_back,
    one_slot_too_many,
    start_is_not_fenced,
    the_sweep_never_runs,
    reconciliation_is_left_out,
    a_retry_does_not_wait_for_the_old_container,
    a_launch_failure_counts_as_final,
    a_cancelled_tree_keeps_its_children,
    a_cascade_cancels_what_has_ended,
    zombies_are_believed,
    a_parent_is_not_checked_in_the_childs_commit,
    the_dead_letters_are_never_made_up_for,
    ancestors_are_not_asked_at_the_start,
    a_cancel_starts_no_cascade,
    orphans_are_left_running,
    retries_are_not_counted,
]


@pytest.mark.slow(about_s=45)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_caught(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        seed = next((seed for seed in range(MOST_SEEDS) if violated(seed)), None)
    assert seed is not None, f"{plant.__name__} was not caught in {MOST_SEEDS} seeds"
    assert not violated(seed), "it is not the planted bug that was caught"


def violated(seed: int) -> bool:
    """Return True when the history of a seed breaks a promise."""
    try:
        SimulatedWorld(seed).run()
    except Exception:
        return True
    return False
