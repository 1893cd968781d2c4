"""Waiting through outages, on a clock that the test turns."""

import io
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from multinode.invocation.polling import LONGEST_ROUND_S, Seen, poll
from multinode_cli.client.api import ControlPlaneAway
from multinode_cli.client.waiting import Patience
from multinode_cli.client.watch import InvocationChanged, InvocationWatcher, LinesWritten, LogsEnded, WatchFailed
from multinode_cli.console.terminal import Style, Terminal
from multinode_cli.errors import ControlPlaneFailure
from tests.support.fakes import FakeClock

T = TypeVar("T")


class Setting:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.err = io.StringIO()
        terminal = Terminal(io.StringIO(), self.err, Style(), Style(), animated=False)
        self.patience = Patience(
            terminal,
            come_back="Come back later.",
            patience_s=10.0,
            sleep=self.clock.sleep,
            monotonic=self.clock.monotonic,
        )


@pytest.fixture
def setting() -> Setting:
    return Setting()


def answers(*values: T | Exception) -> Callable[[], T]:
    """Return a request that gives or raises `values` one after another, the last one for ever."""
    left = list(values)

    def request() -> T:
        value = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(value, Exception):
            raise value
        return value

    return request


AWAY = ControlPlaneAway("the control plane cannot be reached")


def test_an_answer_is_passed_on(setting: Setting) -> None:
    assert setting.patience.call(answers("x")) == "x"
    assert (setting.err.getvalue(), setting.clock.slept) == ("", [])


def test_an_outage_is_said_once_and_so_is_its_end(setting: Setting) -> None:
    assert setting.patience.call(answers(AWAY, AWAY, AWAY, "x")) == "x"
    assert setting.err.getvalue().splitlines() == [
        "warning: the control plane cannot be reached",
        "Trying again for 10 s …",
        "The control plane answers again",
    ]
    assert setting.clock.slept == [0.5, 1.0, 2.0]


def test_the_pauses_grow_to_five_seconds_and_patience_ends(setting: Setting) -> None:
    """0.5 + 1 + 2 + 4 = 7.5 s after the first failure there is still hope; with 5 s more there is none."""
    with pytest.raises(ControlPlaneFailure) as caught:
        setting.patience.call(answers(AWAY))
    assert setting.clock.slept == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert caught.value.message == "the control plane cannot be reached\nNo answer for 10 s. Come back later."
    assert caught.value.exit_code == 3


def test_patience_begins_anew_after_each_answer(setting: Setting) -> None:
    for _ in range(3):
        assert setting.patience.call(answers(AWAY, AWAY, AWAY, AWAY, "x")) == "x"
    assert setting.err.getvalue().count("Trying again") == 3


def test_a_refusal_is_no_outage(setting: Setting) -> None:
    with pytest.raises(ControlPlaneFailure, match="the key is refused"):
        setting.patience.call(answers(ControlPlaneFailure("the key is refused")))
    assert setting.clock.slept == []


