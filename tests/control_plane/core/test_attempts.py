"""What counts as an attempt, what is tried again, and when."""

from datetime import timedelta

import pytest

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.external_transitions import ExitKind
from multinode_control_plane.core.lifecycle import waiting_reason
from multinode_control_plane.core.records import QueueName
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.ports import LaunchRefused
from multinode_control_plane.services import task_events
from multinode_control_plane.services.context import Limits
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.function_options import RetryPolicy
from multinode_protocol.status import AbortReason, InvocationStatus, Outcome, WorkerStatus
from tests.support.world import FAILURE, SUCCESS, World, function_spec


def test_a_failure_without_retries_is_final_at_once() -> None:
    world = World()
    created = world.started()
    assert world.finish(created, FAILURE).status is InvocationStatus.FAILED
    world.container_ends(created)
    world.react()
    assert world.get(created).status_reason == "ValueError: no"
    assert world.get(created).terminated
    assert len(world.get(created).executions) == 1


def test_a_failure_is_tried_again_only_after_its_container_has_gone() -> None:
    world = World((function_spec(max_retries=1),))
    created = world.started()
    world.finish(created, FAILURE)
    world.react()
    waiting = world.get(created)
    assert (waiting.status, len(waiting.executions)) == (InvocationStatus.RUNNING, 1)
    assert waiting.status_reason == "attempt 1 failed: ValueError: no; trying again once its container has gone"
    world.container_ends(created)
    world.react()
    again = world.get(created)
    assert [e.attempt for e in again.executions] == [1, 2]
    assert again.status_reason == "starting the container of attempt 2 after: ValueError: no"


def test_the_code_starts_at_most_max_retries_plus_one_times() -> None:
    world = World((function_spec(max_retries=2),))
    created = world.create()
    for _ in range(3):
        world.react()
        world.start(created)
        world.finish(created, FAILURE)
        world.container_ends(created)
    world.react()
    ended = world.get(created)
    assert (ended.status, ended.attempts, ended.failed_attempts) == (InvocationStatus.FAILED, 3, 3)


def test_a_retry_that_waits_for_a_slot_says_what_failed_before() -> None:
    world = World((function_spec(max_retries=1),))
    created = world.started()
    world.finish(created, FAILURE)
    world.container_ends(created)
    waiting = world.get(created)
    assert waiting.status_reason == "waiting for a free slot; attempt 2 is next, after: ValueError: no"
    assert waiting_reason(waiting, 2).startswith("waiting for a free slot: 2 of 2 running; attempt 2 is next, after")


def test_a_retry_can_succeed() -> None:
    world = World((function_spec(max_retries=1),))
    created = world.started()
    world.finish(created, FAILURE)
    world.container_ends(created)
    world.react()
    world.start(created)
    world.finish(created, SUCCESS)
    world.container_ends(created)
    assert world.get(created).status is InvocationStatus.SUCCEEDED
    assert world.get(created).failed_attempts == 1


def test_an_error_that_is_not_retryable_ends_at_once() -> None:
    world = World((function_spec(max_retries=5),))
    created = world.started()
    report = FinishReport(Outcome.FAILED, error_message="NonRetryableError: bad input", retryable=False)
    assert world.finish(created, report).status is InvocationStatus.FAILED


@pytest.mark.parametrize(("retry_on", "status"), [(("OSError",), "FAILED"), (("ValueError",), "RUNNING")])
def test_retry_on_chooses_by_the_classes_of_the_error(retry_on: tuple[str, ...], status: str) -> None:
    world = World((function_spec(max_retries=1, retry=RetryPolicy(retry_on=retry_on)),))
    created = world.started()
    assert world.finish(created, FAILURE).status == status


def test_a_backoff_delays_the_next_attempt_and_keeps_no_slot() -> None:
    world = World((function_spec(max_retries=2, retry=RetryPolicy(initial_delay_s=10, backoff=3)),))
    created = world.started()
    world.finish(created, FAILURE)
    failed_at = world.clock.now()
    world.advance(2)
    world.container_ends(created)
    world.react()
    waiting = world.get(created)
    assert (waiting.waiting_in, waiting.retry_at) == (QueueName.BACKOFF, failed_at + timedelta(seconds=10))
    assert waiting.status_reason == "waiting until 2026-01-01 00:00:10 UTC to launch attempt 2 after: ValueError: no"
    assert world.slots() == {}
    world.advance(7.9)
    world.sweep()
    assert len(world.get(created).executions) == 1
    world.advance(0.2)
    world.sweep()
    assert len(world.get(created).executions) == 2


def test_a_short_delay_is_held_by_the_worker_so_that_start_up_overlaps_it() -> None:
    spec = function_spec(max_retries=1, retry=RetryPolicy(initial_delay_s=15))
    world = World((spec,), limits=Limits(hold_retry_s=20))
    created = world.started()
    world.finish(created, FAILURE)
    not_before = world.after(15)
    world.container_ends(created)
    world.react()
    execution = world.get(created).executions[1]
    assert execution.not_before == not_before
    # 2026-01-01 00:00:15 UTC is 1767225615 s after the epoch.
    environment = world.compute.containers[execution.launch_token].request.environment
    assert environment["MULTINODE_NOT_BEFORE_MS"] == "1767225615000"


def test_a_container_lost_after_the_start_is_a_failed_attempt_with_a_reason() -> None:
    world = World()
    created = world.started()
    world.container_ends(created, ExitKind.OUT_OF_MEMORY, "it used more than its memory", 137)
    ended = world.get(created)
    assert (ended.status, ended.failed_attempts) == (InvocationStatus.FAILED, 1)
    assert ended.executions[0].error == "OutOfMemory: it used more than its memory"
    assert ended.executions[0].infrastructure


