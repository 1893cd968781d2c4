"""examples/quickstart as its README says."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import Terminal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deployed(terminal: Terminal, examples: Path) -> Terminal:
    terminal.run("multinode", "deploy", ".", "--project-name", "quickstart", cwd=examples / "quickstart")
    return terminal


def test_following_it_shows_logs_and_gives_the_sum(deployed: Terminal) -> None:
    done = deployed.run("multinode", "invoke", "quickstart", "slow_sum", "--args", "[4, 0.05]", "--follow")
    assert json.loads(done.stdout) == 10  # 1 + 2 + 3 + 4
    assert re.search(r"added 1 of 4.*added 2 of 4.*added 3 of 4.*added 4 of 4.*", done.stderr, re.DOTALL)
    assert "SUCCEEDED" in done.stderr


def test_the_script_starts_it_and_follows_its_progress(deployed: Terminal, examples: Path) -> None:
    done = deployed.run(sys.executable, examples / "quickstart" / "start_and_follow.py", "12", cwd=Path("/"))
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"started inv-[0-9a-f]{32}", lines[0])
    assert lines[-2:] == ["SUCCEEDED", "1 + … + 12 = 78"]
    shown = [int(number) for number in re.findall(r": (\d+) so far", done.stdout)]
    assert shown  # it takes six seconds, the script looks five times a second
    assert shown == sorted(shown)
    assert set(shown) <= {1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 66, 78}


def test_the_list_of_functions_shows_what_the_source_says(deployed: Terminal) -> None:
    done = deployed.run("multinode", "describe", "--project-name", "quickstart", "--json")
    assert "slow_sum" in done.stdout
    assert "Add the numbers from 1 to n" in done.stdout
