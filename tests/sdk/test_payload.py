"""Values as text and back: exact JSON, or an envelope, within the limit."""

import base64
import json
import math
import pickle
import platform
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode.errors import (
    FunctionInputSizeLimitExceeded,
    FunctionOutputSizeLimitExceeded,
    InvocationCancelledError,
    PayloadError,
)
from multinode.payload import decode_arguments, decode_value, encode_arguments, encode_value
from multinode_protocol.limits import MAX_PAYLOAD_BYTES
from tests.support.values import Level, Point, Word, is_envelope, same

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
ANYTHING = st.recursive(
    PLAIN | st.binary() | st.floats(allow_nan=False) | st.text(st.characters()) | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.integers() | st.text() | st.booleans() | st.none(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_travel_as_json_that_any_program_reads(value: Any) -> None:
    if isinstance(value, dict) and "__multinode__" in value:
        return
    text = encode_value(value)
    assert same(json.loads(text), value)
    assert same(decode_value(text), value)


@given(ANYTHING)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    assert same(decode_value(encode_value(value)), value)


@given(st.lists(ANYTHING, max_size=3), st.dictionaries(st.text(min_size=1), ANYTHING, max_size=3))
def test_all_arguments_come_back_as_they_were(args: list[Any], kwargs: dict[str, Any]) -> None:
    again_args, again_kwargs = decode_arguments(encode_arguments(args, kwargs))
    assert same(again_args, args)
    assert same(again_kwargs, kwargs)


def test_plain_arguments_are_a_json_array_of_two() -> None:
    assert encode_arguments((1, "ü"), {"z": None}) == '[[1,"ü"],{"z":null}]'


def test_plain_results_are_bare_json() -> None:
    assert encode_value({"tour": [1, 2.5], "done": True}) == '{"tour":[1,2.5],"done":true}'


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        [(1,)],
        {1: "a"},
        {None: 1},
        {True: 1},
        {"a": {2: 3}},
        {1, 2},
        b"bytes",
        Word("w"),
        Level.HIGH,
        OrderedDict(a=1),
        Point(1, 2),
        math.inf,
        datetime(2024, 1, 1, tzinfo=UTC),
        "\ud800",
        ["\udfff"],
        {"\ud800": 1},
        10**5000,
        {"__multinode__": "cloudpickle", "data": "x"},
        {"__multinode__": 1},
        {"py/tuple": [1]},
        [{"py/object": "builtins.bytearray"}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_would_change_goes_as_an_envelope(value: Any) -> None:
    text = encode_value(value)
    assert is_envelope(text)
    again = decode_value(text)
    assert again == value
    assert type(again) is type(value)


def test_nan_stays_nan() -> None:
    text = encode_value([math.nan])
    assert is_envelope(text)
    assert math.isnan(decode_value(text)[0])


def test_an_object_with_the_envelopes_key_deeper_down_is_plain() -> None:
    assert encode_value([{"__multinode__": 1}]) == '[{"__multinode__":1}]'
    assert decode_arguments(encode_arguments([{"__multinode__": 1}], {})) == ([{"__multinode__": 1}], {})


def test_an_argument_named_like_the_envelopes_key_is_an_argument() -> None:
    assert decode_arguments(encode_arguments([], {"__multinode__": 1})) == ([], {"__multinode__": 1})


def test_shared_and_cyclic_values_keep_their_shape_in_an_envelope() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    again = decode_value(encode_value(loop))
    assert again[1] is again


def test_a_value_that_json_would_blow_up_stays_small() -> None:
    value: list[Any] = [0]
    for _ in range(60):
        value = [value, value]  # 2**60 numbers as JSON
    text = encode_value(value)
    assert is_envelope(text)
    assert len(text) < 5_000


def test_very_deep_values_are_not_written_as_json() -> None:
    value: list[Any] = []
    for _ in range(300):
        value = [value]
    text = encode_value(value)
    assert is_envelope(text)
    assert decode_value(text) == value


def test_a_value_nested_too_deeply_even_to_be_pickled_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(PayloadError, match=r"The value cannot be pickled: (RecursionError|PicklingError)"):
        encode_value(value)
    while value:  # taken apart by hand: comparing or printing it would recurse
        value = value[0]


def test_an_envelope_says_what_it_holds_and_what_made_it() -> None:
    document = json.loads(encode_value((1, "two")))
    assert document["repr"] == "(1, 'two')"
    assert document["python"] == platform.python_version()
    assert pickle.loads(base64.b64decode(document["data"])) == (1, "two")


def test_an_envelope_names_the_packages_of_what_it_holds() -> None:
    from importlib.metadata import version

    import urllib3

    document = json.loads(encode_value(urllib3.Timeout(3)))
    assert document["packages"] == {"urllib3": version("urllib3")}


def test_an_envelopes_repr_is_short_however_large_the_value() -> None:
    document = json.loads(encode_value(("x" * 50_000,)))
    assert len(document["repr"]) <= 1_000


def test_a_value_whose_repr_raises_can_still_be_sent() -> None:
    assert decode_value(encode_value(Grumpy())).__class__ is Grumpy
    assert decode_value(encode_value((10**5000,))) == (10**5000,)


class Grumpy:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_what_cannot_be_pickled_is_refused_with_the_reason() -> None:
    with pytest.raises(PayloadError, match=r"The arguments cannot be pickled: TypeError: cannot pickle.*lock"):
        encode_arguments((threading.Lock(),), {})
    with pytest.raises(PayloadError, match="The value cannot be pickled"):
        encode_value(threading.Lock())


class Interrupting:
    """Is interrupted while it is pickled."""

    def __reduce__(self) -> Any:
        raise InvocationCancelledError()


def test_an_interruption_while_a_value_is_pickled_is_not_a_fault_of_the_value() -> None:
    with pytest.raises(InvocationCancelledError):
        encode_value(Interrupting())


def interrupt() -> None:
    raise InvocationCancelledError()


class InterruptingLater:
    def __reduce__(self) -> Any:
        return interrupt, ()


def test_an_interruption_while_a_value_is_unpickled_is_not_a_fault_of_the_value() -> None:
    text = encode_value(InterruptingLater())
    with pytest.raises(InvocationCancelledError):
        decode_value(text)


def test_the_limit_counts_bytes_not_characters() -> None:
    fits = "ü" * ((MAX_PAYLOAD_BYTES - 2) // 2)  # two bytes each, and two quotes
    assert len(encode_value(fits).encode()) == MAX_PAYLOAD_BYTES
    with pytest.raises(FunctionOutputSizeLimitExceeded, match="250,001 bytes once encoded; at most 250,000"):
        encode_value(fits + "x")


def test_arguments_over_the_limit_are_refused() -> None:
    fits = "x" * (MAX_PAYLOAD_BYTES - len('[[""],{}]'))
    assert len(encode_arguments((fits,), {})) == MAX_PAYLOAD_BYTES
    with pytest.raises(FunctionInputSizeLimitExceeded, match="The arguments take 250,001 bytes"):
        encode_arguments((fits + "x",), {})


@pytest.mark.parametrize("value", [list(range(300_000)), b"x" * 300_000])
def test_a_large_value_of_any_kind_is_refused_by_its_size(value: object) -> None:
    with pytest.raises(FunctionOutputSizeLimitExceeded):
        encode_value(value)


@pytest.mark.parametrize(
    ("text", "args", "kwargs"),
    [
        ("[[1,2],{}]", [1, 2], {}),
        ('[[],{"x":1}]', [], {"x": 1}),
        (' [ [ "a" ] , { } ] ', ["a"], {}),
        ("{}", [], {}),
        ('{"x":1,"y":[2]}', [], {"x": 1, "y": [2]}),
        ('[{"py/tuple":[]},{}]', [], {}),
        ('[{"py/tuple":[1,{"py/tuple":[2]}]},{"x":{"py/set":[3]}}]', [1, (2,)], {"x": {3}}),
        ('[{"py/tuple":[{"py/b64":"YWI="}]},{}]', [b"ab"], {}),
        # Only what begins as the first generation's calls do is read as one.
        ('[[{"py/tuple":[1]}],{}]', [{"py/tuple": [1]}], {}),
        ('{"py/tuple":[1]}', [], {"py/tuple": [1]}),
    ],
)
def test_inputs_of_all_clients_are_read(text: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    assert decode_arguments(text) == (args, kwargs)


@pytest.mark.parametrize("text", ["[1,2]", "[]", "[[1]]", "[[1],[2]]", "[[1],{},3]", "5", "null", '"x"', "[{},[]]"])
def test_an_input_that_is_no_call_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(PayloadError, match="The input is not a call: it must be a JSON array"):
        decode_arguments(text)


@pytest.mark.parametrize("text", ["", "{", "nope", "[" * 100_000, "{'x': 1}"])
def test_text_that_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(PayloadError, match="JSON"):
        decode_arguments(text)
    with pytest.raises(PayloadError, match="JSON"):
        decode_value(text)


def test_an_envelope_with_other_than_a_call_is_no_input() -> None:
    with pytest.raises(PayloadError, match="The input is not a call"):
        decode_arguments(encode_value((1, 2)))
    with pytest.raises(PayloadError, match="The input is not a call"):
        decode_arguments(encode_value(([1], {2: 3})))


def envelope(**changes: Any) -> str:
    return json.dumps({**json.loads(encode_value((1,))), **changes})


@pytest.mark.parametrize("data", [None, 5, "###", "gAU"])
def test_a_damaged_envelope_is_refused(data: object) -> None:
    with pytest.raises(PayloadError, match="damaged"):
        decode_value(envelope(data=data))


def test_an_envelope_without_data_is_refused() -> None:
    with pytest.raises(PayloadError, match="damaged"):
        decode_value('{"__multinode__":"cloudpickle"}')


def test_an_envelope_of_a_later_kind_asks_for_an_upgrade() -> None:
    with pytest.raises(PayloadError, match=r"'arrow'.*upgrade"):
        decode_value(envelope(__multinode__="arrow"))


def test_what_cannot_be_unpickled_says_which_versions_differ() -> None:
    data = base64.b64encode(b"\x80\x05cno_such_package.thing\nThing\n.").decode()
    made = envelope(data=data, python="3.11.99", packages={"no_such_package": "1.2", "pytest": "0.1"}, repr="<Thing>")
    with pytest.raises(PayloadError) as caught:
        decode_value(made)
    message = str(caught.value)
    assert "ModuleNotFoundError: No module named 'no_such_package'" in message
    assert f"Python 3.11.99 there, {platform.python_version()} here" in message
    assert "no_such_package 1.2 there, not installed here" in message
    assert f"pytest 0.1 there, {pytest.__version__} here" in message
    assert "<Thing>" in message


def test_versions_that_are_the_same_are_not_blamed() -> None:
    data = base64.b64encode(b"\x80\x05cno_such_package\nThing\n.").decode()
    with pytest.raises(PayloadError, match="Python and packages are the same as there"):
        decode_value(envelope(data=data))


def test_functions_of_another_python_are_refused_before_they_run() -> None:
    text = json.dumps({**json.loads(encode_value(lambda: 1)), "python": "3.9.1"})
    with pytest.raises(PayloadError, match=r"holds functions.*Python 3.9.1 there"):
        decode_value(text)


def test_data_of_another_python_is_read() -> None:
    assert decode_value(envelope(python="3.9.1")) == (1,)


def test_a_pickle_that_raises_anything_is_a_payload_error() -> None:
    with pytest.raises(PayloadError, match="ZeroDivisionError"):
        decode_value(encode_value(Exploding()))


def explode() -> None:
    raise ZeroDivisionError("boom")


class Exploding:
    def __reduce__(self) -> Any:
        return explode, ()


def test_lambdas_and_local_classes_travel() -> None:
    class Local:
        def value(self) -> int:
            return 42

    assert decode_value(encode_value(Local())).value() == 42
    assert decode_value(encode_value(lambda x: x + 1))(1) == 2
