"""A local control plane for the examples, driven by the CLI as a user drives it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
sys.path.append(str(EXAMPLES / "tsp"))  # for its modules; its `main` is run deployed


@dataclass(frozen=True)
class Terminal:
    """Runs programs with this installation's `multinode` first on the PATH, and folders of its own for all state."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {
            name: str(self.folder / name.split("_")[1].lower())
            for name in ("MULTINODE_CONFIG_DIR", "MULTINODE_DATA_DIR")
        }
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, **own, "PATH": programs}

    def run(self, *command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Return what the command said; it must succeed."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder that holds one folder per example."""
    return EXAMPLES


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal of somebody who has just started a local control plane."""
    found = Terminal(tmp_path_factory.mktemp("terminal"))
    found.run("multinode", "local", "start", "--port", "0", "--detach")
    yield found
    found.run("multinode", "local", "stop")


@pytest.fixture(scope="session")
def optimal_route() -> list[int]:
    """TSPLIB's own berlin52.opt.tour."""
    first = [1, 49, 32, 45, 19, 41, 8, 9, 10, 43, 33, 51, 11, 52, 14, 13, 47, 26, 27, 28, 12, 25, 4, 6, 15, 5]
    second = [24, 48, 38, 37, 40, 39, 36, 35, 34, 44, 46, 16, 29, 50, 20, 23, 30, 2, 7, 42, 21, 17, 3, 18, 31, 22]
    return first + second
