"""From the command line to positional and keyword arguments."""

import io
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.client.arguments import from_options
from multinode_cli.errors import UsageFailure


@pytest.mark.parametrize(
    ("text", "pairs", "args", "kwargs"),
    [
        (None, (), [], {}),
        ("[1, [2]]", (), [1, [2]], {}),
        ('{"n": 3}', (), [], {"n": 3}),
        (None, ("n=3", "name=three", 'tags=["a"]', "flag=true", "empty="), [],
         {"n": 3, "name": "three", "tags": ["a"], "flag": True, "empty": ""}),
        (None, ("text=a=b",), [], {"text": "a=b"}),
        (None, ("number=NaN",), [], {"number": "NaN"}),
        ("[1]", ("n=2",), [1], {"n": 2}),
    ],
)  # fmt: skip
def test_arguments_are_read(text: str | None, pairs: tuple[str, ...], args: list[Any], kwargs: dict[str, Any]) -> None:
    assert from_options(text, pairs, None) == (args, kwargs)


@pytest.mark.parametrize(
    ("text", "pairs", "message"),
    [
        ("{n: 3}", (), "--args is not JSON: .* at line 1, column 2"),
        ("", (), "--args is not JSON: .*; to pass no arguments, leave it out"),
        ("3", (), r"must be a JSON array .* or object .*, such as '\[3\]'"),
        ("null", (), "must be a JSON array"),
        ("[NaN]", (), "NaN is not a number in JSON"),
        ('{"n": 1, "n": 2}', (), "the name 'n' occurs twice"),
        ("[" * 100_000, (), "--args is (nested too deeply|not JSON)"),
        ("[" + "9" * 5000 + "]", (), "--args is not JSON"),
        (None, ("n",), "--arg 'n' is not of the form name=value"),
        (None, ("=3",), "not of the form name=value"),
        ('{"n": 1}', ("n=2",), "the argument n is given twice"),
        (None, ("n=1", "n=2"), "the argument n is given twice"),
    ],
)
def test_what_cannot_be_arguments_is_refused(text: str | None, pairs: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageFailure, match=message) as caught:
        from_options(text, pairs, None)
    assert caught.value.exit_code == 2


def test_a_file_holds_what_args_would(tmp_path: Path) -> None:
    file = tmp_path / "arguments.json"
    file.write_bytes(b'\xef\xbb\xbf{"n": 3}\r\n')
    assert from_options(None, ("k=1",), str(file)) == ([], {"n": 3, "k": 1})


def test_a_dash_reads_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[4]")))
    assert from_options(None, (), "-") == ([4], {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match=r"nothing\.json cannot be read: No such file"):
        from_options(None, (), str(tmp_path / "nothing.json"))


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageFailure, match="binary is not UTF-8 text"):
        from_options(None, (), str(tmp_path / "binary"))


def test_two_places_for_the_same_thing_are_refused() -> None:
    with pytest.raises(UsageFailure, match="use either --args or --args-file, not both"):
        from_options("[1]", (), "-")
