"""Values to and from the first generation's SDK: its plain containers, and nothing that could run code."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from multinode.errors import (
    FunctionOutputSizeLimitExceeded,
    PayloadError,
)
from multinode.payload import decode_arguments, decode_value, encode_value, encode_value_for
from multinode_protocol.limits import MAX_PAYLOAD_BYTES
from tests.support.values import Level, Point, Word, is_envelope, same


def test_lists_and_dictionaries_that_the_first_generation_repeats_stay_shared() -> None:
    # Numbered as they begin: 0 the call, 1 [7], 2 {"a": 5}, 3 the keyword arguments. Tuples have no number.
    text = '[{"py/tuple":[[7],{"py/tuple":[{"a":5},{"py/id":1}]},{"py/id":2}]},{"again":{"py/id":1}}]'
    args, kwargs = decode_arguments(text)
    assert args == [[7], ({"a": 5}, [7]), {"a": 5}]
    assert args[0] is args[1][1] is kwargs["again"]
    assert args[2] is args[1][0]


def test_a_list_that_holds_itself_is_read_from_the_first_generation() -> None:
    (loop,), _ = decode_arguments('[{"py/tuple":[[{"py/id":1}]]},{}]')
    assert loop[0] is loop


@pytest.mark.parametrize(
    "part",
    [
        {"py/object": "builtins.bytearray"},
        {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["true"]}]},
        {"py/function": "os.system"},
        {"py/type": "builtins.int"},
        {"py/repr": "os/os.getpid()"},
        {"py/tuple": [1], "py/object": "builtins.bytearray"},
        {"py/tuple": 1},
        {"py/id": 7},
        {"py/id": -1},
    ],
    ids=json.dumps,
)
def test_objects_of_the_first_generations_encoding_are_never_built(part: object) -> None:
    for text in (json.dumps([{"py/tuple": [part]}, {}]), json.dumps([{"py/tuple": []}, {"x": [part]}])):
        with pytest.raises(PayloadError, match=r"Pass plain data, .*\. It holds \{"):
            decode_arguments(text)


@pytest.mark.parametrize("part", ['{"py/set":[[1]]}', '{"py/b64":"###"}', '{"py/b64":"Y"}', "[" * 900 + "]" * 900])
def test_what_the_first_generation_cannot_have_sent_is_a_payload_error(part: str) -> None:
    with pytest.raises(PayloadError, match=r"multinode 1\.0 is damaged|nested too deeply"):
        decode_arguments(f'[{{"py/tuple":[{part}]}},{{}}]')


FIRST_GENERATION = '[{"py/tuple":[]},{}]'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, "ü"]}, '{"a":[1,"ü"]}'),
        ((1, (2,)), '{"py/tuple": [1, {"py/tuple": [2]}]}'),
        ([{3}], '[{"py/set": [3]}]'),
        (b"ab", '{"py/b64": "YWI="}'),
        ([math.inf], "[Infinity]"),
        ("\ud800", '"\\ud800"'),
    ],
    ids=repr,
)
def test_a_caller_of_the_first_generation_is_sent_plain_containers_as_it_knows_them(value: object, text: str) -> None:
    assert encode_value_for(FIRST_GENERATION)(value) == text
    assert same(decode_value(text), value)


def test_a_caller_of_the_first_generation_is_sent_text_for_keys_that_are_none() -> None:
    value = {1: "a", None: "b", False: "c", 2.5: "d"}
    assert encode_value_for(FIRST_GENERATION)({"in": value}) == (
        '{"in": {"1": "a", "null": "b", "False": "c", "2.5": "d"}}'
    )


@pytest.mark.parametrize(
    "value",
    [
        datetime(2024, 1, 1, tzinfo=UTC),
        Point(1, 2),
        Word("w"),
        (1, Level.HIGH),
        {1: "a", "1": "b"},
        {(1, 2): 3},
        ({"py/object": "builtins.bytearray"},),
        {"__multinode__": (1,)},
        (10**5000,),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_reaches_a_caller_of_the_first_generation_as_the_envelope(value: object) -> None:
    text = encode_value_for(FIRST_GENERATION)(value)
    assert is_envelope(text)
    assert decode_value(text) == value


def test_a_value_without_end_reaches_a_first_generation_caller_as_the_envelope() -> None:
    loop: list[Any] = [()]
    loop.append(loop)
    shared: Any = ()
    for _ in range(60):
        shared = (shared, shared)  # 2**60 tuples as JSON
    encode = encode_value_for(FIRST_GENERATION)
    assert is_envelope(encode(loop))
    assert is_envelope(encode(shared))


@pytest.mark.parametrize("text", ["[[],{}]", "{}", '{"py/tuple":[]}', '[[{"py/tuple":[]}],{}]'])
def test_other_callers_are_sent_what_any_program_reads(text: str) -> None:
    assert encode_value_for(text) is encode_value


def test_the_limit_holds_for_callers_of_the_first_generation() -> None:
    with pytest.raises(FunctionOutputSizeLimitExceeded):
        encode_value_for(FIRST_GENERATION)(("x" * MAX_PAYLOAD_BYTES,))
