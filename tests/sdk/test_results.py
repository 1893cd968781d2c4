"""map and starmap: order, promptness, how many at a time, and what becomes of the rest."""

import itertools
import json
import threading
from collections.abc import Iterator
from math import inf
from typing import Any

import pytest

from multinode import Function, InvocationStatus, Results, get_deployed_function
from multinode.errors import (
    ExecutionInterruptedError,
    InvocationCancelledError,
    InvocationFailedError,
    LimitIsReached,
    ParameterValidationError,
    ProjectDoesNotExist,
)
from multinode.invocation.record import Invocation
from multinode.payload import encode_value
from tests.sdk.conftest import PROJECT
from tests.support.bodies import function_info, invocation_info, version_id
from tests.support.control_plane import FakeControlPlane
from tests.support.faulty_server import says
from tests.support.processes import eventually

SUCCEEDED, FAILED = InvocationStatus.SUCCEEDED, InvocationStatus.FAILED


def squared(function_name: str, text: str) -> tuple[InvocationStatus, str | None]:
    number = json.loads(text)[0][0]
    return (SUCCEEDED, str(number**2)) if number >= 0 else (FAILED, None)


def argument(plane: FakeControlPlane, invocation_id: str) -> Any:
    return json.loads(plane.invocations[invocation_id]["input"])[0][0]


def of_argument(plane: FakeControlPlane, number: int) -> str:
    """Return the id of the invocation that was started with `number`, once it is."""
    found: list[str] = []

    def look() -> bool:
        found.extend(i for i in list(plane.invocations) if argument(plane, i) == number)
        return bool(found)

    eventually(look)
    return found[0]


@pytest.fixture
def open_at_starts(plane: FakeControlPlane) -> list[int]:
    """How many invocations were unfinished after each start."""
    counts: list[int] = []

    def count(_request: object) -> None:
        statuses = [InvocationStatus(info["status"]) for info in plane.invocations.values()]
        counts.append(sum(not status.finished for status in statuses))

    plane.on("POST", "/invocations", after=count, times=inf)
    return counts


def test_map_gives_results_in_the_order_of_the_items(plane: FakeControlPlane, add: Function[..., int]) -> None:
    plane.ends = squared
    assert list(add.map([3, 1, 2])) == [9, 1, 4]


def test_starmap_gives_each_items_parts_as_arguments(plane: FakeControlPlane, add: Function[..., int]) -> None:
    plane.ends = lambda name, text: (SUCCEEDED, str(sum(json.loads(text)[0])))
    assert list(add.starmap([(1, 2), [3], iter([4, 5])])) == [3, 3, 9]


def test_nothing_to_do_is_done_at_once(plane: FakeControlPlane, add: Function[..., int]) -> None:
    assert list(add.map([])) == []
    assert plane.sent("POST") == []


def test_a_map_goes_on_one_version_even_if_another_is_deployed_meanwhile(
    plane: FakeControlPlane, add: Function[..., int]
) -> None:
    plane.ends = squared
    results = add.map(iter(range(6)), max_in_flight=1)
    assert next(results) == 0
    plane.add_version(PROJECT, function_info("add", ["nothing", "fits"]))
    assert list(results) == [1, 4, 9, 16, 25]
    assert {info["version_id"] for info in plane.invocations.values()} == {version_id(1)}


def test_hundreds_of_items_come_out_complete_and_in_order(plane: FakeControlPlane, add: Function[..., int]) -> None:
    plane.ends = squared
    assert list(add.map(range(400))) == [n * n for n in range(400)]
    assert len(plane.invocations) == 400


def test_the_first_calls_are_started_before_anything_is_read(plane: FakeControlPlane, add: Function[..., int]) -> None:
    results = add.map([1, 2, 3])
    plane.until(lambda: len(plane.invocations) == 3)
    eventually(lambda: len(results.invocation_ids) == 3)
    assert [argument(plane, i) for i in results.invocation_ids] == [1, 2, 3]


def test_a_result_comes_out_while_later_ones_still_run(plane: FakeControlPlane, add: Function[..., int]) -> None:
    results = add.map([1, 2])
    plane.change(of_argument(plane, 1), status=SUCCEEDED, result="10")
    assert next(results) == 10
    plane.change(of_argument(plane, 2), status=SUCCEEDED, result="20")
    assert list(results) == [20]


def test_a_later_result_waits_for_the_earlier_one(plane: FakeControlPlane, add: Function[..., int]) -> None:
    read: list[int] = []
    results = add.map([1, 2])
    plane.change(of_argument(plane, 2), status=SUCCEEDED, result="20")
    reader = threading.Thread(target=lambda: read.extend(results), daemon=True)
    reader.start()
    first = of_argument(plane, 1)
    plane.until(lambda: plane.sent("GET", first))
    assert read == []
    plane.change(first, status=SUCCEEDED, result="10")
    reader.join(20)
    assert read == [10, 20]


