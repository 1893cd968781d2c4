"""Records survive the store, and delays are what the formulas say."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from multinode_control_plane.core import external_transitions, lifecycle
from multinode_control_plane.core.codec import decode, encode
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import FunctionKey, Gate, Invocation, LocalBundle, Version
from multinode_control_plane.core.retry import delay_after_failed_launch, delay_before_next
from multinode_protocol.function_options import RetryPolicy
from multinode_protocol.status import InvocationStatus
from tests.support.world import FAILURE, World, function_spec


def test_a_whole_history_survives_encoding() -> None:
    world = World((function_spec(max_retries=3, max_queue_s=60, retry=RetryPolicy(5, 2, 60, 0.5, ("E",))),))
    created = world.started()
    world.cancel(created)
    world.finish(created, FAILURE)
    record = world.get(created)
    assert decode(encode(record)) == record
    version = replace(world.version, local_bundle=LocalBundle("/c", "/p", None), task_definition="arn")
    assert decode(encode(version)) == version
    gate = Gate(FunctionKey("p", "v", "f"), {"exe-1": "inv-1"})
    assert decode(encode(gate)) == gate


def test_a_field_that_a_newer_multinode_wrote_is_left_out() -> None:
    version = Version("p", "ver-1", datetime(2026, 1, 1, tzinfo=UTC), "image", ())
    assert decode({**encode(version), "of_the_future": 1}) == version


def test_a_stored_null_is_read_as_nothing() -> None:
    version = Version("p", "ver-1", datetime(2026, 1, 1, tzinfo=UTC), "image", ())
    assert decode({**encode(version), "task_definition": None}) == version


@pytest.mark.parametrize("data", [{}, {"type": "Unknown"}, {"type": "Project"}, {"type": "Version", "created_at": "x"}])
def test_an_item_that_cannot_be_read_says_so(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown type|cannot be read"):
        decode(data)


@pytest.mark.parametrize(
    ("policy", "failed", "jitter", "delay_s"),
    [
        (RetryPolicy(10, 3, 1000, 0), 1, 0.0, 10),  # 10 * 3**0
        (RetryPolicy(10, 3, 1000, 0), 3, 0.0, 90),  # 10 * 3**2
        (RetryPolicy(10, 3, 50, 0), 3, 0.0, 50),  # capped
        (RetryPolicy(10, 1, 50, 0.4), 1, 0.5, 8),  # 10 * (0.6 + 0.4 * 0.5)
        (RetryPolicy(10, 1, 50, 1.0), 1, 0.0, 0),
        (RetryPolicy(1, 10.0, 300, 0), 50, 0.0, 300),
        (RetryPolicy(1, 1e300, 300, 0), 50, 0.0, 300),  # overflows a float
        (RetryPolicy(0, 2, 300, 0), 5, 0.0, 0),
    ],
)
def test_the_delay_before_the_next_attempt(policy: RetryPolicy, failed: int, jitter: float, delay_s: float) -> None:
    assert delay_before_next(policy, failed, jitter) == pytest.approx(delay_s)


@pytest.mark.parametrize(
    ("failed", "jitter", "delay_s"), [(1, 0.0, 0.5), (1, 1.0, 1.0), (4, 1.0, 8.0), (8, 1.0, 120.0), (10_000, 0.0, 60.0)]
)
def test_the_delay_after_a_failed_launch(failed: int, jitter: float, delay_s: float) -> None:
    assert delay_after_failed_launch(failed, jitter) == delay_s


# --- transitions that change nothing ------------------------------------------------------------------------------


def test_transitions_that_do_not_apply_return_the_very_same_object() -> None:
    world = World()
    created = world.started()
    running = world.get(created)
    now = world.clock.now()
    execution = running.executions[0]
    assert execution.worker is not None
    assert lifecycle.admit(running, "exe-new", now) is running
    assert lifecycle.launched(running, execution.execution_id, execution.worker, now) is running
    assert lifecycle.cascade_done(running, now) is running
    assert external_transitions.due(running, now) is running
    older = replace(execution, launch_attempt=7)
    refused = lifecycle.launch_refused(running, older, "no", permanent=True, max_refused_launches=1, jitter=0, now=now)
    assert refused is running


def test_a_final_status_stays_whatever_is_asked() -> None:
    world = World()
    created = world.started()
    ended = world.finish(created)
    now = world.clock.now()
    assert lifecycle.end_with(ended, InvocationStatus.FAILED, now).status == "SUCCEEDED"
    assert external_transitions.cancel(ended, "late", now) is ended


def test_a_container_that_ends_unstarted_after_the_end_only_frees_its_slot() -> None:
    world = World()
    created = world.create()
    world.react()
    world.cancel(created)
    before = world.get(created)
    world.container_ends(created, ExitKind.STOPPED, "stopped", 143)
    after = world.get(created)
    assert (after.status, after.failed_launches, after.terminated) == (before.status, 0, True)


def test_a_failure_reported_while_cancelling_and_a_lost_container_end_cancelled() -> None:
    world = World((function_spec(max_retries=1),))
    created = world.started()
    failed = world.finish(created, FAILURE)
    # Both come to the control plane before the reactor: the cancel is durable, the container goes.
    asked = replace(failed, cancellation_requested_at=world.clock.now(), cancellation_cause="asked")
    ended = external_transitions.container_ended(
        asked,
        failed.executions[0].execution_id,
        ContainerExit(ExitKind.EXITED, "exited", 0),
        worker=None,
        max_lost_containers=3,
        hold_s=0,
        jitter=0,
        now=world.clock.now(),
    )
    assert isinstance(ended, Invocation)
    assert ended.status == "CANCELLED"
