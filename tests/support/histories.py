"""Random lives of one invocation on the fake world, step by step: what readers of its body must be able to follow."""

import random
from collections.abc import Iterator

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.external_transitions import ExitKind
from multinode_control_plane.core.records import Invocation
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.ports import LaunchRefused
from multinode_protocol.function_options import RetryPolicy
from multinode_protocol.status import AbortReason, Outcome
from tests.support.world import World, function_spec

REPORTS = (
    FinishReport(Outcome.SUCCEEDED, final_output="42"),
    FinishReport(Outcome.FAILED, error_message="ValueError: no", error_type="ValueError"),
    FinishReport(Outcome.FAILED, error_message="Fatal: no", retryable=False),
    FinishReport(Outcome.ABORTED, abort_reason=AbortReason.INTERRUPTED),
    FinishReport(Outcome.ABORTED, abort_reason=AbortReason.TIMED_OUT, final_output="1"),
    FinishReport(Outcome.ABORTED),
)
EXITS = (
    (ExitKind.EXITED, 0),
    (ExitKind.EXITED, 1),
    (ExitKind.OUT_OF_MEMORY, 137),
    (ExitKind.STOPPED, 143),
    (ExitKind.START_FAILED, None),
    (ExitKind.INTERRUPTED, None),
)


def life(seed: int, steps: int = 40) -> Iterator[tuple[World, Invocation]]:
    """Yield the world and its one invocation after each step of a life drawn from `seed`."""
    draw = random.Random(seed)
    spec = function_spec(
        max_retries=draw.choice([0, 0, 1, 3]),
        timeout_s=draw.choice([5, 60, 600]),
        max_queue_s=draw.choice([None, None, 30]),
        retry=RetryPolicy(initial_delay_s=draw.choice([0, 10])),
    )
    world = World((spec,))
    invocation_id = world.create()
    for _ in range(steps):
        _step(world, invocation_id, draw)
        invocation = world.get(invocation_id)
        yield world, invocation
        if invocation.terminated:
            return


def _step(world: World, invocation_id: str, draw: random.Random) -> None:
    choice = draw.random()
    if choice < 0.3:
        if draw.random() < 0.3:
            world.compute.refusals.append(LaunchRefused("no capacity", permanent=draw.random() < 0.2))
        world.react()
    elif choice < 0.35:
        _unless_refused(lambda: world.cancel(invocation_id))
    elif choice < 0.5:
        world.advance(draw.choice([0.2, 3, 40, 1000]))
        world.sweep()
    elif world.get(invocation_id).executions:
        _worker_step(world, invocation_id, draw)


def _worker_step(world: World, invocation_id: str, draw: random.Random) -> None:
    execution = world.get(invocation_id).executions[-1]
    choice = draw.random()
    if choice < 0.4:
        _unless_refused(lambda: world.start(invocation_id))
    elif choice < 0.7:
        _unless_refused(lambda: world.finish(invocation_id, draw.choice(REPORTS)))
    elif execution.open and execution.launch_token in world.compute.containers:
        kind, code = draw.choice(EXITS)
        world.container_ends(invocation_id, kind, "gone", code)


def _unless_refused(action) -> None:  # type: ignore[no-untyped-def]
    try:
        action()
    except Refused:
        return
