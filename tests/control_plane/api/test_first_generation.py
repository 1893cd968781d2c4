"""Clients of the first generation derive an invocation's status from its executions: they arrive at ours.

Their rules are written down here a second time, from what those clients do, and hold over random lives.
"""

import itertools
from typing import Any

import pytest

from multinode_control_plane.api import rendering
from multinode_control_plane.core.external_transitions import ExitKind
from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.records import Invocation
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.ports import LaunchRefused
from multinode_control_plane.services import details
from multinode_protocol.status import Outcome
from tests.support.histories import life
from tests.support.world import SUCCESS, World, function_spec

AT = 1767225600
LIVES = 300


def shares(count: int) -> list[Any]:
    """Return the seeds of all lives in parts that run side by side; `make check` takes the first."""
    parts = [range(start, LIVES, count) for start in range(count)]
    return [parts[0], *(pytest.param(part, marks=pytest.mark.slow(about_s=45)) for part in parts[1:])]


def body_of(world: World, invocation: Invocation) -> dict[str, Any]:
    stored = world.store.get(invocation_key(invocation.invocation_id))
    assert stored is not None
    return dict(rendering.invocation_info(details.invocation_view(world.context, stored)))


def is_aborted(execution: dict[str, Any]) -> bool:
    never_began = execution["termination_signal_time"] is not None and execution["execution_start_time"] is None
    gone = execution["worker_status"] == "TERMINATED" and execution["outcome"] is None
    return bool(execution["outcome"] == "ABORTED" or (gone and never_began))


def is_failed(execution: dict[str, Any]) -> bool:
    gone = execution["worker_status"] == "TERMINATED" and execution["outcome"] is None
    return bool(execution["outcome"] == "FAILED" or (gone and not is_aborted(execution)))


def derived_status(body: dict[str, Any]) -> str:
    """Return the status as a client of the first generation sees it."""
    executions = body["executions"]
    limit = body["creation_time"] + body["execution_spec"]["timeout_seconds"]
    aborted = [one for one in executions if is_aborted(one)]
    if any(one["outcome"] == "SUCCEEDED" for one in executions):
        return "SUCCEEDED"
    if any((one["termination_signal_time"] or 0) > limit for one in aborted):
        return "TIMED_OUT"
    if aborted:
        return "CANCELLED"
    if sum(is_failed(one) for one in executions) == body["execution_spec"]["max_retries"] + 1:
        return "FAILED"
    if body["invocation_status"] == "TERMINATED":
        return "TIMED_OUT" if body["last_update_time"] > limit else "CANCELLED"
    return "UNFINISHED"


@pytest.mark.parametrize("seeds", shares(3))
def test_every_terminated_life_has_the_same_status_for_them(seeds: range) -> None:
    seen = set()
    for seed in seeds:
        for world, invocation in life(seed):
            body = body_of(world, invocation)
            derived = derived_status(body)
            if invocation.terminated:
                assert derived == invocation.status, (seed, body)
                seen.add(derived)
            elif not invocation.status.finished:
                assert derived == "UNFINISHED", (seed, body)
    assert seen == {"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"}


@pytest.mark.parametrize("seeds", shares(3))
def test_a_final_status_its_result_and_its_error_never_change(seeds: range) -> None:
    for seed in seeds:
        final: tuple[object, ...] | None = None
        for world, invocation in life(seed):
            body = body_of(world, invocation)
            if final is not None:
                assert (body["status"], body["result"], body["error"]) == final, seed
            elif invocation.status.finished:
                final = (body["status"], body["result"], body["error"])
                assert (body["error"] is None) == (body["status"] == "SUCCEEDED")


def test_times_are_whole_numbers_and_every_ended_execution_has_an_outcome() -> None:
    times = ("creation_time", "last_update_time", "execution_start_time", "execution_finish_time")
    for seed in range(100):
        for world, invocation in life(seed):
            body = body_of(world, invocation)
            for execution in body["executions"]:
                values = [execution[name] for name in (*times, "termination_signal_time")]
                assert all(value is None or type(value) is int for value in values)
                if execution["worker_status"] == "TERMINATED":
                    assert execution["outcome"] in ("SUCCEEDED", "FAILED", "ABORTED")


# --- the cases one by one, worked out by hand -----------------------------------------------------------------------


def ended_body(world: World, invocation_id: str) -> dict[str, Any]:
    return body_of(world, world.get(invocation_id))


def test_a_time_out_reported_late_is_after_the_one_that_old_clients_expect() -> None:
    # They count from creation, we from the start: here the code ran from 10 s to 70 s with a time-out of 60 s.
    world = World((function_spec(timeout_s=60),))
    invocation_id = world.create()
    world.react()
    world.advance(10)
    world.start(invocation_id)
    world.advance(60)
    world.finish(invocation_id, FinishReport(Outcome.ABORTED))
    (execution,) = ended_body(world, invocation_id)["executions"]
    assert (execution["outcome"], execution["termination_signal_time"]) == ("ABORTED", AT + 70)


def test_a_time_out_by_a_second_s_fraction_is_a_whole_second_after_it() -> None:
    world = World((function_spec(timeout_s=60),))
    invocation_id = world.started()
    world.advance(60.2)
    world.finish(invocation_id, FinishReport(Outcome.ABORTED))
    (execution,) = ended_body(world, invocation_id)["executions"]
    assert execution["termination_signal_time"] == AT + 61