class ScriptedApi:
    """Answers with what the test wrote down, and remembers how it was asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def invocation(self, _invocation_id: str, **how: Any) -> Any:
        self.asked.append(how)
        return self._answers.pop(0)

    logs = invocation


def events_of(setting: Setting, api: ScriptedApi, begin: Callable[[InvocationWatcher], None]) -> list[Any]:
    """Return the events until the watching is over."""
    watch = InvocationWatcher(api, setting.patience, sleep=setting.clock.sleep)  # type: ignore[arg-type]
    begin(watch)
    events: list[Any] = []
    while True:
        event = watch.next_event(timeout_s=30)
        assert event is not None
        events.append(event)
        match event:
            case InvocationChanged(invocation) if invocation["status"] == "SUCCEEDED":
                return events
            case LogsEnded() | WatchFailed():
                return events


def snapshot(status: str, revision: str) -> dict[str, Any]:
    return {"status": status, "revision": revision, "terminated": status == "SUCCEEDED"}


def test_each_change_is_an_event_and_the_next_question_waits_for_another(setting: Setting) -> None:
    api = ScriptedApi(
        snapshot("PENDING", "1"), snapshot("RUNNING", "2"), snapshot("RUNNING", "2"), snapshot("SUCCEEDED", "3")
    )
    events = events_of(setting, api, lambda watch: watch.invocation("inv-1"))
    assert [event.invocation["status"] for event in events] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert [(how["wait_s"], how["since"]) for how in api.asked] == [(0, None), (20, "1"), (20, "2"), (20, "2")]


def test_an_answer_without_news_that_was_not_waited_for_puts_the_next_question_off(setting: Setting) -> None:
    api = ScriptedApi(snapshot("RUNNING", "1"), snapshot("RUNNING", "1"), snapshot("SUCCEEDED", "2"))
    events_of(setting, api, lambda watch: watch.invocation("inv-1"))
    assert setting.clock.slept == [pytest.approx(0.5, abs=0.4)]  # less what the question itself took


def test_rounds_without_news_become_longer_up_to_a_bound_and_begin_anew_after_news() -> None:
    slept: list[float] = []
    ask = answers(*[Seen.NOTHING] * 9, Seen.NEWS, Seen.NOTHING, Seen.END)
    assert poll(ask, longest_s=LONGEST_ROUND_S, sleep=slept.append, monotonic=lambda: 0.0) is True
    # Each 1.3 times the one before: 0.5, 0.65, 0.845 … 0.5 * 1.3**7 = 3.14, so 3.
    assert [round(pause, 2) for pause in slept[:3]] == [0.5, 0.65, 0.85]
    assert slept[7:] == [3.0, 3.0, 0.5]


def test_polling_at_an_even_pace_gives_up_when_its_time_is_over(setting: Setting) -> None:
    clock = setting.clock
    ask = answers(Seen.NOTHING)
    assert poll(ask, every_s=2.0, timeout_s=5.0, sleep=clock.sleep, monotonic=clock.monotonic) is False
    assert clock.slept == [2.0, 2.0, 1.0]  # after 0, 2 and 4 s; after 5 s the time is over


def test_who_waits_for_the_end_only_asks_for_the_end(setting: Setting) -> None:
    api = ScriptedApi(snapshot("RUNNING", "1"), snapshot("SUCCEEDED", "2"))
    events_of(setting, api, lambda watch: watch.invocation("inv-1", until_finished=True))
    assert [(how["until_finished"], how["since"]) for how in api.asked] == [(False, None), (True, None)]


def test_a_status_of_a_newer_control_plane_is_final_once_all_has_stopped(setting: Setting) -> None:
    api = ScriptedApi(
        {"status": "SUSPENDED", "revision": "1", "terminated": False},
        {"status": "RETIRED", "revision": "2", "terminated": True},
    )
    watch = InvocationWatcher(api, setting.patience, sleep=setting.clock.sleep)  # type: ignore[arg-type]
    watch.invocation("inv-1")
    assert [watch.next_event(timeout_s=30) is not None for _ in range(2)] == [True, True]
    assert watch.next_event(timeout_s=0.01) is None


def test_log_lines_are_read_on_from_where_the_last_answer_ended(setting: Setting) -> None:
    pages = [
        {"lines": ["a"], "next_offset": "1", "complete": False},
        {"lines": [], "next_offset": "1", "complete": False},
        {"lines": ["b"], "next_offset": "2", "complete": True},
    ]
    api = ScriptedApi(*pages)
    events = events_of(setting, api, lambda watch: watch.logs("inv-1", execution_id="exe-1"))
    assert events == [LinesWritten(["a"]), LinesWritten(["b"]), LogsEnded()]  # type: ignore[list-item]
    assert [how["offset"] for how in api.asked] == [None, "1", "1"]
    assert {how["execution_id"] for how in api.asked} == {"exe-1"}


def test_what_ends_the_watching_is_an_event(setting: Setting) -> None:
    api = ScriptedApi()  # the first question raises IndexError
    events = events_of(setting, api, lambda watch: watch.invocation("inv-1"))
    assert [type(event.error) for event in events] == [IndexError]
