"""The suite's own rule on skipping: tried on small suites in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SUITE = """
import pytest

def test_that_needs_nothing():
    assert True

@pytest.mark.requires("java")
def test_that_needs_java():
    assert True

@pytest.mark.requires("unprivileged")
def test_that_needs_file_modes():
    assert True
"""


Run = Callable[[str, str | None], tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run pytest on one test file, on a PATH without any program; return the exit code and the output."""

    def run_suite(text: str, require: str | None) -> tuple[int, str]:
        (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
        (tmp_path / "test_suite.py").write_text(text)
        environment = {name: value for name, value in os.environ.items() if name != "MULTINODE_TESTS_REQUIRE"}
        environment["PATH"] = str(tmp_path)
        if require is not None:
            environment["MULTINODE_TESTS_REQUIRE"] = require
        command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", "--color=no"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    return run_suite


def test_what_is_missing_skips_with_the_way_to_get_it(run: Run) -> None:
    code, output = run(SUITE, None)
    assert code == 0
    assert "java is not on the PATH: install a Java runtime" in output


@pytest.mark.parametrize("require", ["all", "java", "docker,java"])
def test_what_is_missing_fails_where_it_is_required(run: Run, require: str) -> None:
    code, output = run(SUITE, require)
    assert code == 1
    assert "ERROR test_suite.py::test_that_needs_java" in output
    assert "1 error" in output


def test_requiring_something_else_leaves_the_skip(run: Run) -> None:
    code, output = run(SUITE, "docker")
    assert code == 0
    assert "install a Java runtime" in output


def test_what_no_installation_could_change_may_always_be_skipped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = run('import pytest\n@pytest.mark.requires("never")\ndef test_a(): assert True\n', "never")
    assert code == 4
    assert "names never; known are all, docker" in output
    as_root = "import os\nos.geteuid = lambda: 0\n"
    code, output = run(as_root + SUITE.replace('@pytest.mark.requires("java")', ""), "all")
    assert code == 0
    assert "root ignores file modes" in output
    assert "2 passed, 1 skipped" in output


@pytest.mark.parametrize(
    "text",
    [
        "import pytest\ndef test_a(): pytest.skip('not today')\n",
        "import pytest\n@pytest.mark.skipif(True, reason='not today')\ndef test_a(): assert True\n",
        "import pytest\npytest.skip('not today', allow_module_level=True)\n",
    ],
)
def test_a_plain_skip_fails_where_all_is_required(run: Run, text: str) -> None:
    assert run(text, None)[0] in (0, 5)
    code, output = run(text, "all")
    assert code in (1, 2)
    assert "not today: but MULTINODE_TESTS_REQUIRE=all lets nothing be skipped" in output


def test_an_expected_failure_is_no_skip(run: Run) -> None:
    code, output = run("import pytest\n@pytest.mark.xfail\ndef test_a(): assert False\n", "all")
    assert code == 0
    assert "1 xfailed" in output
