"""requirements-dev.lock: versions without addresses for all that pyproject.toml asks for, on every supported Python."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))


def members(group: str) -> Iterator[Requirement]:
    """Return the requirements of a dependency group, included groups too."""
    for entry in PROJECT["dependency-groups"][group]:
        if isinstance(entry, str):
            yield Requirement(entry)
        else:
            yield from members(entry["include-group"])


def locked(python: str) -> dict[str, str]:
    """Return name -> version as pip reads the lock on Linux."""
    environment: Any = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    environment |= {"platform_machine": "x86_64", "os_name": "posix"}
    pins = [Requirement(line) for line in LOCK.splitlines() if line and not line.startswith("#")]
    chosen = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
    assert len({pin.name for pin in chosen}) == len(chosen)
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in chosen}


def test_the_lock_holds_versions_and_no_addresses() -> None:
    for line in LOCK.splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[\w.]+( ; [^:/@]+)?", line)


@pytest.mark.parametrize("python", PYTHONS)
def test_everything_that_development_needs_is_locked_at_a_version_that_fits(python: str) -> None:
    project = PROJECT["project"]
    wanted = [
        *map(Requirement, project["dependencies"] + project["optional-dependencies"]["aws"]),
        *members("dev"),
        *members("release"),
    ]
    assert len(wanted) > 25
    pins = locked(python)
    for requirement in wanted:
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)], prereleases=False), requirement


def test_no_requirement_is_named_twice() -> None:
    project = PROJECT["project"]
    named = [*map(Requirement, project["dependencies"] + project["optional-dependencies"]["aws"]), *members("dev")]
    names = [canonicalize_name(requirement.name) for requirement in named]
    assert sorted(names) == sorted(set(names))
