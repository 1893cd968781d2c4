"""Cancels, time-outs and queue times: who is told, when, and what the status says."""

import pytest

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.external_transitions import ExitKind
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.ports import LaunchRefused
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.status import AbortReason, InvocationStatus, Outcome
from tests.support.world import FAILURE, SUCCESS, World, function_spec

ABORTED = FinishReport(Outcome.ABORTED)


def test_a_waiting_invocation_is_cancelled_at_once() -> None:
    world = World()
    created = world.create_waiting()
    cancelled = world.cancel(created)
    assert (cancelled.status, cancelled.terminated) == (InvocationStatus.CANCELLED, True)
    world.react()
    assert (world.get(created).executions, world.compute.containers) == ((), {})
    assert [key for key in world.store.items if key[1].startswith("QUEUE")] == []


def test_an_invocation_backing_off_is_cancelled_at_once() -> None:
    world = World((function_spec(max_retries=3),))
    created = world.create()
    world.react()
    world.container_ends(created, ExitKind.START_FAILED, "no image", None)
    world.cancel(created)
    assert world.get(created).terminated
    assert [key for key in world.store.items if key[1].startswith("BACKOFF")] == []


def test_a_launched_container_never_starts_its_code_after_a_cancel() -> None:
    world = World()
    created = world.create()
    world.react()
    assert world.cancel(created).status is InvocationStatus.CANCELLED
    assert world.get(created).status_reason == "cancelled by its user; its container is stopping"
    with pytest.raises(Refused) as refused:
        world.start(created)
    assert refused.value.code is ErrorCode.EXECUTION_IS_ALREADY_TERMINATED
    world.react()
    assert world.compute.stops == [world.token(created)]
    world.container_ends(created, ExitKind.STOPPED, "stopped", 143)
    assert world.get(created).terminated
    assert world.slots() == {}


def test_running_code_is_told_and_then_ends_cancelled() -> None:
    world = World()
    created = world.started()
    assert world.cancel(created).status is InvocationStatus.CANCELLING
    assert world.get(created).status_reason == "stopping: cancelled by its user"
    world.react()
    assert world.compute.stops == [world.token(created)]
    assert world.compute.containers[world.token(created)].stop_grace_s == 120
    assert world.finish(created, ABORTED).status is InvocationStatus.CANCELLED


def test_code_killed_after_the_grace_ends_cancelled() -> None:
    world = World((function_spec(max_retries=5),))
    created = world.started()
    world.cancel(created)
    world.container_ends(created, ExitKind.STOPPED, "killed", 137)
    ended = world.get(created)
    assert (ended.status, ended.executions[0].outcome) == (InvocationStatus.CANCELLED, Outcome.ABORTED)


def test_an_error_after_the_cancel_ends_cancelled_and_is_not_tried_again() -> None:
    world = World((function_spec(max_retries=5),))
    created = world.started()
    world.cancel(created)
    assert world.finish(created, FAILURE).status is InvocationStatus.CANCELLED


def test_a_success_after_the_cancel_stays_a_success() -> None:
    world = World()
    created = world.started()
    world.cancel(created)
    assert world.finish(created, SUCCESS).status is InvocationStatus.SUCCEEDED


def test_cancel_is_idempotent_while_unfinished_and_refused_afterwards() -> None:
    world = World()
    created = world.started()
    first = world.cancel(created)
    world.advance(5)
    assert world.cancel(created, "again") == first
    world.finish(created, ABORTED)
    with pytest.raises(Refused) as refused:
        world.cancel(created)
    assert refused.value.code is ErrorCode.INVOCATION_IS_ALREADY_TERMINATED


def test_a_cancel_between_a_failed_attempt_and_its_retry_starts_nothing_more() -> None:
    world = World((function_spec(max_retries=5),))
    created = world.started()
    world.finish(created, FAILURE)
    assert world.cancel(created).status is InvocationStatus.CANCELLED
    world.container_ends(created)
    world.react()
    assert len(world.get(created).executions) == 1
    assert world.get(created).terminated


def test_a_cancel_while_a_launch_backs_off_ends_the_execution_that_has_no_container() -> None:
    world = World()
    world.compute.refusals = [LaunchRefused("no capacity")]
    created = world.create()
    world.react()
    world.cancel(created)
    world.react()
    assert world.get(created).terminated
    assert (world.slots(), world.compute.stops) == ({}, [])


def test_a_launch_refused_after_the_cancel_ends_cancelled() -> None:
    world = World()
    world.compute.refusals = [LaunchRefused("no capacity")]
    other = world.create()
    world.compute.before("launch", lambda _: world.cancel(other))
    world.react()
    assert (world.get(other).status, world.get(other).terminated) == (InvocationStatus.CANCELLED, True)