def test_no_more_than_max_in_flight_run_at_a_time(
    plane: FakeControlPlane, add: Function[..., int], open_at_starts: list[int]
) -> None:
    stop = threading.Event()

    def finishing() -> None:
        done: set[str] = set()
        while not stop.is_set():
            with plane.changed:
                plane.changed.wait(0.05)
                started = [i for i in plane.invocations if i not in done]
            for invocation_id in started:
                plane.change(invocation_id, status=SUCCEEDED, result=str(argument(plane, invocation_id)))
                done.add(invocation_id)

    finisher = threading.Thread(target=finishing, daemon=True)
    finisher.start()
    try:
        assert list(add.map(range(30), max_in_flight=3)) == list(range(30))
    finally:
        stop.set()
        finisher.join()
    assert max(open_at_starts) <= 3


@pytest.mark.slow
def test_a_slow_first_call_does_not_keep_others_from_being_started(
    plane: FakeControlPlane, add: Function[..., int], open_at_starts: list[int]
) -> None:
    """With two at a time and the first one slow, the other place is used by one call after the other."""
    results = add.map(range(4), max_in_flight=2)
    read: list[int] = []
    reader = threading.Thread(target=lambda: read.extend(results), daemon=True)
    reader.start()
    for number in (1, 2, 3):
        plane.change(of_argument(plane, number), status=SUCCEEDED, result=str(number))
    plane.change(of_argument(plane, 0), status=SUCCEEDED, result="0")
    reader.join(30)
    assert read == [0, 1, 2, 3]
    assert max(open_at_starts) == 2


def test_pauses_between_looks_grow_while_nothing_ends_and_shrink_when_it_does() -> None:
    fetched: list[tuple[str, int]] = []
    ends_at = {"inv-1": 4, "inv-0": 6}  # ends with so many waits for the first call behind it

    def fetch(invocation_id: str, wait_s: int) -> Invocation:
        if not fetched:
            eventually(lambda: results.invocation_ids == ["inv-0", "inv-1"])
        fetched.append((invocation_id, wait_s))
        waits = sum(wait > 0 for _, wait in fetched)
        ended = invocation_id not in ends_at or waits >= ends_at[invocation_id]
        return finished(invocation_id, "SUCCEEDED" if ended else "RUNNING")

    results: Results[None] = Results(
        [(n,) for n in range(4)],
        start=lambda arguments: f"inv-{arguments[0]}",
        fetch=fetch,
        cancel=lambda invocation_id: None,
        return_exceptions=False,
        max_in_flight=2,
    )
    assert list(results) == [None] * 4
    # A place gets free when inv-1 is seen to have ended, after the fourth wait.
    assert [wait for invocation_id, wait in fetched if invocation_id == "inv-0"][:5] == [1, 2, 4, 8, 1]


def test_an_endless_iterable_is_taken_as_results_are_read(plane: FakeControlPlane, add: Function[..., int]) -> None:
    plane.ends = squared
    results = add.map(itertools.count(), max_in_flight=2)
    assert list(itertools.islice(results, 5)) == [0, 1, 4, 9, 16]
    results.close()
    eventually(lambda: len(plane.sent("POST")) == len(plane.invocations))
    assert len(plane.invocations) <= 5 + 2 * 10


def test_a_call_that_failed_raises_in_its_turn_and_the_next_goes_on(
    plane: FakeControlPlane, add: Function[..., int]
) -> None:
    plane.ends = squared
    results = add.map([1, -1, 2])
    assert next(results) == 1
    with pytest.raises(InvocationFailedError):
        next(results)
    assert next(results) == 4
    with pytest.raises(StopIteration):
        next(results)


def test_errors_can_be_had_as_results(plane: FakeControlPlane, add: Function[..., int]) -> None:
    plane.ends = squared
    first, error, last = add.map([1, -1, 2], return_exceptions=True)
    assert (first, last) == (1, 4)
    assert isinstance(error, InvocationFailedError)


def test_a_call_that_cannot_be_started_is_an_error_of_that_call(
    plane: FakeControlPlane, add: Function[..., int]
) -> None:
    plane.ends = lambda name, text: (SUCCEEDED, "0")
    outcomes: list[Any] = list(add.starmap([(1,), (), (1, 2, 3), (2,)], return_exceptions=True))
    assert [type(outcome) for outcome in outcomes] == [int, ParameterValidationError, ParameterValidationError, int]


def test_a_result_that_cannot_be_unpickled_is_an_error_of_that_call(
    plane: FakeControlPlane, add: Function[..., int]
) -> None:
    plane.ends = lambda name, text: (SUCCEEDED, '{"__multinode__":"cloudpickle","data":"gAVjbm8KVAou"}')
    [error] = add.map([1], return_exceptions=True)
    assert "No module named 'no'" in str(error)


def test_a_refused_start_is_an_error_of_that_call(plane: FakeControlPlane, add: Function[..., int]) -> None:
    plane.ends = squared
    plane.faults.append(says(200, {"version_id": version_id(1), "functions": [{"function_name": "add"}]}))
    plane.faults.append(says(429, {"detail": "full", "code": "LimitIsReached"}, Retry_After="99"))
    first, second = add.map([1, 2], return_exceptions=True, max_in_flight=1)
    assert isinstance(first, LimitIsReached)
    assert second == 4


