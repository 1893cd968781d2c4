"""Waiting for a change: woken by it, by nothing else, and never past the time or the server's end."""

import threading
from collections.abc import Callable

from multinode_control_plane.adapters.local.waiter import LocalWaiter
from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.records import Output
from multinode_control_plane.ports import ABSENT, Check, Delete, Put
from tests.support.records import invocation, project

Eventually = Callable[[Callable[[], object]], None]
LONG_S = 600.0


class Waiting:
    """A thread that waits for `inv-0001`, and counts how often it is asked whether something changed."""

    def __init__(self, waiter: LocalWaiter, timeout_s: float = LONG_S) -> None:
        self.asked = 0
        self.answer = False
        self.thread = threading.Thread(target=lambda: waiter.wait("inv-0001", self._changed, timeout_s))
        self.thread.start()

    def _changed(self) -> bool:
        self.asked += 1
        return self.answer

    @property
    def over(self) -> bool:
        return not self.thread.is_alive()


def test_what_has_changed_already_is_not_waited_for() -> None:
    asked: list[bool] = []

    def changed() -> bool:
        asked.append(True)
        return True

    LocalWaiter().wait("inv-0001", changed, LONG_S)
    assert asked == [True]


def test_without_time_it_asks_once() -> None:
    waiting = Waiting(LocalWaiter(), timeout_s=0)
    waiting.thread.join()
    assert waiting.asked == 1


def test_a_commit_of_the_invocation_or_of_its_output_wakes_it(eventually: Eventually) -> None:
    waiter = LocalWaiter()
    waiting = Waiting(waiter)
    eventually(lambda: waiting.asked == 1)
    waiter.committed([Put(invocation(1), ABSENT)])
    eventually(lambda: waiting.asked == 2)
    waiting.answer = True
    waiter.committed([Put(Output("inv-0001", "exe-1", 1, "half"), ABSENT)])
    eventually(lambda: waiting.over)
    assert waiting.asked == 3


def test_commits_of_others_and_checks_do_not_wake_it(eventually: Eventually) -> None:
    waiter = LocalWaiter()
    waiting = Waiting(waiter)
    eventually(lambda: waiting.asked == 1)
    waiter.committed([Put(invocation(2), ABSENT), Put(project(), ABSENT)])
    waiter.committed([Check(invocation_key("inv-0001"), 1), Delete(invocation_key("inv-0002"), 1)])
    waiting.answer = True
    waiter.close()
    eventually(lambda: waiting.over)
    assert waiting.asked == 1


def test_a_change_while_it_is_asked_is_not_missed(eventually: Eventually) -> None:
    waiter = LocalWaiter()
    asked: list[int] = []

    def changed() -> bool:
        asked.append(len(asked))
        if len(asked) == 1:
            waiter.wake(["inv-0001"])
        return len(asked) == 2

    thread = threading.Thread(target=lambda: waiter.wait("inv-0001", changed, LONG_S))
    thread.start()
    eventually(lambda: not thread.is_alive())
    assert asked == [0, 1]


def test_all_who_wait_for_one_invocation_are_woken(eventually: Eventually) -> None:
    waiter = LocalWaiter()
    crowd = [Waiting(waiter) for _ in range(10)]
    eventually(lambda: all(waiting.asked == 1 for waiting in crowd))
    for waiting in crowd:
        waiting.answer = True
    waiter.wake(["inv-0001"])
    eventually(lambda: all(waiting.over for waiting in crowd))
    assert waiter._waiters == {}


def test_after_the_close_nobody_waits() -> None:
    waiter = LocalWaiter()
    waiter.close()
    waiting = Waiting(waiter)
    waiting.thread.join(300)
    assert waiting.over
