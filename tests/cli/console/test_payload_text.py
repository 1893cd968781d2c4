"""Arguments, progress and results, made readable without unpickling."""

import json

import pytest

from multinode_cli.console.payload_text import as_json, as_text, call_text

ENVELOPE = json.dumps(
    {"__multinode__": "cloudpickle", "data": "gASV", "repr": "array([1, 2])", "python": "3.11.7", "packages": {}}
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a":[1,2.5,null]}', '{"a": [1, 2.5, null]}'),
        ('"grüße"', '"grüße"'),
        (ENVELOPE, "array([1, 2])"),
        ('{"py/tuple": [1, {"py/set": ["a"]}]}', "(1, {'a'})"),
        ('["\\"py/"]', '["\\"py/"]'),
        ('{"py/object": "builtins.bytearray"}', '{"py/object": "builtins.bytearray"}'),
        ("not JSON", "not JSON"),
        (None, ""),
    ],
)
def test_a_value_is_shown_as_json_or_by_its_repr(text: str | None, shown: str) -> None:
    assert as_text(text) == shown


def test_a_value_in_json_output_is_decoded_and_an_envelope_loses_its_data() -> None:
    assert as_json('{"a": 1}') == {"a": 1}
    assert as_json("not JSON") == "not JSON"
    assert as_json(None) is None
    assert as_json(ENVELOPE) == {
        "__multinode__": "cloudpickle",
        "repr": "array([1, 2])",
        "python": "3.11.7",
        "packages": {},
    }


def test_an_object_that_only_looks_like_an_envelope_is_shown_as_it_is() -> None:
    assert as_text('{"__multinode__": 1}') == '{"__multinode__": 1}'


def test_nesting_that_no_parser_takes_is_shown_as_text() -> None:
    deep = "[" * 100_000
    assert as_text(deep) == deep


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ('[[8,"a"],{"rounds":5}]', 'solve(8, "a", rounds=5)'),
        ("[[],{}]", "solve()"),
        ('{"n":3}', "solve(n=3)"),
        ('[{"py/tuple": [8, {"py/tuple": ["a"]}]}, {"rounds": null}]', "solve(8, ('a',), rounds=None)"),
        ('[{"py/tuple": [{"py/object": "a.B"}]}, {}]', 'solve([{"py/tuple": [{"py/object": "a.B"}]}, {}])'),
        ('[[{"py/tuple": [8]}], {}]', 'solve({"py/tuple": [8]})'),
        ("[1,2]", "solve([1, 2])"),
        (ENVELOPE, "solve(array([1, 2]))"),
        ("free text", "solve(free text)"),
    ],
)
def test_an_input_is_shown_as_the_call_it_stands_for(text: str, call: str) -> None:
    assert call_text("solve", text) == call
