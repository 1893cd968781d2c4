"""The sweep's Lambda function: when it goes round again, and that the alarm hears of what it could not handle."""

import time
from datetime import UTC, datetime

import pytest

from multinode_control_plane.handlers import sweep
from multinode_control_plane.services.sweep import SweepReport

DUE = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


class LambdaContext:
    """Five seconds go by between two looks at the clock."""

    def __init__(self, left_ms: int) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        self._left_ms -= 5000
        return self._left_ms


def report(*, draining: int = 0, failed: int = 0, next_due: datetime | None = None) -> SweepReport:
    return SweepReport(due=1, settled=2, orphans=3, draining=draining, failed=failed, next_due=next_due)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[SweepReport]:
    """What the next sweeps report."""
    return []


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch, reports: list[SweepReport]) -> list[bool]:
    """How often it was swept: True where every open container was looked at too."""
    calls: list[bool] = []

    def once(reconcile: bool) -> SweepReport:
        calls.append(reconcile)
        return reports.pop(0)

    monkeypatch.setattr(sweep, "_sweep", lambda: once)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return calls


def test_one_sweep_is_enough_when_nothing_is_being_deleted(swept: list[bool], reports: list[SweepReport]) -> None:
    reports.append(report(next_due=DUE))
    counts = {
        "due": 1,
        "settled": 2,
        "orphans": 3,
        "draining": 0,
        "failed": 0,
        "next_due": "2026-11-20T09:00:00+00:00",
    }
    assert counts.items() <= sweep.handler({}, LambdaContext(55_000)).items()
    assert swept == [True]


def test_deletions_are_carried_on_until_they_are_done(swept: list[bool], reports: list[SweepReport]) -> None:
    reports += [report(draining=2), report(draining=1), report()]
    assert sweep.handler({}, LambdaContext(55_000))["draining"] == 0
    assert swept == [True, False, False]


def test_deletions_end_with_the_time_there_is(swept: list[bool], reports: list[SweepReport]) -> None:
    reports += [report(draining=1) for _ in range(9)]
    # 55 s, 5 s less at each look, more than 25 s needed: at 50, 45, 40, 35 and 30 s it goes on, at 25 s no more.
    assert sweep.handler({}, LambdaContext(55_000))["draining"] == 1
    assert swept == [True, False, False, False, False, False]


def test_a_record_that_could_not_be_handled_is_an_error_of_the_function(
    swept: list[bool], reports: list[SweepReport]
) -> None:
    reports += [report(draining=1, failed=2), report(failed=1)]
    with pytest.raises(sweep.SweepFailed, match="3 records could not be handled"):
        sweep.handler({}, LambdaContext(55_000))
