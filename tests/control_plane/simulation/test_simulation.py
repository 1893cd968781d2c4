"""Random histories with faults at every port call: whatever happens, nothing is lost, doubled, leaked or stuck."""

import os
from collections import Counter

import pytest

from tests.control_plane.simulation.simulated_world import SimulatedWorld

SEEDS = int(os.environ.get("MULTINODE_SIMULATION_SEEDS", "60"))
RARE = (
    "conflict",
    "index lagged",
    "launch refused",
    "launch replayed",
    "change delivered again",
    "dead letter",
    "container lost",
    "container died before its start",
    "event lost",
    "sweep missed",
    "create repeated",
    "report repeated",
    "store.commit after",
    "store.commit die after",
    "compute.launch after",
    "undeployed",
    "zombie",
)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_no_seed_breaks_a_promise() -> None:
    seen: Counter[str] = Counter()
    steps = 0
    for seed in range(SEEDS):
        world = SimulatedWorld(seed)
        try:
            world.run()
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        seen += world.scheduler.seen
        steps += world.scheduler.steps
    assert steps > SEEDS * 100
    missing = [situation for situation in RARE if not seen[situation]]
    assert not missing, f"in {SEEDS} seeds these never occurred: {missing}"


def test_the_same_seed_gives_the_same_history() -> None:
    first, second = SimulatedWorld(7), SimulatedWorld(7)
    first.run()
    second.run()
    assert first.scheduler.steps == second.scheduler.steps
    assert first.scheduler.seen == second.scheduler.seen
    assert first.store.base.items == second.store.base.items
