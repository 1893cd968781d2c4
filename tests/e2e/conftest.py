"""The world that all end-to-end tests share; collected only where ``-m e2e`` asks for it, since it takes minutes."""

import secrets
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.e2e.world import World, built

ROOT = Path(__file__).parents[2]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked_for = "e2e" in str(config.getoption("markexpr"))
    return None if asked_for else collection_path.name.startswith("test_") or None


class OneWorld(LoadScopeScheduling):  # type: ignore[misc]
    """Gives one process all tests that share the world, in their order; the others run beside them."""

    def _split_scope(self, nodeid: str) -> str:
        return "installing" if "/test_installing.py::" in nodeid else "world"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return OneWorld(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    world = getattr(item, "funcargs", {}).get("world")
    if report.failed and world is not None:
        report.sections.append(("the world", world.diagnosis()))
    return report


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with built(tmp_path_factory.mktemp("world")) as world:
        world.multinode("login", "--from-aws", "--name", "e2e")
        yield world


@pytest.fixture(scope="session")
def tsp(world: World) -> dict[str, Any]:
    """The example, deployed: the version."""
    return world.deploy(ROOT / "examples" / "tsp", "tsp")


@pytest.fixture(scope="session")
def secret() -> str:
    """A value that stands in the project's ``.env`` and nowhere else."""
    return f"secret-{secrets.token_hex(16)}"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, secret: str) -> Path:
    """The folder of the tests' own project."""
    folder = tmp_path_factory.mktemp("project") / "project"
    shutil.copytree(Path(__file__).with_name("project"), folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".env").write_text(f"E2E_SECRET={secret}\n")
    return folder


@pytest.fixture(scope="session")
def project(world: World, folder: Path) -> dict[str, Any]:
    """The tests' own project, deployed as ``faults``: the version."""
    return world.deploy(folder, "faults")
