"""`make demo`, which is examples/tsp as its README says: deployed, followed, drawn, stopped. Also when interrupted."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tsplib import BERLIN52, read_cities, tour_length

from tests.support.waiting import PATIENCE_S, until

pytestmark = [pytest.mark.slow(about_s=20), pytest.mark.network, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


Start = Callable[[str], tuple[subprocess.Popen[bytes], Path]]


@pytest.fixture(scope="module")
def start(folder: Path) -> Start:
    """Start the demo as `make` does; its output goes to a file, which is returned beside the process."""

    def start_demo(name: str) -> tuple[subprocess.Popen[bytes], Path]:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": programs, "MULTINODE_DEMO_DIR": str(folder)}
        output = folder / f"{name}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [str(ROOT / "scripts" / "demo.sh")],
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        return process, output

    return start_demo


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of whatever still runs with files of the demo's folder."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def wait_for(condition: Callable[[], object], what: str, output: Path) -> None:
    try:
        until(condition, what)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{output.read_text()}") from error


def test_it_ends_with_a_drawn_route_within_five_percent_of_the_optimum(start: Start, folder: Path) -> None:
    process, output = start("first")
    assert process.wait(2 * PATIENCE_S) == 0, output.read_text()
    result = json.loads((folder / "result.json").read_text())
    length = tour_length(read_cities(BERLIN52), result["route"])
    assert length == result["length"]
    assert 7542 <= length <= 7919  # 1.05 * 7542 = 7919.1
    polygon = ElementTree.parse(folder / "berlin52.svg").getroot().find("{http://www.w3.org/2000/svg}polygon")
    assert polygon is not None
    assert len(polygon.attrib["points"].split()) == 52
    text = output.read_text()
    assert f"berlin52: length {length}, " in text
    assert "over the optimum 7542" in text
    assert "round 1 of 6" in text
    assert processes_of(folder) == []


def test_interrupted_with_ctrl_c_it_leaves_nothing_running_and_runs_again(start: Start, folder: Path) -> None:
    process, output = start("interrupted")
    wait_for(lambda: "round 1 of" in output.read_text() or process.poll() is not None, "a round to end", output)
    assert process.poll() is None, output.read_text()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everything in the foreground
    assert process.wait(PATIENCE_S) == 130, output.read_text()
    wait_for(lambda: processes_of(folder) == [], "the end of all that it ran", output)
    again, output = start("again")
    assert again.wait(2 * PATIENCE_S) == 0, output.read_text()
    assert "used again" in output.read_text()  # the environment that the first run made
    assert processes_of(folder) == []
