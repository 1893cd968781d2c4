"""``requirements.txt`` -> what is installed, and what the cache depends on."""

import os
from pathlib import Path

import pytest

from multinode_cli.errors import UsageFailure
from multinode_cli.project.requirements import Requirements, read_requirements


def write(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = folder / f"{name}.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def test_without_the_file_nothing_is_required(tmp_path: Path) -> None:
    assert read_requirements(tmp_path) is None


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing yet\n  \n"])
def test_an_empty_file_requires_nothing(tmp_path: Path, content: str) -> None:
    assert read_requirements(write(tmp_path, requirements=content)) is None


@pytest.mark.parametrize(
    "content",
    [b"numpy==2.1\r\nclick\r\n", b"\xef\xbb\xbfnumpy==2.1\nclick\n", "numpy==2.1\r\nclick\r\n".encode("utf-16")],
    ids=["windows", "byte order mark", "PowerShell"],
)
def test_the_same_text_in_every_encoding_and_line_ending_is_the_same(tmp_path: Path, content: bytes) -> None:
    expected = Requirements("numpy==2.1\nclick\n\n", "", names_files=False)
    assert read_requirements(write(tmp_path, requirements=content)) == expected


def test_included_files_and_constraints_are_read_into_place(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write(tmp_path, requirements="-r more/base.txt\nclick\n-c limits.txt", limits="click<9")
    write(tmp_path / "more", base="numpy\n--requirement=deep.txt", deep="scipy")
    read = read_requirements(tmp_path)
    assert read is not None
    assert read.text.split() == ["numpy", "scipy", "click"]
    assert read.constraints.split() == ["click<9"]


@pytest.mark.parametrize("line", ["-rbase.txt", "-r base.txt", "  --requirement  base.txt", "-r base.txt  # all"])
def test_every_way_to_write_an_include_is_understood(tmp_path: Path, line: str) -> None:
    read = read_requirements(write(tmp_path, requirements=line, base="numpy"))
    assert read is not None
    assert read.text.split() == ["numpy"]


@pytest.mark.parametrize(
    ("line", "names_files"),
    [
        ("numpy==2.1", False),
        ("package[extra]>=1 ; python_version > '3.8'", False),
        ("tool @ git+https://example.org/tool.git@main", False),
        ("--index-url https://example.org/simple", False),
        (".", True),
        ("./package", True),
        ("wheels/demo-1.0-py3-none-any.whl", True),
        ("demo-1.0-py3-none-any.whl", True),
        ("demo @ file:///srv/demo", True),
        ("-e ./package", True),
        ("--find-links wheels/", True),
    ],
)
def test_a_requirement_that_names_a_file_is_recognised(tmp_path: Path, line: str, names_files: bool) -> None:
    read = read_requirements(write(tmp_path, requirements=line))
    assert read is not None
    assert read.names_files is names_files


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"requirements": "-r ../outside.txt"}, r"line 1 includes \.\./outside\.txt, which is not among"),
        ({"requirements": "a\n-r missing.txt"}, r"requirements\.txt, line 2 includes missing\.txt"),
        ({"requirements": "-r requirements.txt"}, "which includes it in turn"),
        ({"requirements": "-r b.txt", "b": "-r requirements.txt"}, r"b\.txt, line 1 .* which includes it in turn"),
        ({"requirements": b"caf\xe9"}, "is not UTF-8 text"),
        ({"requirements": b"a\x00b"}, "NUL bytes"),
        ({"requirements": "#" * 1_000_001}, "larger than 1,000,000 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, files: dict[str, str | bytes], message: str) -> None:
    with pytest.raises(UsageFailure, match=message):
        read_requirements(write(tmp_path, **files))


@pytest.mark.requires("unprivileged")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    os.chmod(write(tmp_path, requirements="numpy") / "requirements.txt", 0)
    with pytest.raises(UsageFailure, match=r"requirements\.txt cannot be read: Permission denied"):
        read_requirements(tmp_path)
