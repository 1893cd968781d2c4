"""The decorator: what it keeps, what it registers, what it refuses."""

import asyncio
import functools
import inspect
import math
import pickle
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from multinode import Function, Multinode, Retry
from multinode.errors import DuplicateFunctionError, InvalidUseError, ParameterValidationError


def spec_of(**parameters: Any) -> Any:
    mn = Multinode()

    @mn.function(**parameters)
    def work() -> None: ...

    return work.spec()


def test_a_decorated_function_keeps_its_name_docstring_and_signature() -> None:
    mn = Multinode()

    @mn.function(cpu=1, memory="1 GiB")
    def resize(image: str, width: int = 100, *, quality: float = 0.8) -> str:
        """Make it smaller.

        Much smaller.
        """
        return f"{image} {width} {quality}"

    assert isinstance(resize, Function)
    assert resize.__name__ == "resize"
    assert resize.__doc__ is not None
    assert resize.__doc__.startswith("Make it smaller.")
    assert list(inspect.signature(resize).parameters) == ["image", "width", "quality"]
    assert resize("a.png", quality=0.5) == "a.png 100 0.5"
    assert repr(resize) == "<multinode function resize(image: str, width: int = 100, *, quality: float = 0.8) -> str>"


def test_the_spec_is_what_a_deploy_registers() -> None:
    mn = Multinode()

    @mn.function(
        cpu=2,
        memory="512 MiB",
        timeout=timedelta(minutes=5),
        max_concurrency=3,
        retry=Retry(4, initial_delay=timedelta(seconds=2), max_delay=60, retry_on=[ValueError, "billing.Declined"]),
        max_queue_time=timedelta(hours=2),
    )
    def charge(order: str, *amounts: int) -> None:
        """Take the money.

        All of it.
        """

    assert charge.spec() == {
        "function_name": "charge",
        "docker_image_override": None,
        "resource_spec": {"virtual_cpus": 2.0, "memory_gbs": 0.5, "max_concurrency": 3},
        "execution_spec": {
            "max_retries": 4,
            "timeout_seconds": 300,
            "max_queue_seconds": 7200,
            "retry": {
                "initial_delay_s": 2.0,
                "backoff": 2.0,
                "max_delay_s": 60.0,
                "jitter": 0.1,
                "retry_on": ["ValueError", "billing.Declined"],
            },
        },
        "description": "Take the money.",
        "signature": ["order", "*amounts"],
    }


def test_the_defaults_are_the_documented_ones() -> None:
    mn = Multinode()

    @mn.function
    def work() -> None: ...

    assert work.spec()["resource_spec"] == {"virtual_cpus": 0.1, "memory_gbs": 0.25, "max_concurrency": 10}
    assert work.spec()["execution_spec"] == {
        "max_retries": 0,
        "timeout_seconds": 3600,
        "max_queue_seconds": None,
        "retry": None,
    }
    assert work.spec()["description"] is None


def test_functions_are_kept_by_name_in_the_order_of_definition() -> None:
    mn = Multinode()

    @mn.function
    def zebra() -> None: ...

    @mn.function()
    def ape() -> None: ...

    assert list(mn.functions.items()) == [("zebra", zebra), ("ape", ape)]


def test_a_signature_longer_than_the_control_plane_keeps_is_left_out() -> None:
    mn = Multinode()
    namespace: dict[str, Any] = {}
    exec(f"def wide({', '.join(f'a{n}' for n in range(256))}): pass", namespace)
    assert mn.function(namespace["wide"]).spec()["signature"] is None


@pytest.mark.parametrize(
    ("memory", "gib"),
    [("256 MiB", 0.25), ("4GiB", 4.0), (" 1.5 GiB ", 1.5), ("1048576 KiB", 1.0), ("244 GiB", 244.0)],
)
def test_memory_takes_a_number_and_a_unit(memory: str, gib: float) -> None:
    assert spec_of(memory=memory)["resource_spec"]["memory_gbs"] == gib


