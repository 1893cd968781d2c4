"""Errors as text that always fits and never raises."""

from pathlib import Path
from typing import Never

import pytest

from multinode.errors import NonRetryableError
from multinode.worker.error_report import cut, describe, trimmed_traceback

HERE = Path(__file__).parent


def caught(raising):
    """Return what `raising` raises, with its traceback."""
    try:
        raising()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def test_a_short_text_stays() -> None:
    assert cut("x" * 100, 100) == "x" * 100


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    text = cut("a" * 10_000 + "b" * 10_000, 1_000)
    assert len(text) == 1_000
    assert text.startswith("a" * 300)
    assert text.endswith("b" * 600)
    assert "\n[… 19,000 characters or more left out …]\n" in text


@pytest.mark.parametrize("limit", [0, 1, 10, 50])
def test_a_tiny_limit_holds_too(limit) -> None:
    assert len(cut("x" * 10_000, limit)) == limit


def test_the_message_is_class_and_text() -> None:
    assert describe(ValueError("no"), HERE)["error_message"] == "ValueError: no"
    assert describe(ValueError(), HERE)["error_message"] == "ValueError"
    assert describe(KeyError("key"), HERE)["error_message"] == "KeyError: 'key'"
    assert describe(SystemExit("bye"), HERE)["error_message"] == "SystemExit: the code called sys.exit('bye')"


def test_the_bases_have_simple_and_qualified_names_nearest_first() -> None:
    class Inner(NonRetryableError):
        pass

    report = describe(Inner(), HERE)
    assert report["retryable"] is False
    assert report["error_bases"][:4] == [
        "Inner",
        f"{__name__}.test_the_bases_have_simple_and_qualified_names_nearest_first.<locals>.Inner",
        "NonRetryableError",
        "multinode.errors.NonRetryableError",
    ]
    assert "object" not in report["error_bases"]


def test_files_of_the_project_are_named_relative_to_it() -> None:
    shown = trimmed_traceback(caught(lambda: 1 / 0), HERE)
    assert f'  File "{Path(__file__).name}", line ' in shown
    assert str(HERE) not in shown


def test_frames_of_multinode_are_left_out_also_in_causes() -> None:
    def cause() -> None:
        cut(None)  # type: ignore[arg-type]

    def outer() -> None:
        try:
            cause()
        except TypeError as error:
            raise ValueError("outer") from error

    shown = trimmed_traceback(caught(outer), HERE)
    assert "in cause" in shown
    assert "direct cause" in shown
    assert "failures.py" not in shown.replace("test_failures.py", "")


def test_groups_of_exceptions_are_shown_with_their_members() -> None:
    def group() -> Never:
        raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])

    shown = trimmed_traceback(caught(group), HERE)
    assert "ValueError: one" in shown
    assert "KeyError: 'two'" in shown


def test_a_syntax_error_names_the_file_relative_to_the_project(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("def broken(:\n")
    error = caught(lambda: compile((tmp_path / "main.py").read_text(), str(tmp_path / "main.py"), "exec"))
    assert 'File "main.py", line 1' in trimmed_traceback(error, tmp_path)


def test_causes_that_go_in_a_circle_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    shown = describe(first, HERE)["error_traceback"]
    assert shown.endswith("ValueError: first\n")


@pytest.mark.parametrize("trouble", [RuntimeError, SystemExit, KeyboardInterrupt, MemoryError])
def test_an_error_whose_text_raises_is_described_all_the_same(trouble) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise trouble

    report = describe(Mute(), HERE)
    assert report["error_message"] == f"Mute: (its text cannot be shown: __str__ raised {trouble.__name__})"


def test_an_error_that_hides_even_its_class_is_described_all_the_same() -> None:
    class Meta(type):
        def __getattribute__(cls, name):
            raise RuntimeError

    class Hidden(Exception, metaclass=Meta):
        pass

    report = describe(Hidden(), HERE)
    assert report["error_message"].startswith("an exception: ")


def test_texts_hold_no_nul_and_no_lone_surrogate() -> None:
    report = describe(ValueError("a\0b\ud800c"), HERE)
    assert report["error_message"] == "ValueError: a\\x00b\\ud800c"
    report["error_traceback"].encode("utf-8")


def test_texts_are_cut_to_the_limit() -> None:
    report = describe(ValueError("x" * 1_000_000), HERE)
    assert len(report["error_message"]) == 16_384
    assert len(report["error_traceback"]) <= 16_384
