"""Words and numbers for people."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode_cli.console.text import ago, clean, clip, duration, one_line, parse_duration, size, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a new title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jcleared", "cleared"),
        ("a\x00b\x07c\x7fd", "abcd"),
        ("safe\u202etxt.exe", "safetxt.exe"),
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("windows\r\nlines", "windows\nlines"),
        ("10%\r50%\r100%", "100%"),
        ("50%\r", "50%"),
        ("name\udcff", "name"),
        ("\x1b]never closed", ""),
    ],
)
def test_what_a_terminal_would_obey_is_removed(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text())
def test_cleaned_text_has_no_control_characters_but_tab_and_newline(text: str) -> None:
    assert {character for character in clean(text) if unicodedata.category(character) == "Cc"} <= {"\t", "\n"}


def test_a_value_on_one_line_has_its_blanks_collapsed() -> None:
    assert one_line("a\n  b\tc ") == "a b c"


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abc..."),
        ("日本語", 6, "日本語"),
        ("日本語語", 6, "日..."),
        ("abc", 2, ".."),
    ],
)
def test_a_text_is_cut_to_columns_not_to_characters(text: str, columns: int, shown: str) -> None:
    assert clip(text, columns) == shown


@given(st.text(), st.integers(min_value=0, max_value=40))
def test_a_cut_text_is_never_wider_than_asked(text: str, columns: int) -> None:
    assert width(clip(text, columns)) <= columns


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0 s"),
        (0.04, "0 s"),
        (0.44, "0.4 s"),
        (9.9, "9.9 s"),
        (9.97, "10 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (3 * 86_400 + 4 * 3600 + 59, "3 d 4 h"),
    ],
)
def test_a_length_of_time_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "just now"), (1.9, "just now"), (40, "40 s ago"), (61, "1 min ago"), (90_000, "1 d ago")]
)
def test_a_time_is_shown_by_how_long_ago_it_was(seconds: float, shown: str) -> None:
    assert ago(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3440, "3.4 kB"), (99_960, "100 kB"), (999_600, "1.0 MB"),
     (500_000_000, "500 MB"), (12_345_678_901_234, "12346 GB")],
)  # fmt: skip
def test_a_size_is_shown_in_decimal_units(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400), ("0.5s", 0.5)]
)
def test_a_length_of_time_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "5 m", "1.5h", "ten minutes", "30m1h", "1e3s"])
def test_what_is_no_length_of_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="90s, 10m, 2h, 1d or 1h30m"):
        parse_duration(text)