@pytest.mark.parametrize("timeout", [timedelta(seconds=90), 90, 90.0])
def test_a_duration_is_a_timedelta_or_seconds(timeout: Any) -> None:
    assert spec_of(timeout=timeout)["execution_spec"]["timeout_seconds"] == 90
    assert spec_of(max_queue_time=timeout)["execution_spec"]["max_queue_seconds"] == 90


BAD = {
    "cpu": [0, -1, 32.1, True, "1", None, math.nan, math.inf],
    "memory": [
        "",
        "256",
        "256 MB",
        "256MB",
        "mib",
        "-1 GiB",
        "0 GiB",
        "245 GiB",
        "1e3 MiB",
        "١ GiB",
        256,
        None,
        "1 GiB\n1",
        "NaN GiB",
    ],
    "timeout": [
        0,
        -1,
        0.5,
        1.5,
        timedelta(0),
        timedelta(days=2),
        timedelta(milliseconds=1500),
        "1h",
        None,
        True,
        math.nan,
    ],
    "max_concurrency": [0, -1, 100_001, 1.0, True, "10", None],
    "max_retries": [-1, 51, 1.0, True, "1", None],
    "max_queue_time": [0, 0.5, timedelta(days=15), "1h", True, math.inf],
    "retry": [3, "often", Retry],
}


@pytest.mark.parametrize(("parameter", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_refused_when_the_decorator_runs(parameter: str, value: Any) -> None:
    with pytest.raises(ParameterValidationError, match=f"{parameter} is .*; allowed is"):
        Multinode().function(**{parameter: value})


BAD_RETRY: dict[str, list[Any]] = {
    "max_retries": [-1, 51, 1.5, True, None],
    "initial_delay": [-1, 86_401, timedelta(days=2), "1", None, math.nan],
    "max_delay": [-0.1, math.inf, True],
    "backoff": [0.9, 0, 100.1, "2", math.nan],
    "jitter": [-0.1, 1.1, None, True],
    "retry_on": [5, [5], [int], [""], ["  "], ["x" * 501], [ValueError()], ["E"] * 101, int],
}


@pytest.mark.parametrize(("parameter", "value"), [(name, value) for name, vs in BAD_RETRY.items() for value in vs])
def test_a_bad_value_of_a_retry_is_refused_when_it_is_made(parameter: str, value: Any) -> None:
    with pytest.raises(ParameterValidationError, match=f"Retry's {parameter} (is|has) .*; allowed is"):
        Retry(**{"max_retries": 1, parameter: value})


class OwnError(Exception):
    pass


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, None),
        ([], []),
        (ValueError, ["ValueError"]),
        ("OwnError", ["OwnError"]),
        ((OwnError, asyncio.TimeoutError), [f"{__name__}.OwnError", "TimeoutError"]),
        ((name for name in ["a.B", "C"]), ["a.B", "C"]),
    ],
)
def test_retry_on_takes_classes_and_names(given: Any, names: list[str] | None) -> None:
    retry = Retry(1, retry_on=given)
    assert retry.spec()["retry_on"] == names
    assert retry.spec()["retry_on"] == names, "a second reading gives the same"


def test_retry_and_max_retries_must_not_contradict_each_other() -> None:
    assert spec_of(retry=Retry(2), max_retries=2)["execution_spec"]["max_retries"] == 2
    with pytest.raises(ParameterValidationError, match="max_retries is 3 and retry says 2"):
        spec_of(retry=Retry(2), max_retries=3)


async def coroutine() -> None: ...
async def async_generator() -> Any:
    yield 1


class Thing:
    def method(self) -> None: ...

    @staticmethod
    def static() -> None: ...

    def __call__(self) -> None: ...