def test_a_container_launched_while_it_is_being_cancelled_is_stopped() -> None:
    world = World()
    world.compute.after("launch", lambda request: world.cancel(request.invocation.invocation_id))
    created = world.create()
    world.react()
    assert world.token(created) in world.compute.stops


# --- time-outs ------------------------------------------------------------------------------------------------------


def test_the_workers_own_time_out_is_final_and_is_not_tried_again() -> None:
    world = World((function_spec(max_retries=5, timeout_s=60),))
    created = world.started()
    world.advance(60)
    ended = world.finish(created, FinishReport(Outcome.ABORTED, abort_reason=AbortReason.TIMED_OUT))
    assert ended.status is InvocationStatus.TIMED_OUT
    assert ended.executions[0].termination_signal_at == world.clock.now()
    world.container_ends(created)
    assert world.get(created).status_reason == "it ran longer than its time-out of 60 s"


def test_code_that_outlives_its_time_out_is_stopped_by_the_control_plane() -> None:
    world = World((function_spec(timeout_s=60),))
    created = world.started()
    world.advance(60 + 120 + 4)  # the time-out, the grace in which the worker ends it, and almost the five seconds
    world.sweep()
    assert world.compute.stops == []
    world.advance(1)
    world.sweep()
    assert world.compute.stops == [world.token(created)]
    assert world.compute.containers[world.token(created)].stop_grace_s == 0
    assert world.get(created).status_reason == "stopping: it ran longer than its time-out of 60 s"
    world.container_ends(created, ExitKind.STOPPED, "killed", 137)
    assert world.get(created).status is InvocationStatus.TIMED_OUT


def test_an_error_raised_while_timing_out_is_a_time_out() -> None:
    world = World((function_spec(timeout_s=60, max_retries=5),))
    created = world.started()
    world.advance(185)
    world.sweep()
    assert world.finish(created, FAILURE).status is InvocationStatus.TIMED_OUT


def test_an_abort_without_a_reason_past_the_time_out_is_a_time_out() -> None:
    world = World((function_spec(timeout_s=60),))
    created = world.started()
    world.advance(61)
    assert world.finish(created, ABORTED).status is InvocationStatus.TIMED_OUT


def test_a_cancel_asked_for_first_wins_over_a_time_out() -> None:
    world = World((function_spec(timeout_s=60),))
    created = world.started()
    world.cancel(created)
    world.advance(61)
    ended = world.finish(created, FinishReport(Outcome.ABORTED, abort_reason=AbortReason.TIMED_OUT))
    assert ended.status is InvocationStatus.CANCELLED


def test_a_stop_is_repeated_until_the_container_is_gone_without_a_new_grace() -> None:
    world = World()
    created = world.started()
    world.cancel(created)
    world.react()
    world.advance(61)
    world.sweep()
    token = world.token(created)
    assert world.compute.stops == [token, token]
    assert world.compute.containers[token].stop_grace_s == 59  # 120 s of grace, 61 s of it gone
    world.container_ends(created, ExitKind.STOPPED, "killed", 137)
    world.advance(61)
    world.sweep()
    assert world.compute.stops == [token, token]


def test_a_container_that_stays_after_its_report_is_stopped() -> None:
    world = World()
    created = world.started()
    world.finish(created)
    world.react()
    world.advance(61)
    world.sweep()
    assert world.compute.stops == [world.token(created)]
    assert world.compute.containers[world.token(created)].stop_grace_s == 0


def test_waiting_longer_than_max_queue_time_is_a_time_out() -> None:
    world = World((function_spec(max_concurrency=1, max_queue_s=30),))
    world.started()
    created = world.create()
    world.react()
    world.advance(29.9)
    world.sweep()
    assert world.get(created).status is InvocationStatus.PENDING
    world.advance(0.2)
    world.sweep()
    assert world.get(created).status_reason == "it waited longer than its max_queue_time of 30 s"
    assert world.get(created).terminated


def test_a_start_after_max_queue_time_is_refused_and_ends_the_invocation() -> None:
    world = World((function_spec(max_queue_s=30),))
    created = world.create()
    world.react()
    world.advance(31)
    with pytest.raises(Refused) as refused:
        world.start(created)
    assert refused.value.code is ErrorCode.EXECUTION_IS_ALREADY_TERMINATED
    assert world.get(created).status is InvocationStatus.TIMED_OUT
    world.react()
    assert world.compute.stops == [world.token(created)]


def test_max_queue_time_does_not_count_once_the_code_has_started() -> None:
    world = World((function_spec(max_queue_s=30, max_retries=1),))
    created = world.started()
    world.advance(40)
    world.finish(created, FAILURE)
    world.container_ends(created)
    world.react()
    assert world.start(created).status is InvocationStatus.RUNNING
