"""Which files of a folder are deployed, and their copy."""

import inspect
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.bundle import collect, store


def project(folder: Path, **files: str) -> Path:
    """Return a folder with a ``main.py`` and `files`; ``__`` in a name stands for a slash."""
    for name, content in {"main.py": "", **files}.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def paths(folder: Path) -> list[str]:
    return [entry.path for entry in collect(folder).entries]


def test_all_files_are_collected_in_the_order_of_their_names(tmp_path: Path) -> None:
    assert paths(project(tmp_path, b="", a__c="", a__b="")) == ["a/b", "a/c", "b", "main.py"]


def test_secrets_repositories_caches_and_virtual_environments_always_stay_behind(tmp_path: Path) -> None:
    project(tmp_path)
    for name in (".env", ".env.local", "deep/.env", ".git/config", "__pycache__/x.pyc", "deep/__pycache__/x.pyc",
                 "myenv/pyvenv.cfg", "myenv/lib/x.py", ".DS_Store", ".mypy_cache/x"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("secret")
    (tmp_path / ".multinodeignore").write_text("!.env\n!.git\n!__pycache__\n!myenv\n")
    (tmp_path / ".env.example").write_text("TOKEN=")
    assert paths(tmp_path) == [".env.example", ".multinodeignore", "main.py"]


def test_nothing_of_the_environment_file_reaches_the_bundle_through_a_link(tmp_path: Path) -> None:
    project(tmp_path / "code")
    (tmp_path / "code" / ".env").write_text("TOKEN=secret")
    (tmp_path / "code" / "config").symlink_to(".env")
    collection = collect(tmp_path / "code")
    assert [entry.path for entry in collection.entries] == ["main.py"]
    assert collection.notes == ["config links to .env, which is not deployed, and was left out"]


def test_a_link_inside_the_folder_stays_a_link_and_leads_to_the_copy(tmp_path: Path) -> None:
    code = project(tmp_path / "code", data__v2__x="content")
    (code / "data" / "current").symlink_to("v2")
    (code / "absolute").symlink_to(code / "data" / "v2" / "x")
    copy = store(collect(code), tmp_path / "bundles").code_dir
    assert os.readlink(copy / "data" / "current") == "v2"
    assert (copy / "data" / "current" / "x").read_text() == "content"
    assert os.readlink(copy / "absolute") == "data/v2/x"


def test_a_link_to_a_link_leads_to_the_end_of_the_chain(tmp_path: Path) -> None:
    code = project(tmp_path / "code", a="content")
    (code / "b").symlink_to("a")
    (code / "sub").mkdir()
    (code / "sub" / "c").symlink_to("../b")
    copy = store(collect(code), tmp_path / "bundles").code_dir
    assert os.readlink(copy / "sub" / "c") == "../a"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").write_text("secret")
    code = project(tmp_path / "code", sub__x="")
    (code / "leak").symlink_to(target)
    with pytest.raises(UsageFailure, match=r"leak links to .*, outside the folder"):
        collect(code)


def test_a_link_out_of_the_folder_that_is_ignored_is_no_matter(tmp_path: Path) -> None:
    code = project(tmp_path / "code", **{".multinodeignore": "/leak\n"})
    (code / "leak").symlink_to("/etc/passwd")
    assert "leak" not in paths(code)


def test_links_that_lead_nowhere_or_in_a_circle_are_left_out_with_a_note(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "dangling").symlink_to("missing")
    (tmp_path / "circle").symlink_to("circle")
    collection = collect(tmp_path)
    assert [entry.path for entry in collection.entries] == ["main.py"]
    assert len(collection.notes) == 2


def test_pipes_and_sockets_are_left_out_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(tmp_path)
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        collection = collect(tmp_path)
    assert [entry.path for entry in collection.entries] == ["main.py"]
    assert sorted(collection.notes) == [
        "pipe is a pipe, socket or device and was left out",
        "socket is a pipe, socket or device and was left out",
    ]


def test_a_folder_without_main_is_refused_and_where_there_is_one_is_said(tmp_path: Path) -> None:
    project(tmp_path / "outer" / "inner")
    with pytest.raises(
        UsageFailure, match=r"outer has no main\.py.* There is inner/main\.py: did you mean .*/outer/inner\?"
    ):
        collect(tmp_path / "outer")


def test_a_main_that_is_ignored_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match=r"main\.py is excluded by an ignore rule"):
        collect(project(tmp_path, **{".gitignore": "*.py\n"}))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_main_that_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "main.py")
    with pytest.raises(UsageFailure, match=r"main\.py is not a file"):
        collect(tmp_path)