def größe() -> None: ...
def fine() -> None: ...


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (lambda: 1, "lambda"),
        (coroutine, "'coroutine' is an async function.*asyncio.run"),
        (async_generator, "'async_generator' is an async function"),
        (Thing.method, "'Thing.method' is a method"),
        (Thing.static, "'Thing.static' is a method"),
        (Thing().method, "is not a function"),
        (Thing(), "is not a function"),
        (Thing, "is not a function"),
        (functools.partial(fine), "is not a function"),
        (len, "is not a function"),
        (5, "5, which is not a function"),
        (größe, "ASCII letters"),
    ],
)
def test_what_is_no_plain_function_is_refused(code: Any, message: str) -> None:
    with pytest.raises(ParameterValidationError, match=message):
        Multinode().function(code)
    with pytest.raises(ParameterValidationError, match=message):
        Multinode().function(cpu=1)(code)


def test_a_name_longer_than_allowed_is_refused() -> None:
    def work() -> None: ...

    work.__name__ = "w" * 129
    with pytest.raises(ParameterValidationError, match="at most 128"):
        Multinode().function(work)


def test_a_decorated_function_is_not_decorated_again() -> None:
    mn = Multinode()
    with pytest.raises(ParameterValidationError, match=r"'fine' is decorated with @mn\.function twice"):
        mn.function(mn.function(fine))


def test_functions_made_inside_functions_are_allowed() -> None:
    mn = Multinode()

    def make(factor: int) -> Callable[[int], int]:
        def times(x: int) -> int:
            return factor * x

        return times

    assert mn.function(make(3))(4) == 12
    assert list(mn.functions) == ["times"]


def test_a_second_function_of_the_same_name_is_refused_with_both_places() -> None:
    mn = Multinode()

    @mn.function
    def work() -> int:
        return 1

    first = work

    def again() -> int:
        return 2

    again.__name__ = "work"
    with pytest.raises(
        DuplicateFunctionError, match=r"'work' is defined twice, in .*test_app.py:\d+ and in .*test_app"
    ):
        mn.function(again)
    assert mn.functions["work"] is first


def test_a_function_runs_right_here_when_it_is_called() -> None:
    mn = Multinode()

    @mn.function
    def add(a: int, b: int = 1) -> int:
        return a + b

    assert add(1, 2) == 3
    assert add.call_local(1) == 2
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        add()  # type: ignore[call-arg]


def test_a_generator_that_runs_here_gives_its_last_value() -> None:
    mn = Multinode()

    @mn.function
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    @mn.function
    def total(n: int) -> Any:
        yield 1
        return n

    @mn.function
    def inner() -> Any:
        return (n for n in (1, 2, 3))

    assert count(4) == 3
    assert count(0) is None
    assert total(9) == 9
    assert inner() == 3


def test_what_the_function_raises_comes_out_as_it_is() -> None:
    mn = Multinode()

    @mn.function
    def fail() -> None:
        raise OwnError("mine")

    with pytest.raises(OwnError, match="mine"):
        fail()


def test_a_function_that_is_only_defined_here_says_how_to_reach_a_deployed_one() -> None:
    mn = Multinode()
    work = mn.function(fine)
    calls: list[Callable[[], object]] = [
        lambda: work.start(),
        lambda: work.call_remote(),
        lambda: work.get("inv-1"),
        lambda: work.cancel("inv-1"),
        lambda: work.await_result("inv-1"),
        lambda: work.list(),
        lambda: work.map([]),
        lambda: work.starmap([]),
    ]
    for call in calls:
        with pytest.raises(
            InvalidUseError, match=r"multinode deploy.*get_deployed_function\('NAME', 'fine'\).*call_local"
        ):
            call()


def test_a_decorated_function_can_be_pickled_with_its_code() -> None:
    import cloudpickle  # type: ignore[import-untyped]

    mn = Multinode()

    @mn.function(cpu=1)
    def double(x: int) -> int:
        return 2 * x

    again = pickle.loads(cloudpickle.dumps(double))
    assert again(4) == 8
    assert again.spec() == double.spec()
