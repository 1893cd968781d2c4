"""Which files of a project's folder are left out: ``.gitignore`` as git reads it, then ``.multinodeignore``.

Rules of a deeper folder take precedence; within a folder ``.multinodeignore`` overrides ``.gitignore``. The
``.gitignore`` files between the folder and the top of its git repository count as well. Some names are always left out.
https://git-scm.com/docs/gitignore
"""

from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from multinode_cli.project.files import open_file

RULE_FILES = (".gitignore", ".multinodeignore")
MAX_RULE_FILE_BYTES = 1_000_000
ALWAYS_LEFT_OUT = frozenset(
    {
        ".env",
        ".git",
        ".hg",
        ".svn",
        "__pycache__",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
        ".ds_store",
    }
)
"""In lower case: a file system that ignores case gives ``.ENV`` for ``.env``."""
SHAREABLE_ENV_FILES = frozenset({".env.example", ".env.sample", ".env.template"})


def is_always_left_out(name: str) -> bool:
    """Return True for names that no rule can bring back: secrets, repositories, caches.

    ``.env.local`` and its like hold secrets as ``.env`` does; ``.env.example`` is written to be shared.
    """
    folded = name.casefold()
    return folded in ALWAYS_LEFT_OUT or (folded.startswith(".env.") and folded not in SHAREABLE_ENV_FILES)


@dataclass(frozen=True, slots=True)
class _Layer:
    """The rules of one folder."""

    folder: Path
    spec: GitIgnoreSpec


class Rules:
    """The rules that hold inside one folder; `inside` gives those of a folder within it."""

    def __init__(self, layers: tuple[_Layer, ...]) -> None:
        self._layers = layers

    @classmethod
    def at(cls, root: Path) -> "Rules":
        """Return the rules that hold inside `root` (an absolute path), those of its git repository included.

        If the repository ignores `root` itself, its rules do not apply to what is deployed.
        """
        rules = cls(())
        for folder in reversed(_ancestors_in_repository(root)):
            if rules.leave_out(folder, is_folder=True):
                return cls(()).inside(root)
            rules = rules.inside(folder, multinode_rules=False)
        if rules.leave_out(root, is_folder=True):
            rules = cls(())
        return rules.inside(root)

    def inside(self, folder: Path, *, multinode_rules: bool = True) -> "Rules":
        """Return these rules, preceded by those of `folder` itself."""
        lines: list[str] = []
        for name in RULE_FILES if multinode_rules else RULE_FILES[:1]:
            lines += _lines(folder / name)
        return Rules((*self._layers, _Layer(folder, _spec(lines)))) if lines else self

    def leave_out(self, path: Path, *, is_folder: bool) -> bool:
        """Return True if the file or folder at `path` is left out. The folders above it are not checked."""
        for layer in reversed(self._layers):
            relative = path.relative_to(layer.folder).as_posix() + ("/" if is_folder else "")
            verdict = layer.spec.check_file(relative).include
            if verdict is not None:
                return verdict
        return False


def _ancestors_in_repository(root: Path) -> list[Path]:
    """Return the folders above `root` up to the top of its git repository, nearest first; none outside a repository."""
    if (root / ".git").exists():
        return []
    above: list[Path] = []
    for folder in root.parents:
        above.append(folder)
        if (folder / ".git").exists():
            return above
    return []


def _lines(path: Path) -> list[str]:
    """Return the lines of a rule file; none without such a file. Like git, do not follow a link."""
    try:
        with open_file(path, follow_link=False) as file:
            content = file.read(MAX_RULE_FILE_BYTES)
    except OSError:
        return []
    text = content.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _spec(lines: list[str]) -> GitIgnoreSpec:
    """Return the patterns of `lines`; like git, skip a line that is not a pattern."""
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines([line for line in lines if _is_pattern(line)])


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
