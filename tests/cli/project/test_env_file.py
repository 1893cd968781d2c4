"""``.env``: read strictly, kept privately."""

import json
import os
import stat
from pathlib import Path

import pytest

from multinode_cli.errors import UsageFailure
from multinode_cli.project.env_file import MAX_VALUE_BYTES, read_env_file, store_secrets


def write(folder: Path, content: bytes) -> Path:
    (folder / ".env").write_bytes(content)
    return folder


def test_no_file_means_no_variables(tmp_path: Path) -> None:
    assert read_env_file(tmp_path) == {}


def test_values_quotes_comments_and_exports_are_read(tmp_path: Path) -> None:
    content = b"# comment\n\nA=1\nexport B=two words\nC='single $A'\nD=\"double \\n line\"\nE=\nF=x # comment\nG=a#b\n"
    assert read_env_file(write(tmp_path, content)) == {
        "A": "1",
        "B": "two words",
        "C": "single $A",
        "D": "double \n line",
        "E": "",
        "F": "x",
        "G": "a#b",
    }


def test_windows_line_endings_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    assert read_env_file(write(tmp_path, b"\xef\xbb\xbfA=1\r\nB=2\r\n")) == {"A": "1", "B": "2"}


def test_a_value_is_not_filled_in_from_other_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_SECRET", "leaked")
    assert read_env_file(write(tmp_path, b"A=${HOST_SECRET}\n")) == {"A": "${HOST_SECRET}"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\n\nTOKEN\n", r"\.env, line 3 has no '='"),
        (b'A=1\nB="never closed\nC=3\n', r"\.env, line 2 .*quote is never closed"),
        (b"A B=1\n", r"\.env, line 1 is not NAME=value"),
        (b"1A=1\n", r"line 1: '1A' is not a valid variable name"),
        (b"A-B=1\n", r"line 1: 'A-B' is not a valid variable name"),
        (b"A=1\nA=2\n", r"line 2 sets A again; it is already set on line 1"),
        (b"AWS_SECRET_ACCESS_KEY=1\n", r"line 1: AWS_SECRET_ACCESS_KEY is reserved"),
        (b"MULTINODE_API_KEY=1\n", "MULTINODE_API_KEY is reserved"),
        (b"PATH=/bin\n", "PATH is reserved"),
        (b"LD_PRELOAD=x\n", "LD_PRELOAD is reserved"),
        (b"PYTHONPATH=x\n", "PYTHONPATH is reserved"),
        (b"A=\x00\n", "NUL byte"),
        ("A=1\n".encode("utf-16"), "not UTF-8 text"),
        (b"A=" + b"x" * (MAX_VALUE_BYTES + 1), r"the value of A has 100,001 bytes"),
        (b"A=" + b"x" * 1_000_001, "larger than 1,000,000 bytes"),
        (b"".join(b"A%d=%s\n" % (n, b"x" * 99_000) for n in range(6)), "holds 594,012 bytes of values"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(UsageFailure, match=message):
        read_env_file(write(tmp_path, content))


def test_an_error_never_quotes_a_value(tmp_path: Path) -> None:
    with pytest.raises(UsageFailure) as caught:
        read_env_file(write(tmp_path, b"A=hunter2\nA=hunter3\n"))
    assert "hunter" not in str(caught.value.message)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(UsageFailure, match=r"\.env is not a file"):
        read_env_file(tmp_path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(UsageFailure, match=r"\.env is not a file"):
        read_env_file(tmp_path)


def test_secrets_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    path = store_secrets({"B": "2", "A": "1"}, tmp_path / "secrets" / "project")
    assert path is not None
    assert json.loads(path.read_text()) == {"A": "1", "B": "2"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_the_same_secrets_give_the_same_file_and_others_another(tmp_path: Path) -> None:
    folder = tmp_path / "secrets" / "project"
    first = store_secrets({"A": "1"}, folder)
    assert store_secrets({"A": "1"}, folder) == first
    assert store_secrets({"A": "2"}, folder) != first


def test_the_name_of_the_file_tells_nothing_to_who_guesses_the_value(tmp_path: Path) -> None:
    """A bare digest would be the same for the same value in every project."""
    names = {store_secrets({"A": "1"}, tmp_path / "secrets" / name).name for name in ("one", "two")}  # type: ignore[union-attr]
    assert len(names) == 2


def test_without_variables_nothing_is_written(tmp_path: Path) -> None:
    assert store_secrets({}, tmp_path / "secrets" / "project") is None
    assert not (tmp_path / "secrets").exists()
