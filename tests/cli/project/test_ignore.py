"""``.gitignore`` and ``.multinodeignore``; what git itself says is the measure."""

import shutil
import subprocess
from pathlib import Path

import pytest

from multinode_cli.project.ignore import Rules, is_always_left_out

FILES = (
    "main.py",
    "notes.log",
    "keep.log",
    "build/out.bin",
    "build/keep.txt",
    "src/build/out.bin",
    "src/deep/notes.log",
    "src/deep/data.csv",
    "src/a.tmp",
    "docs/a.txt",
    "docs/sub/b.txt",
    "#hash",
    "!bang",
    "space ",
    "foo/bar/baz",
    "x/foo/bar",
)

RULES = {
    "names at any depth": {".gitignore": "*.log\n"},
    "a negation": {".gitignore": "*.log\n!keep.log\n"},
    "a folder": {".gitignore": "build/\n"},
    "anchored": {".gitignore": "/build\n"},
    "a path": {".gitignore": "src/deep\n"},
    "double stars": {".gitignore": "**/deep/*.csv\nfoo/**\n"},
    "all but some": {".gitignore": "/*\n!/main.py\n!/docs\n"},
    "a file in an excluded folder cannot come back": {".gitignore": "build/\n!build/keep.txt\n"},
    "a file in a folder whose content is excluded can": {".gitignore": "build/*\n!build/keep.txt\n"},
    "escapes": {".gitignore": "\\#hash\n\\!bang\nspace\\ \n"},
    "comments and blanks": {".gitignore": "# *.py\n\n   \n*.tmp   \n"},
    "windows line endings": {".gitignore": "*.log\r\nbuild/\r\n"},
    "character classes": {".gitignore": "*.[ct]s[v]\n"},
    "a deeper file adds": {"src/.gitignore": "*.csv\n"},
    "a deeper file takes back": {".gitignore": "*.log\n", "src/.gitignore": "!*.log\n"},
    "a deeper file is anchored at its own folder": {"src/.gitignore": "/build\n/main.py\n"},
    "two levels": {".gitignore": "*.txt\n", "docs/.gitignore": "!*.txt\n", "docs/sub/.gitignore": "*.txt\n"},
    "lines that are no patterns": {".gitignore": "!\n/\n***\n*.log\n"},
}


def make(folder: Path, rules: dict[str, str]) -> Path:
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    for name, content in rules.items():
        (folder / name).write_bytes(content.encode())
    return folder


def kept(root: Path) -> set[str]:
    """Return the files below `root` that stay, walked as `bundle` does it."""
    found = set()
    pending = [(root, Rules.at(root))]
    while pending:
        folder, rules = pending.pop()
        for path in folder.iterdir():
            if path.name == ".git" or rules.leave_out(path, is_folder=path.is_dir()):
                continue
            if path.is_dir():
                pending.append((path, rules.inside(path)))
            else:
                found.add(path.relative_to(root).as_posix())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
def test_the_same_files_are_left_out_as_git_leaves_out(tmp_path: Path, rules: dict[str, str]) -> None:
    git = shutil.which("git")
    assert git is not None
    make(tmp_path, rules)
    subprocess.run([git, "init", "-q", str(tmp_path)], check=True)
    command = [git, "-C", str(tmp_path), "-c", "core.excludesFile=", "ls-files", "-z", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert kept(tmp_path) == {name for name in listed.split("\0") if name}


def test_multinodes_own_rules_win_over_gits_in_the_same_folder(tmp_path: Path) -> None:
    make(tmp_path, {".gitignore": "*.csv\n", ".multinodeignore": "!data.csv\n*.txt\n"})
    files = kept(tmp_path)
    assert "src/deep/data.csv" in files
    assert not any(name.endswith(".txt") for name in files)


def test_the_rules_of_the_repository_above_hold_too(tmp_path: Path) -> None:
    make(tmp_path / "top" / "project", {})
    (tmp_path / "top" / ".git").mkdir()
    (tmp_path / "top" / ".gitignore").write_text("*.log\n/project/docs\n")
    (tmp_path / ".gitignore").write_text("*.csv\n")  # above the repository
    files = kept(tmp_path / "top" / "project")
    assert "notes.log" not in files
    assert "docs/a.txt" not in files
    assert "src/deep/data.csv" in files


def test_a_folder_that_its_repository_ignores_can_still_be_deployed(tmp_path: Path) -> None:
    make(tmp_path / "scratch", {})
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("scratch/\n")
    assert "main.py" in kept(tmp_path / "scratch")


def test_a_rule_file_that_is_a_link_a_folder_or_not_text_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, {})
    (tmp_path / "elsewhere").write_text("*.py\n")
    (tmp_path / ".gitignore").symlink_to("elsewhere")
    (tmp_path / "src" / ".gitignore").mkdir()
    (tmp_path / "docs" / ".gitignore").write_bytes(b"\xff\xfe\x00*.txt")
    assert {"main.py", "docs/a.txt"} <= kept(tmp_path)


@pytest.mark.parametrize("name", [".env", ".ENV", ".env.local", ".env.production", ".git", "__pycache__", ".DS_Store"])
def test_names_that_no_rule_brings_back(name: str) -> None:
    assert is_always_left_out(name)


@pytest.mark.parametrize("name", [".env.example", ".environment", "env", "main.py", ".gitignore"])
def test_names_that_are_like_any_other(name: str) -> None:
    assert not is_always_left_out(name)
