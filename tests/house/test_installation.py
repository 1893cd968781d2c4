"""`pip install .` from a clean copy gives SDK, CLI and local deployment, which work outside the checkout."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow(about_s=35), pytest.mark.network, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
MADE_BY_TOOLS = shutil.ignore_patterns(
    ".git", ".venv*", ".demo", "__pycache__", "*.egg-info", "build", "dist", ".*_cache", ".coverage*", ".terraform"
)

WHAT_AN_IMPORT_LOADS = """
import json, sys
before = set(sys.modules)
import multinode
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)))
"""


@dataclass(frozen=True)
class Installation:
    """A virtual environment with Multinode in it, and an empty home, both far from the checkout."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def run(self, *command: str | Path, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command as a user of the installation would, and return what it said."""
        inherited = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE")
        environment = {name: os.environ[name] for name in inherited if name in os.environ}
        environment |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))}
        environment["HOME"] = str(self.home)
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def multinode(self, *arguments: str | Path, fails: bool = False) -> subprocess.CompletedProcess[str]:
        return self.run(self.python.with_name("multinode"), *arguments, fails=fails)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    found = Installation(folder)
    found.home.mkdir()
    shutil.copytree(ROOT, folder / "clean", ignore=MADE_BY_TOOLS)
    shutil.copytree(folder / "clean" / "examples" / "quickstart", found.home / "quickstart")
    found.run(sys.executable, "-m", "venv", folder / "venv")
    found.run(found.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", folder / "clean")
    shutil.rmtree(folder / "clean")
    yield found
    found.multinode("local", "stop")


def test_importing_the_sdk_loads_its_own_two_dependencies_and_nothing_else(installation: Installation) -> None:
    loaded = json.loads(installation.run(installation.python, "-c", WHAT_AN_IMPORT_LOADS).stdout)
    assert "multinode" in loaded
    assert set(loaded) <= {"multinode", "multinode_protocol", "cloudpickle", "urllib3"}


def test_the_type_hints_are_installed(installation: Installation) -> None:
    program = "import multinode, pathlib; print(pathlib.Path(multinode.__file__).parent)"
    package = Path(installation.run(installation.python, "-c", program).stdout.strip())
    assert package.is_relative_to(installation.folder / "venv")
    assert (package / "py.typed").exists()


def test_a_function_is_deployed_run_and_stopped_from_the_installation_alone(installation: Installation) -> None:
    installation.multinode("local", "start", "--port", "0", "--detach")
    installation.multinode("deploy", installation.home / "quickstart", "--project-name", "quickstart")
    done = installation.multinode("invoke", "quickstart", "slow_sum", "--args", "[4, 0.01]", "--wait")
    assert json.loads(done.stdout) == 10  # 1 + 2 + 3 + 4
    installation.multinode("local", "stop")
    assert "not running" in installation.multinode("local", "status", fails=True).stdout