def test_a_lost_container_is_tried_again_whatever_retry_on_says() -> None:
    world = World((function_spec(max_retries=1, retry=RetryPolicy(retry_on=("OSError",))),))
    created = world.started()
    world.container_ends(created, ExitKind.INTERRUPTED, "the host was retired", None)
    world.react()
    assert len(world.get(created).executions) == 2


def test_an_exit_code_without_a_report_is_told() -> None:
    world = World()
    created = world.started()
    world.container_ends(created, ExitKind.EXITED, "the worker ended without a report", 3)
    assert world.get(created).executions[0].error == "the worker ended without a report (exit code 3)"


def test_a_reported_success_stands_whatever_the_container_does_next() -> None:
    world = World()
    created = world.started()
    world.finish(created)
    world.container_ends(created, ExitKind.OUT_OF_MEMORY, "memory", 137)
    assert world.get(created).status is InvocationStatus.SUCCEEDED


def test_an_unasked_interruption_is_a_failed_attempt_not_a_cancel() -> None:
    world = World((function_spec(max_retries=1),))
    created = world.started()
    world.finish(created, FinishReport(Outcome.ABORTED, abort_reason=AbortReason.INTERRUPTED))
    assert world.get(created).status is InvocationStatus.RUNNING
    world.container_ends(created)
    world.react()
    assert [e.attempt for e in world.get(created).executions] == [1, 2]
    assert world.get(created).failed_attempts == 1


def test_an_interruption_without_retries_left_is_a_failure() -> None:
    world = World()
    created = world.started()
    ended = world.finish(created, FinishReport(Outcome.ABORTED, abort_reason=AbortReason.INTERRUPTED))
    assert (ended.status, ended.status_reason.split(";")[0]) == (
        InvocationStatus.FAILED,
        "the platform stopped the container",
    )


# --- launches -------------------------------------------------------------------------------------------------------


def test_a_refused_launch_is_made_again_with_a_new_token_and_is_no_attempt() -> None:
    world = World()
    world.compute.refusals = [LaunchRefused("no capacity")]
    created = world.create()
    world.react()
    refused = world.get(created).executions[0]
    # First delay 1 s, half of it jitter of 0.5: 0.5 + 0.25 = 0.75 s.
    assert (refused.launch_attempt, refused.launch_after) == (2, world.after(0.75))
    assert world.get(created).status_reason == "launching attempt 1 again at 00:00:00 UTC after: no capacity"
    assert len(world.slots()) == 1
    world.advance(1)
    world.sweep()
    assert list(world.compute.containers) == [f"{refused.execution_id}-2"]
    assert (world.get(created).failed_launches, world.get(created).attempts) == (1, 0)


def test_launches_refused_for_ever_end_as_a_failure_with_the_platforms_reason() -> None:
    world = World(limits=Limits(max_refused_launches=3))
    world.compute.refusals = [LaunchRefused("no capacity")] * 3
    created = world.create()
    world.react()
    for _ in range(2):
        world.advance(60)
        world.sweep()
    ended = world.get(created)
    assert (ended.status, ended.status_reason, ended.attempts) == (InvocationStatus.FAILED, "no capacity", 0)
    assert ended.terminated
    assert world.slots() == {}


def test_a_launch_that_can_never_work_fails_at_once() -> None:
    world = World()
    world.compute.refusals = [LaunchRefused("no such image", permanent=True)]
    created = world.create()
    world.react()
    assert world.get(created).status is InvocationStatus.FAILED


def test_a_container_that_dies_before_the_code_starts_is_replaced_and_is_no_attempt() -> None:
    world = World()
    created = world.create()
    world.react()
    world.container_ends(created, ExitKind.START_FAILED, "CannotPullContainerError", None)
    world.react()
    assert world.get(created).waiting_in is QueueName.BACKOFF
    world.advance(2)
    world.sweep()
    executions = world.get(created).executions
    assert [e.attempt for e in executions] == [1, 1]
    assert executions[0].worker_status is WorkerStatus.TERMINATED
    assert executions[0].outcome is None


def test_an_image_that_does_not_exist_fails_with_the_platforms_words() -> None:
    world = World()
    created = world.create()
    world.react()
    container = world.compute.end(world.token(created), ExitKind.START_FAILED, "manifest unknown", None)
    assert container.exit is not None
    permanent = type(container.exit)(container.exit.kind, container.exit.reason, None, permanent=True)
    task_events.container_ended(world.context, created, world.execution_id(created), permanent)
    assert world.get(created).status_reason == "manifest unknown"
    assert world.get(created).status is InvocationStatus.FAILED


def test_a_container_that_never_starts_the_code_is_stopped_at_the_launch_deadline() -> None:
    world = World()
    created = world.create()
    world.react()
    world.advance(899)
    world.sweep()
    assert world.compute.stops == []
    world.advance(2)
    world.sweep()
    assert world.compute.stops == [world.token(created)]
    with pytest.raises(Refused) as refused:
        world.start(created)
    assert refused.value.code is ErrorCode.EXECUTION_IS_ALREADY_TERMINATED
    world.container_ends(created, ExitKind.STOPPED, "stopped", 143)
    world.react()
    assert world.get(created).waiting_in is QueueName.BACKOFF


def test_the_version_of_a_launch_being_gone_is_a_permanent_failure() -> None:
    world = World()
    created = world.create()
    del world.store.items["PROJECT#p", "VERSION#ver-1"]
    world.react()
    assert world.get(created).status_reason == "its version has been deleted"
