"""A release: its version in pyproject.toml, its section in CHANGELOG.md, one commit, one tag.

``release.py prepare 2.1.0`` (`make release VERSION=2.1.0`) creates all of them and pushes nothing.
``release.py check v2.1.0`` is what the release workflow asks of a tag before it builds.

The version is a constant that is checked against the tag. Derived from the tag, it would be unknown without git or
tags, as in `pip install .` from an archive. It would also change with every commit, and the Lambda package with it.
"""

import argparse
import datetime
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYPROJECT = ROOT / "pyproject.toml"
CHANGELOG = ROOT / "CHANGELOG.md"
VERSION_LINE = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
RELEASED = re.compile(r"\d+\.\d+\.\d+")
UNRELEASED = re.compile(r"^## Unreleased.*\n(?P<changes>(?:(?!## ).*\n?)*)", re.MULTILINE)


class ReleaseRefused(Exception):
    """The message says what to do first."""


def prepare(version: str) -> None:
    """Commit and tag `version`, then commit the development version that follows. Raises ReleaseRefused."""
    if not RELEASED.fullmatch(version):
        raise ReleaseRefused(f"{version!r} is not a version: make release VERSION=2.1.0")
    if git("status", "--porcelain"):
        raise ReleaseRefused("there are uncommitted changes: commit or stash them first")
    if git("tag", "--list", f"v{version}"):
        raise ReleaseRefused(f"the tag v{version} exists: name the next version")
    CHANGELOG.write_text(released_changelog(version), encoding="utf-8")
    set_version(version)
    git("commit", "--all", "--message", f"Release {version}")
    git("tag", "--annotate", "--message", f"Multinode {version}", f"v{version}")
    set_version(next_development_version(version))
    git("commit", "--all", "--message", f"Development goes on after {version}")


def check(tag: str) -> None:
    """Raise ReleaseRefused unless version and changelog match `tag`."""
    version = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]
    if tag != f"v{version}":
        raise ReleaseRefused(f"the tag is {tag}, but pyproject.toml says {version}: make the tag with `make release`")
    if not RELEASED.fullmatch(version):
        raise ReleaseRefused(f"{version} is a development version: make the tag with `make release`")
    if not re.search(
        rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE
    ):
        raise ReleaseRefused(f"CHANGELOG.md has no section for {version}: make the tag with `make release`")


def released_changelog(version: str) -> str:
    """Return the changelog with the unreleased changes as the section of `version`. Raises ReleaseRefused."""
    text = CHANGELOG.read_text(encoding="utf-8")
    found = UNRELEASED.search(text)
    if found is None or not found["changes"].strip():
        raise ReleaseRefused("CHANGELOG.md has nothing under Unreleased: say what changes for users first")
    today = datetime.datetime.now(datetime.UTC).date()
    return f"{text[: found.start()]}## Unreleased\n\n## {version} - {today}\n{found['changes']}{text[found.end() :]}"


def set_version(version: str) -> None:
    text, count = VERSION_LINE.subn(f'version = "{version}"', PYPROJECT.read_text(encoding="utf-8"))
    if count != 1:
        raise ReleaseRefused(f"pyproject.toml has {count} lines 'version = …': it must have one")
    PYPROJECT.write_text(text, encoding="utf-8")


def next_development_version(version: str) -> str:
    major, minor, patch = version.split(".")
    return f"{major}.{minor}.{int(patch) + 1}.dev0"


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="release.py", description=__doc__)
    parser.add_argument("step", choices=["prepare", "check"])
    parser.add_argument("name", metavar="VERSION|TAG")
    arguments = parser.parse_args()
    try:
        if arguments.step == "check":
            check(arguments.name)
        else:
            prepare(arguments.name)
            sys.stdout.write(f"Look at it (git show v{arguments.name}), then: git push origin HEAD v{arguments.name}\n")
    except ReleaseRefused as refusal:
        sys.exit(f"release.py: {refusal}")


if __name__ == "__main__":
    main()