def test_a_function_that_does_not_exist_is_told_at_once(plane: FakeControlPlane) -> None:
    with pytest.raises(ProjectDoesNotExist):
        get_deployed_function("nope", "add").map([1])


def test_what_the_iterable_raises_comes_out(plane: FakeControlPlane, add: Function[..., int]) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("mine")

    plane.ends = squared
    with pytest.raises(KeyError, match="mine"):
        list(add.map(items(), max_in_flight=1))


@pytest.mark.parametrize("item", ["ab", b"ab", 5, None])
def test_starmap_refuses_what_are_no_arguments(plane: FakeControlPlane, add: Function[..., int], item: Any) -> None:
    with pytest.raises(ParameterValidationError, match="use map"):
        add.starmap([item])


@pytest.mark.parametrize("max_in_flight", [0, -1, 1.5, True, None, "3"])
def test_max_in_flight_must_be_a_whole_number(
    plane: FakeControlPlane, add: Function[..., int], max_in_flight: Any
) -> None:
    with pytest.raises(ParameterValidationError, match="max_in_flight"):
        add.map([1], max_in_flight=max_in_flight)
    with pytest.raises(ParameterValidationError, match="max_in_flight"):
        add.starmap([(1,)], max_in_flight=max_in_flight)


def test_dropping_the_results_leaves_what_was_started_running(plane: FakeControlPlane, add: Function[..., int]) -> None:
    plane.ends = lambda name, text: squared(name, text) if "[1]" in text else (InvocationStatus.PENDING, None)
    for result in add.map([1, 2, 3]):
        assert result == 1
        break
    plane.until(lambda: len(plane.invocations) == 3)
    assert sorted(info["status"] for info in plane.invocations.values()) == ["PENDING", "PENDING", "SUCCEEDED"]
    assert plane.sent("PUT") == []


def test_a_with_block_cancels_what_is_unfinished_when_it_is_left(
    plane: FakeControlPlane, add: Function[..., int]
) -> None:
    with pytest.raises(InvocationFailedError), add.map([1, 2, 3, 4], max_in_flight=3) as results:
        plane.change(of_argument(plane, 1), status=SUCCEEDED, result="1")
        plane.change(of_argument(plane, 2), status=FAILED)
        for _ in results:
            pass
    statuses = {argument(plane, i): info["status"] for i, info in plane.invocations.items()}
    assert statuses.pop(4, "CANCELLED") == "CANCELLED"  # it may have been started when the first one ended
    assert statuses == {1: "SUCCEEDED", 2: "FAILED", 3: "CANCELLED"}
    assert list(results) == []


def test_cancel_ends_the_open_calls_and_their_errors_can_be_read(
    plane: FakeControlPlane, add: Function[..., int]
) -> None:
    results = add.map([1, 2, 3], return_exceptions=True)
    plane.change(of_argument(plane, 2), status=SUCCEEDED, result="4")
    plane.until(lambda: len(plane.invocations) == 3)
    results.cancel()
    first, second, third = results
    assert isinstance(first, InvocationCancelledError)
    assert second == 4
    assert isinstance(third, InvocationCancelledError)


def test_cancel_gives_up_calls_whose_start_is_still_queued() -> None:
    gate = threading.Event()
    started: list[int] = []

    def start(arguments: tuple[Any, ...]) -> str:
        gate.wait(20)
        started.append(arguments[0])
        return f"inv-{arguments[0]}"

    cancelled: list[str] = []
    results: Results[int] = Results(
        [(n,) for n in range(20)],
        start=start,
        fetch=lambda invocation_id, wait_s: finished(invocation_id, "CANCELLED"),
        cancel=cancelled.append,
        return_exceptions=True,
        max_in_flight=20,
    )
    canceller = threading.Thread(target=results.cancel, daemon=True)
    canceller.start()
    gate.set()
    canceller.join(20)
    ends = list(results)
    assert len(ends) == 20
    assert all(isinstance(end, InvocationCancelledError) for end in ends)
    assert sorted(cancelled) == sorted(f"inv-{n}" for n in started)


def finished(invocation_id: str, status: str = "SUCCEEDED", result: str | None = None) -> Invocation:
    info: Any = invocation_info(invocation_id, status=status, result=result)
    return Invocation.from_info(info)


def interrupt(error: Exception) -> None:
    raise error


class Interrupting:
    """Unpickling it is interrupted by `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return interrupt, (self.error,)


@pytest.mark.parametrize(
    "error", [InvocationCancelledError(invocation_id="inv-parent"), ExecutionInterruptedError()], ids=repr
)
def test_an_interruption_of_the_caller_is_not_a_result(error: Exception) -> None:
    text = encode_value(Interrupting(error))
    results: Results[int] = Results(
        [(1,)],
        start=lambda arguments: "inv-1",
        fetch=lambda invocation_id, wait_s: finished(invocation_id, result=text),
        cancel=lambda invocation_id: None,
        return_exceptions=True,
        max_in_flight=1,
    )
    with pytest.raises(type(error)):
        next(results)
