"""The one exception for the user's code: where it is raised, and where it is kept back."""

import operator
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Never

import pytest

from multinode.errors import ExecutionInterruptedError, InvocationCancelledError, InvocationTimedOutError
from multinode.payload import encode_value
from multinode.worker.function_call import call_function
from multinode.worker.interruption import SIGNAL, Interruption


@pytest.fixture(autouse=True)
def without_tracing() -> Iterator[None]:
    """Coverage's own bookkeeping holds a lock for which an exception raised inside it, by a signal, would be fatal."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


@pytest.fixture
def ordered():
    """Return an interruption that is installed, and a function that orders it as the supervisor does."""
    before, hook = signal.getsignal(SIGNAL), sys.unraisablehook
    read_end, write_end = os.pipe()
    interruption = Interruption(read_end, "inv-1")
    interruption.install()

    def order(reason="CANCELLED") -> None:
        if reason:
            os.write(write_end, f"{reason}\n".encode())
        signal.raise_signal(SIGNAL)

    yield interruption, order
    signal.signal(SIGNAL, before)
    sys.unraisablehook = hook
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("CANCELLED", InvocationCancelledError),
        ("TIMED_OUT", InvocationTimedOutError),
        ("INTERRUPTED", ExecutionInterruptedError),
    ],
)
def test_it_is_raised_inside_the_code_as_the_class_of_its_reason(ordered, reason, kind) -> None:
    interruption, order = ordered
    with pytest.raises(kind) as raised:
        interruption.call(partial(order, reason))
    assert interruption.raised is raised.value
    assert getattr(raised.value, "invocation_id", "inv-1") == "inv-1"


def test_between_calls_it_stays_pending_and_the_next_call_raises_it_first(ordered) -> None:
    interruption, order = ordered
    called: list[int] = []
    order()
    assert isinstance(interruption.pending, InvocationCancelledError)
    with pytest.raises(InvocationCancelledError):
        interruption.call(partial(called.append, 1))
    assert called == []
    assert interruption.pending is None


def test_a_second_signal_raises_nothing(ordered) -> None:
    interruption, order = ordered

    def code() -> str | None:
        try:
            order()
        except InvocationCancelledError:
            order(None)
            return "clean"
        return None

    assert interruption.call(partial(code)) == "clean"
    assert isinstance(interruption.raised, InvocationCancelledError)


def test_a_signal_without_an_order_raises_nothing(ordered) -> None:
    interruption, order = ordered
    assert interruption.call(partial(lambda: order(None) or "result")) == "result"
    assert (interruption.raised, interruption.pending) == (None, None)


def test_a_signal_that_arrives_with_the_result_leaves_the_result(ordered) -> None:
    """`order` itself is the last the code does: the handler runs when the call has given its result, or in it."""
    interruption, order = ordered
    assert interruption.call(partial(str, "result")) == "result"
    order()
    assert interruption.raised is None
    assert interruption.pending is not None


def test_one_that_python_lost_in_a_destructor_is_raised_by_the_next_signal(ordered) -> None:
    interruption, order = ordered

    class Destroyed:
        def __del__(self) -> None:
            order()

    def code() -> None:
        Destroyed()
        assert interruption.raised is None
        order(None)

    with pytest.raises(InvocationCancelledError):
        interruption.call(partial(code))


def test_another_error_in_a_destructor_is_shown_as_ever(ordered, capfd: pytest.CaptureFixture[str]) -> None:
    class Destroyed:
        def __del__(self) -> None:
            raise ValueError("not ours")

    Destroyed()
    assert "ValueError: not ours" in capfd.readouterr().err


def results(interruption, function):
    """Return the encoded result, and the values reported before it."""
    reported: list[str] = []
    return call_function(partial(function), interruption, reported.append, encode_value), reported


def test_an_order_between_two_steps_is_thrown_into_the_generator_which_can_clean_up(ordered) -> None:
    interruption, order = ordered

    def work():
        try:
            yield 1
            yield 2
        except InvocationCancelledError:
            yield "clean"

    reported: list[str] = []

    def report(text) -> None:
        reported.append(text)
        if text == "1":
            order()  # we are in our own code now, between the steps

    assert call_function(partial(work), interruption, report, encode_value) == '"clean"'
    assert reported == ["1", '"clean"']


def test_an_order_before_the_first_step_reaches_the_generator_at_its_very_beginning(ordered) -> None:
    interruption, _ = ordered

    def work():
        yield 1

    def made():
        generator = work()
        interruption.pending = InvocationCancelledError()
        return generator

    with pytest.raises(InvocationCancelledError):
        call_function(partial(made), interruption, print, encode_value)


def test_a_generator_that_lets_it_pass_passes_it_on(ordered) -> None:
    interruption, order = ordered

    def work():
        yield 1
        order()

    with pytest.raises(InvocationCancelledError):
        results(interruption, work)


def test_the_same_class_raised_by_the_code_itself_is_an_error_of_the_code(ordered) -> None:
    interruption, _ = ordered

    def work():
        yield 1
        raise InvocationCancelledError("of a subtask")

    with pytest.raises(InvocationCancelledError, match="of a subtask"):
        results(interruption, work)
    assert interruption.raised is None


def test_results_of_functions_and_generators(ordered) -> None:
    interruption, _ = ordered

    def returns():
        yield 1
        return 2

    def nothing():
        return
        yield

    assert results(interruption, lambda: 5) == ("5", [])
    assert results(interruption, lambda: operator.length_hint(iter([1]))) == ("1", [])
    assert results(interruption, lambda: (number for number in [1, 2])) == ("2", ["1", "2"])
    assert results(interruption, returns) == ("2", ["1"])
    assert results(interruption, nothing) == ("null", [])


def test_stop_iteration_out_of_a_plain_function_is_an_error(ordered) -> None:
    interruption, _ = ordered

    def work() -> Never:
        raise StopIteration(3)

    with pytest.raises(StopIteration, match="3"):
        results(interruption, work)


@pytest.mark.slow
def test_whenever_it_comes_it_is_raised_once_or_the_result_is_whole(ordered) -> None:
    """A timer fires at all moments of 6,000 short calls, our own code around the user's included."""
    interruption, _ = ordered
    times_s = []
    for _ in range(50):
        begun = time.perf_counter()
        call_function(partial(counts_to_20, []), interruption, print, encode_value)
        times_s.append(time.perf_counter() - begun)
    span_s = 2 * min(times_s)  # the one that nothing else on the machine held up
    read_end, write_end = os.pipe()
    seen_inside, let_through, too_late = 0, 0, 0
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(SIGNAL))
    try:
        for round_number in range(6_000):
            interruption = Interruption(read_end, "inv-1")
            interruption.install()
            os.write(write_end, b"CANCELLED\n")
            seen: list[str] = []
            reported: list[str] = []
            signal.setitimer(signal.ITIMER_REAL, 1e-6 + span_s * (round_number % 300) / 300)
            try:
                last = call_function(partial(counts_to_20, seen), interruption, reported.append, encode_value)
            except InvocationCancelledError as error:  # it came where the generator has no `try` yet, or not any more
                assert error is interruption.raised
                let_through += 1
            else:
                assert last == "20"
                assert len(reported) >= 20 - len(seen)  # a value on its way when it is raised is lost in the generator
                assert (interruption.raised is not None) == bool(seen)
                seen_inside += bool(seen)
                too_late += not seen
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert len(seen) <= 1
            assert [int(text) for text in reported] == sorted({int(text) for text in reported})
            if interruption.pending is None and interruption.raised is None:
                os.read(read_end, 100)  # the timer was stopped before it fired
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        os.close(read_end)
        os.close(write_end)
    assert seen_inside > 0
    assert let_through > 0
    assert too_late > 0


def counts_to_20(seen):
    number = 0
    while number < 20:
        try:
            while number < 20:
                number += 1
                yield number
        except InvocationCancelledError:
            seen.append(number)