def test_a_main_that_links_inside_the_folder_is_a_main(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    (tmp_path / "main.py").symlink_to("app.py")
    assert paths(tmp_path) == ["app.py", "main.py"]


def test_too_much_is_refused_naming_the_largest_files(tmp_path: Path) -> None:
    project(tmp_path, data__large="x" * 600, small="x" * 10)
    with pytest.raises(
        UsageFailure, match=r"has 610 B, the limit is 500 B: data/large \(600 B\), small \(10 B\), main\.py"
    ):
        collect(tmp_path, max_bytes=500)


def test_too_many_files_are_refused_naming_where_they_are(tmp_path: Path) -> None:
    project(tmp_path, many__a="", many__b="", many__c="", few__a="")
    with pytest.raises(UsageFailure, match=r"has more than 4 files: many \(3 files\), "):
        collect(tmp_path, max_files=4)


@pytest.mark.requires("unprivileged")
def test_what_cannot_be_read_is_named_with_the_rule_that_leaves_it_out(tmp_path: Path) -> None:
    code = project(tmp_path / "code", closed__x="", secret="")
    (code / "closed").chmod(0)
    with pytest.raises(UsageFailure, match=r"the folder closed cannot be read; .*\.multinodeignore: /closed/"):
        collect(code)
    (code / "closed").chmod(0o700)
    (code / "secret").chmod(0)
    with pytest.raises(UsageFailure, match=r"secret cannot be read; .*\.multinodeignore: /secret"):
        store(collect(code), tmp_path / "bundles")


def test_a_file_that_disappears_while_it_is_copied_changes_nothing(tmp_path: Path) -> None:
    code = project(tmp_path / "code", gone="")
    collection = collect(code)
    (code / "gone").unlink()
    with pytest.raises(UsageFailure, match="gone changed while it was read; deploy again"):
        store(collection, tmp_path / "bundles")
    assert list((tmp_path / "bundles").iterdir()) == []


def test_a_file_that_turns_into_a_link_is_not_followed(tmp_path: Path) -> None:
    code = project(tmp_path / "code", innocent="x")
    collection = collect(code)
    (code / "innocent").unlink()
    (code / "innocent").symlink_to("/etc/passwd")
    with pytest.raises(ControlPlaneFailure):
        store(collection, tmp_path / "bundles")
    assert list((tmp_path / "bundles").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["with space", "new\nline", "-leading", "'quoted\"", "ünïcode", "b\udcffytes", "\x1b[2J"]
)
def test_any_name_that_the_file_system_takes_is_deployed(tmp_path: Path, name: str) -> None:
    code = project(tmp_path / "code")
    (code / name).write_text("content")
    copy = store(collect(code), tmp_path / "bundles").code_dir
    assert (copy / name).read_text() == "content"


def test_folders_nested_deeper_than_pythons_stack_are_walked(tmp_path: Path) -> None:
    project(tmp_path)
    deep = tmp_path
    for _ in range(300):
        deep /= "d"
        deep.mkdir()
    (deep / "x").write_text("")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 150)
    try:
        collection = collect(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    assert [entry.path for entry in collection.entries] == ["d/" * 300 + "x", "main.py"]


# --- the digest ---


def digest(folder: Path, bundles: Path) -> str:
    return store(collect(folder), bundles).sha256


def test_the_same_content_has_the_same_digest_wherever_and_whenever_it_was_written(tmp_path: Path) -> None:
    one = project(tmp_path / "one", a="1", sub__b="2")
    two = project(tmp_path / "two", sub__b="2", a="1")
    os.utime(two / "a", (1, 1))
    assert digest(one, tmp_path / "bundles") == digest(two, tmp_path / "bundles")


def test_every_difference_that_matters_changes_the_digest(tmp_path: Path) -> None:
    digests = {digest(project(tmp_path / "plain", a="1", b="2"), tmp_path / "bundles")}
    digests.add(digest(project(tmp_path / "content", a="1", b="3"), tmp_path / "bundles"))
    digests.add(digest(project(tmp_path / "name", a="1", c="2"), tmp_path / "bundles"))
    digests.add(digest(project(tmp_path / "moved", a="12", b=""), tmp_path / "bundles"))
    executable = project(tmp_path / "executable", a="1", b="2")
    (executable / "b").chmod(0o755)
    digests.add(digest(executable, tmp_path / "bundles"))
    link = project(tmp_path / "link", a="1")
    (link / "b").symlink_to("a")
    digests.add(digest(link, tmp_path / "bundles"))
    assert len(digests) == 6


def test_a_bundle_that_is_there_is_used_again_and_marked_as_used(tmp_path: Path) -> None:
    code = project(tmp_path / "code")
    first = store(collect(code), tmp_path / "bundles")
    os.utime(first.code_dir.parent, (1, 1))
    assert store(collect(code), tmp_path / "bundles") == first
    assert first.code_dir.parent.stat().st_mtime > 1_000_000
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [first.sha256]


def test_the_copy_keeps_the_executable_bit_and_no_other(tmp_path: Path) -> None:
    code = project(tmp_path / "code", run="", data="")
    (code / "run").chmod(0o4755)
    (code / "data").chmod(0o666)
    copy = store(collect(code), tmp_path / "bundles").code_dir
    assert stat.S_IMODE((copy / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((copy / "data").stat().st_mode) == 0o644


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "bundles").write_text("in the way")
    with pytest.raises(ControlPlaneFailure, match=r"cannot write to .*bundles"):
        store(collect(project(tmp_path / "code")), tmp_path / "bundles")