def test_a_cancel_after_a_long_wait_is_not_after_the_time_out_they_reckon_with() -> None:
    world = World((function_spec(timeout_s=60),))
    invocation_id = world.create()
    world.react()
    world.advance(500)
    world.start(invocation_id)
    world.advance(5)
    world.cancel(invocation_id)
    world.finish(invocation_id, FinishReport(Outcome.FAILED, error_message="raised while it was being cancelled"))
    body = ended_body(world, invocation_id)
    (execution,) = body["executions"]
    assert (execution["outcome"], execution["termination_signal_time"]) == ("ABORTED", AT + 60)
    assert body["cancellation_request_time"] == AT + 505


def test_a_cancel_after_a_long_wait_without_an_execution_predates_the_time_out() -> None:
    world = World((function_spec(timeout_s=60),))
    invocation_id = world.create_waiting()
    world.advance(500)
    world.cancel(invocation_id)
    body = ended_body(world, invocation_id)
    assert (body["executions"], body["last_update_time"]) == ([], AT + 60)
    assert body["last_update_time_ms"] // 1000 == AT + 500


def test_what_waited_too_long_without_an_execution_was_updated_after_the_time_out() -> None:
    world = World((function_spec(timeout_s=600, max_queue_s=10),))
    invocation_id = world.create_waiting()
    world.advance(11)
    world.sweep()
    body = ended_body(world, invocation_id)
    assert (body["status"], body["executions"], body["last_update_time"]) == ("TIMED_OUT", [], AT + 601)
    assert body["error"] == "The invocation waited longer than its max_queue_time of 10 s"


def test_an_error_that_is_not_retried_has_no_retries_left_over() -> None:
    world = World((function_spec(max_retries=5),))
    invocation_id = world.started()
    world.finish(invocation_id, FinishReport(Outcome.FAILED, error_message="Fatal: no", retryable=False))
    body = ended_body(world, invocation_id)
    assert (body["status"], body["execution_spec"]["max_retries"]) == ("FAILED", 0)


def test_a_container_that_failed_to_start_is_no_execution_of_theirs_but_counted() -> None:
    world = World((function_spec(),))
    invocation_id = world.create()
    world.react()
    world.container_ends(invocation_id, ExitKind.START_FAILED, "image pull timed out", None)
    world.react()
    world.advance(60)
    world.sweep()
    body = ended_body(world, invocation_id)
    assert len(world.get(invocation_id).executions) == 2
    assert [one["execution_id"] for one in body["executions"]] == [world.execution_id(invocation_id)]
    assert (body["num_failed_launches"], body["num_failed_attempts"]) == (1, 0)


def test_a_launch_that_never_succeeds_is_one_failed_execution_with_the_reason() -> None:
    world = World((function_spec(max_retries=3),))
    world.compute.refusals.append(LaunchRefused("no such image", permanent=True))
    invocation_id = world.create()
    world.react()
    body = ended_body(world, invocation_id)
    assert (body["status"], body["error"], body["error_traceback"]) == ("FAILED", "no such image", None)
    (execution,) = body["executions"]
    assert (execution["outcome"], execution["error_message"]) == ("FAILED", "no such image")
    assert body["execution_spec"]["max_retries"] == 0


def test_a_container_lost_without_a_report_failed_for_the_reason_of_its_exit() -> None:
    world = World((function_spec(),))
    invocation_id = world.started()
    world.container_ends(invocation_id, ExitKind.OUT_OF_MEMORY, "killed for its memory", 137)
    body = ended_body(world, invocation_id)
    (execution,) = body["executions"]
    assert execution["outcome"] == "FAILED"
    assert body["error"] == execution["error_message"] == "OutOfMemory: killed for its memory"


def test_a_container_killed_after_the_cancel_was_aborted() -> None:
    world = World((function_spec(),))
    invocation_id = world.started()
    world.cancel(invocation_id)
    world.container_ends(invocation_id, ExitKind.STOPPED, "stopped", 137)
    (execution,) = ended_body(world, invocation_id)["executions"]
    assert (execution["outcome"], execution["error_message"]) == ("ABORTED", None)


def test_a_success_after_retries_shows_every_attempt() -> None:
    world = World((function_spec(max_retries=2),))
    invocation_id = world.started()
    world.finish(invocation_id, FinishReport(Outcome.FAILED, error_message="ValueError: no"))
    world.container_ends(invocation_id)
    world.react()
    world.start(invocation_id)
    world.finish(invocation_id, SUCCESS)
    body = ended_body(world, invocation_id)
    assert [(one["attempt"], one["outcome"]) for one in body["executions"]] == [(1, "FAILED"), (2, "SUCCEEDED")]
    assert (body["status"], body["result"], body["num_failed_attempts"]) == ("SUCCEEDED", "42", 1)
    assert body["execution_spec"]["max_retries"] == 2


def test_the_lives_that_these_tests_draw_reach_every_kind_of_end() -> None:
    statuses = {list(life(seed))[-1][1].status for seed in itertools.islice(itertools.count(), 60)}
    assert {"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"} <= statuses
