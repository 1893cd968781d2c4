"""The sweep's timer: rings at once, when something is due, earlier when told so, and never without a pause."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from multinode_control_plane.adapters.local.sweep_timer import SweepTimer
from multinode_control_plane.adapters.system import SystemClock
from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.ports import ABSENT, Check, Delete, Put
from tests.support.records import invocation, project, schedules

Eventually = Callable[[Callable[[], object]], None]
NEVER_S = 3600.0


class Sweeps:
    """Notes each sweep's `reconcile`; the n-th answers `answers[n]`, later ones None."""

    def __init__(self, *answers: datetime | Exception | None) -> None:
        self.answers = list(answers)
        self.calls: list[bool] = []
        self.lock = threading.Lock()

    def sweep(self, reconcile: bool) -> datetime | None:
        with self.lock:
            self.calls.append(reconcile)
            answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def ringing(sweeps: Sweeps, *, reconcile_every_s: float = NEVER_S) -> Iterator[SweepTimer]:
    sweep_timer = SweepTimer(sweeps.sweep, SystemClock(), reconcile_every_s=reconcile_every_s, first_pause_s=0.01)
    sweep_timer.start()
    try:
        yield sweep_timer
    finally:
        sweep_timer.stop(300)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=0.05)


def far() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=NEVER_S)


def test_the_first_sweep_comes_at_once_and_reconciles(eventually: Eventually) -> None:
    sweeps = Sweeps(None)
    with ringing(sweeps):
        eventually(lambda: sweeps.calls == [True])
    assert sweeps.calls == [True]


def test_it_rings_when_a_sweep_said_that_something_is_due(eventually: Eventually) -> None:
    sweeps = Sweeps(soon(), soon(), None)
    with ringing(sweeps):
        eventually(lambda: len(sweeps.calls) == 3)
    assert sweeps.calls == [True, False, False]


def test_a_commit_that_is_due_earlier_brings_the_ring_forward(eventually: Eventually) -> None:
    sweeps = Sweeps(far())
    with ringing(sweeps) as sweep_timer:
        eventually(lambda: len(sweeps.calls) == 1)
        sweep_timer.committed([Put(project(), ABSENT), Put(invocation(1, due_at=soon()), 3), Put(invocation(2), 1)])
        eventually(lambda: len(sweeps.calls) == 2)
    assert sweeps.calls == [True, False]


def test_a_project_that_is_to_be_deleted_rings_at_once(eventually: Eventually) -> None:
    sweeps = Sweeps(far())
    with ringing(sweeps) as sweep_timer:
        eventually(lambda: len(sweeps.calls) == 1)
        sweep_timer.committed([Put(project(deletion_requested_at=datetime.now(UTC)), 1)])
        eventually(lambda: len(sweeps.calls) == 2)
    assert sweeps.calls == [True, False]


def test_a_schedule_rings_when_it_is_due(eventually: Eventually) -> None:
    sweeps = Sweeps(far())
    with ringing(sweeps) as sweep_timer:
        eventually(lambda: len(sweeps.calls) == 1)
        sweep_timer.committed([Put(schedules(due_at=soon()), 1)])
        eventually(lambda: len(sweeps.calls) == 2)
    assert sweeps.calls == [True, False]


def test_what_becomes_due_during_a_sweep_is_not_forgotten(eventually: Eventually) -> None:
    sweeps = Sweeps()
    sweep_timer = SweepTimer(lambda reconcile: during(reconcile), SystemClock(), reconcile_every_s=NEVER_S)

    def during(reconcile: bool) -> datetime | None:
        if not sweeps.calls:
            sweep_timer.set(soon())
        return sweeps.sweep(reconcile)

    sweep_timer.start()
    eventually(lambda: len(sweeps.calls) == 2)
    sweep_timer.stop(300)
    assert sweeps.calls == [True, False]


def test_it_reconciles_now_and_then_although_nothing_is_due(eventually: Eventually) -> None:
    sweeps = Sweeps()
    with ringing(sweeps, reconcile_every_s=0.05):
        eventually(lambda: len(sweeps.calls) >= 3)
    assert set(sweeps.calls) == {True}


def test_a_sweep_that_fails_is_made_again(eventually: Eventually, caplog: pytest.LogCaptureFixture) -> None:
    sweeps = Sweeps(RuntimeError("no"), RuntimeError("no"), None)
    with ringing(sweeps):
        eventually(lambda: len(sweeps.calls) == 3)
    assert sum("the sweep failed" in message for message in caplog.messages) == 2


def test_what_stays_due_is_swept_ever_more_rarely(eventually: Eventually, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sweeps = Sweeps(*[datetime.now(UTC) - timedelta(hours=1)] * 5)
    original = SweepTimer._wait

    def noting(sweep_timer: SweepTimer, reconcile_at: float, *, least_s: float) -> None:
        pauses.append(least_s)
        original(sweep_timer, reconcile_at, least_s=least_s)

    monkeypatch.setattr(SweepTimer, "_wait", noting)
    with ringing(sweeps):
        eventually(lambda: len(pauses) == 6)
    # Doubled each time; the sixth sweep found nothing due.
    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16, 0.0]


def test_writes_without_a_due_time_ring_nothing() -> None:
    sweep_timer = SweepTimer(Sweeps().sweep, SystemClock())
    sweep_timer.committed([Put(invocation(1), ABSENT), Put(project(), ABSENT)])
    sweep_timer.committed([Check(invocation_key("inv-0001"), 1), Delete(invocation_key("inv-0002"), 1)])
    assert sweep_timer._due is None
