"""The data directory: where it is, and which folders are refused before anything in them is touched."""

import os
import stat
from pathlib import Path

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectoryError, default_data_dir, prepare


def test_the_variable_goes_before_xdg_and_xdg_before_home() -> None:
    everything = {"MULTINODE_DATA_DIR": "/a", "XDG_DATA_HOME": "/b", "HOME": "/c"}
    assert default_data_dir(everything) == Path("/a")
    assert default_data_dir({"XDG_DATA_HOME": "/b", "HOME": "/c"}) == Path("/b/multinode")
    assert default_data_dir({"HOME": "/c"}) == Path("/c/.local/share/multinode")


def test_a_relative_xdg_folder_is_ignored() -> None:
    assert default_data_dir({"XDG_DATA_HOME": "b", "HOME": "/c"}) == Path("/c/.local/share/multinode")


def test_a_new_directory_is_made_with_its_parents_and_for_the_user_alone(tmp_path: Path) -> None:
    directory = prepare(tmp_path / "a" / "b")
    assert stat.S_IMODE(directory.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(directory.secrets.stat().st_mode) == 0o700
    assert {entry.name for entry in directory.root.iterdir()} == {"logs", "workers", "bundles", "secrets"}


def test_preparing_twice_keeps_what_is_there(tmp_path: Path) -> None:
    directory = prepare(tmp_path / "data")
    (directory.logs / "kept").write_text("x")
    assert prepare(tmp_path / "data") == directory
    assert (directory.logs / "kept").read_text() == "x"


def test_an_open_directory_of_ours_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    prepare(tmp_path / "data")
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert prepare(Path("data")).root == tmp_path / "data"


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(DataDirectoryError, match=r"not a folder.*--data-dir"):
        prepare(tmp_path / "data")


def test_a_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataDirectoryError, match="--data-dir"):
        prepare(tmp_path / "file" / "data")


def test_a_folder_of_other_files_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    tmp_path.chmod(0o755)
    with pytest.raises(DataDirectoryError, match=r"thesis\.tex.*empty folder"):
        prepare(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Modes do not stop root, under whom tests may run: the kernel's answer is put in place of its question.
    def refuse(path: object, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    prepare(tmp_path / "data")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DataDirectoryError, match=r"cannot be written: Permission denied.*--data-dir"):
        prepare(tmp_path / "data")


@pytest.mark.requires("unprivileged")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(DataDirectoryError, match="cannot be written"):
        prepare(tmp_path / "data")
