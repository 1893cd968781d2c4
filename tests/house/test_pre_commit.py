"""The hooks for pre-commit, tried with pre-commit: each refuses what it is for and lets the rest pass."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "runtime/multinode",
    "runtime/multinode_protocol",
    "lambda_src/multinode_control_plane",
    "multinode_cli",
    "tests",
)


class Repository:
    """A repository with our hooks and one small module in each of our packages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = os.environ | {"PRE_COMMIT_HOME": str(folder / ".cache"), "GIT_CONFIG_GLOBAL": os.devnull}
        for name in (".pre-commit-config.yaml", "pyproject.toml"):
            shutil.copyfile(ROOT / name, folder / name)
        for package in PACKAGES:
            (folder / package).mkdir(parents=True)
            (folder / package / "__init__.py").touch()
        (folder / ".venv").symlink_to(sys.prefix)
        self._run("git", "init", "--quiet")

    def check(self, hook: str, name: str, text: str) -> subprocess.CompletedProcess[str]:
        (self._folder / name).write_text(text)
        self._run("git", "add", "--", ".pre-commit-config.yaml", "pyproject.toml", name)
        return self._run(sys.executable, "-m", "pre_commit", "run", "--all-files", "--color=never", hook, check=False)

    def _run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self._folder, env=self._environment, check=check, capture_output=True, text=True, timeout=120
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


@pytest.mark.parametrize(
    ("hook", "name", "good", "bad"),
    [
        ("ruff-format", "module.py", "a = 1\n", "a=1\n"),
        ("ruff-check", "module.py", "a = 1\n", "import os\n"),
        ("mypy", "multinode_cli/module.py", "a: int = 1\n", 'a: int = "1"\n'),
        ("codespell", "page.md", "the same\n", "teh same\n"),  # codespell:ignore teh
        pytest.param(
            "terraform-fmt",
            "main.tf",
            "locals {\n  a = 1\n}\n",
            "locals {\n  a=1\n}\n",
            marks=pytest.mark.requires("terraform"),
        ),
    ],
)
def test_a_hook_refuses_what_it_is_for_and_passes_the_rest(
    repository: Repository, hook: str, name: str, good: str, bad: str
) -> None:
    passed = repository.check(hook, name, good)
    assert passed.returncode == 0, passed.stdout
    assert "Passed" in passed.stdout
    refused = repository.check(hook, name, bad)
    assert refused.returncode == 1, refused.stdout
    assert "Failed" in refused.stdout
