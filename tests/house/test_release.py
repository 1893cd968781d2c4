"""A release, from `make release` to the files that the workflow would upload, in a repository made for it."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
A_FEW_TESTS = "imported_packages or logged_the_user_in"
"""Of those that the workflow runs against the installed wheel: all of them take minutes."""


class Repository:
    """A copy of this repository's files under version control of its own, without a history and without tags."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = Path(sys.executable)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes((ROOT / name).read_bytes())
                (folder / name).chmod((ROOT / name).stat().st_mode)
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n### Added\n\n- A thing.\n\n## 1.0.0 - 2020-01-02\n")
        self.commit()

    def run(self, *command: str, fails: bool = False, timeout: int = 60) -> str:
        """Run a command in the repository, and return what it printed; `fails` says whether it must."""
        own = {
            f"GIT_{who}_{what}": "release@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        own |= {"GIT_CONFIG_GLOBAL": os.devnull, "GITHUB_REF_NAME": "v2.1.0", "PYTEST_ADDOPTS": f"-k '{A_FEW_TESTS}'"}
        own["PATH"] = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{command}: exit code {done.returncode}\n{done.stdout}"
        return done.stdout.strip()

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments)

    def release(self, step: str, name: str, *, fails: bool = False) -> str:
        return self.run(sys.executable, "scripts/release.py", step, name, fails=fails)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "Changes")

    def version_at(self, commit: str) -> str:
        lines = self.git("show", f"{commit}:pyproject.toml").splitlines()
        (version,) = (line for line in lines if line.startswith("version = "))
        return version


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "repository"
    folder.mkdir()
    return Repository(folder)


def test_a_release_sets_the_version_moves_the_changes_and_tags(repository: Repository) -> None:
    repository.release("prepare", "2.1.0")
    assert repository.git("tag", "--list") == "v2.1.0"
    assert repository.version_at("v2.1.0") == 'version = "2.1.0"'
    day = repository.git("log", "-1", "--format=%cd", "--date=format:%Y", "v2.1.0")
    changelog = repository.git("show", "v2.1.0:CHANGELOG.md")
    before, after = changelog.split("## 2.1.0 - ")
    assert before == "# Changelog\n\n## Unreleased\n\n"
    assert after.startswith(f"{day}-")
    assert after[len("2020-01-02") :] == "\n\n### Added\n\n- A thing.\n\n## 1.0.0 - 2020-01-02"
    assert repository.git("log", "-1", "--format=%s", "v2.1.0") == "Release 2.1.0"
    # Commits after the release are not the release.
    assert repository.version_at("HEAD") == 'version = "2.1.1.dev0"'
    assert repository.git("status", "--porcelain") == ""


def test_a_release_that_would_be_wrong_is_refused_and_changes_nothing(repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    assert "not a version" in repository.release("prepare", "v2.1", fails=True)
    repository.git("tag", "v2.0.9")
    assert "the tag v2.0.9 exists" in repository.release("prepare", "2.0.9", fails=True)
    repository.write("README.md", "changed")
    assert "uncommitted changes" in repository.release("prepare", "2.1.0", fails=True)
    repository.git("checkout", "README.md")
    assert repository.git("rev-parse", "HEAD") == commit
    assert repository.git("status", "--porcelain") == ""


def test_a_release_without_changes_is_refused(repository: Repository) -> None:
    repository.release("prepare", "2.1.0")
    assert "nothing under Unreleased" in repository.release("prepare", "2.1.1", fails=True)
    assert repository.git("status", "--porcelain") == ""


def test_a_tag_that_is_not_the_version_is_refused(repository: Repository) -> None:
    assert "make the tag with" in repository.release("check", "v2.1.0", fails=True)
    repository.release("prepare", "2.1.0")
    assert "a development version" in repository.release("check", "v2.1.1.dev0", fails=True)
    repository.git("checkout", "--quiet", "v2.1.0")
    assert "the tag is v2.2.0, but pyproject.toml says 2.1.0" in repository.release("check", "v2.2.0", fails=True)
    assert repository.release("check", "v2.1.0") == ""


@pytest.mark.network
@pytest.mark.timeout(1200)
def test_the_release_workflow_makes_the_files_of_the_tag(repository: Repository, tmp_path: Path) -> None:
    jobs = yaml.safe_load((repository.folder / ".github/workflows/release.yml").read_text())["jobs"]
    build, upload = ([step["run"] for step in jobs[job]["steps"] if "run" in step] for job in ("build", "upload"))
    assert upload.pop() == "python -m twine upload --non-interactive dist/*"
    repository.release("prepare", "2.1.0")
    repository.git("checkout", "--quiet", "v2.1.0")
    repository.run(sys.executable, "-m", "venv", str(tmp_path / "hosted"))
    repository.python = tmp_path / "hosted" / "bin" / "python"  # the workflow installs into what it runs on
    printed = [repository.run("bash", "-e", "-c", command, timeout=900) for command in build]
    assert "5 passed" in printed[-1]  # four packages, which all come from the wheel
    assert "1 passed" in printed[-1]  # the user at the installed commands

    dist = repository.folder / "dist"
    wheel, source = "multinode-2.1.0-py3-none-any.whl", "multinode-2.1.0.tar.gz"
    assert {path.name for path in dist.iterdir()} == {wheel, source}
    with zipfile.ZipFile(dist / wheel) as archive:
        package = archive.read("multinode_terraform/multinode-lambda.zip")
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        assert "multinode-2.1.0.dist-info/METADATA" in archive.namelist()
        assert "multinode_control_plane/handlers/__init__.py" in archive.namelist()
    for command in upload:
        repository.run("bash", "-e", "-c", command, timeout=300)
