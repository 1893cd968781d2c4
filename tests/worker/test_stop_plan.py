"""When to interrupt and when to kill. All times in seconds; the call begins at 100, its time-out ends at 160."""

import pytest

from multinode.worker.stop_plan import StopAction, StopPlan, margin_s
from multinode_protocol.status import AbortReason


def plan(grace_s=120.0):
    return StopPlan(deadline=160.0, grace_s=grace_s)


def test_nothing_is_due_before_the_deadline() -> None:
    stopping = plan()
    assert stopping.action(159.9) is StopAction.WAIT
    assert stopping.next_at() == 160.0
    assert stopping.reason is None


def test_the_deadline_interrupts_as_timed_out_and_kills_after_the_whole_grace() -> None:
    stopping = plan()
    assert stopping.action(160.0) is StopAction.INTERRUPT
    assert stopping.reason is AbortReason.TIMED_OUT
    assert stopping.action(279.9) is not StopAction.KILL
    assert stopping.action(280.0) is StopAction.KILL  # 160 + 120


def test_a_request_waits_for_its_answer_and_is_then_called_by_it() -> None:
    stopping = plan()
    stopping.request(110.0)
    assert stopping.action(110.0) is StopAction.WAIT
    stopping.answer(AbortReason.CANCELLED)
    assert stopping.action(110.1) is StopAction.INTERRUPT
    assert stopping.reason is AbortReason.CANCELLED


def test_the_answer_that_nobody_asked_makes_an_interruption() -> None:
    stopping = plan()
    stopping.request(110.0)
    stopping.answer(None)
    assert stopping.action(110.1) is StopAction.INTERRUPT
    assert stopping.reason is AbortReason.INTERRUPTED


def test_without_an_answer_it_is_interrupted_after_3_s_and_the_reason_follows() -> None:
    stopping = plan()
    stopping.request(110.0)
    assert stopping.next_at() == 113.0
    assert stopping.action(112.9) is StopAction.WAIT
    assert stopping.action(113.0) is StopAction.INTERRUPT
    reasons = [stopping.reason]
    stopping.answer(AbortReason.CANCELLED)
    assert [*reasons, stopping.reason] == [AbortReason.INTERRUPTED, AbortReason.CANCELLED]


def test_a_request_kills_ten_seconds_before_the_platform_does() -> None:
    stopping = plan()
    stopping.request(110.0)
    stopping.answer(AbortReason.CANCELLED)
    assert stopping.action(219.9) is not StopAction.KILL
    assert stopping.action(220.0) is StopAction.KILL  # 110 + 120 - 10


def test_a_repeated_request_changes_nothing() -> None:
    stopping = plan()
    stopping.request(110.0)
    stopping.request(150.0)
    assert stopping.requested_at == 110.0
    assert stopping.kill_at == 220.0


def test_a_request_during_a_time_outs_grace_may_kill_earlier_but_not_rename_it() -> None:
    stopping = StopPlan(deadline=160.0, grace_s=120.0)
    assert stopping.action(160.0) is StopAction.INTERRUPT
    stopping.request(165.0)
    stopping.answer(AbortReason.CANCELLED)
    assert stopping.reason is AbortReason.TIMED_OUT
    assert stopping.kill_at == 275.0  # 165 + 120 - 10, before 160 + 120


def test_the_deadline_does_not_wait_for_an_answer() -> None:
    stopping = plan()
    stopping.request(158.0)
    assert stopping.action(160.0) is StopAction.INTERRUPT
    assert stopping.reason is AbortReason.TIMED_OUT
    assert stopping.kill_at == 268.0  # 158 + 120 - 10, before 160 + 120


def test_the_signal_is_repeated_ever_more_rarely() -> None:
    stopping = plan()
    assert stopping.action(160.0) is StopAction.INTERRUPT
    due = [tenths / 10 for tenths in range(1601, 1700) if stopping.action(tenths / 10) is StopAction.INTERRUPT]
    assert due == [161.0, 163.0, 167.0]  # after 1, 2 and 4 seconds


@pytest.mark.parametrize(("grace_s", "margin"), [(120.0, 10.0), (30.0, 10.0), (20.0, 10.0), (8.0, 4.0), (0.0, 0.0)])
def test_the_margin_is_ten_seconds_or_half_of_a_short_grace(grace_s, margin) -> None:
    assert margin_s(grace_s) == margin


@pytest.mark.parametrize("grace_s", [0.0, 1.0, 2.0, 10.0, 20.0, 21.0, 24.0, 120.0, 3600.0])
def test_an_unanswered_request_never_kills_before_it_has_a_reason(grace_s) -> None:
    stopping = plan(grace_s)
    stopping.request(110.0)
    now = 110.0
    while stopping.action(now) is not StopAction.KILL:
        now = max(stopping.next_at(), now + 0.001)
    assert stopping.reason is not None
    assert now <= 110.0 + grace_s


def test_without_grace_the_kill_is_due_at_once() -> None:
    stopping = plan(0.0)
    stopping.request(110.0)
    assert stopping.action(110.0) is StopAction.KILL
    assert stopping.reason is AbortReason.INTERRUPTED
