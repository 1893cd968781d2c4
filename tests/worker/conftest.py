"""Real worker processes against a control plane of the tests' own."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.faulty_server import serving
from tests.support.one_execution import OneExecution
from tests.support.waiting import PATIENCE_S, until

PREAMBLE = """
from multinode import Multinode
mn = Multinode()
"""


@dataclass
class Worker:
    """One supervisor process, its project folder and its logs."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    def wait(self) -> int:
        """Return the worker's exit code."""
        return self.process.wait(PATIENCE_S)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def printed(self, stream: str = "stdout") -> list[str]:
        return [line["m"] for line in self.lines if line["s"] == stream]

    def until(self, condition: Callable[[], Any]) -> Any:
        """Return what `condition` returns once that is true."""
        try:
            return until(condition, "the worker", every_s=0.01)
        except AssertionError as error:
            raise AssertionError(f"{error}; logs: {self.log.read_text()}") from error

    def until_printed(self, text: str) -> None:
        self.until(lambda: text in self.printed())


Launch = Callable[..., Worker]


@pytest.fixture
def control_plane() -> Iterator[OneExecution]:
    plane = OneExecution()
    with serving(plane):
        yield plane


@pytest.fixture
def launch(control_plane: OneExecution, tmp_path: Path) -> Iterator[Launch]:
    """Start a worker on a function `work` of a `main.py` with the given source; keywords are further environment.

    `through`: a command that the worker's own is appended to, and that ends by becoming it.
    """
    workers: list[Worker] = []

    def launch(
        source: str,
        *,
        function: str = "work",
        preamble: str = PREAMBLE,
        pass_fds: Sequence[int] = (),
        through: Sequence[str] = (),
        **environ: str,
    ) -> Worker:
        folder = tmp_path / f"project{len(workers)}"
        folder.mkdir()
        (folder / "main.py").write_text(preamble + textwrap.dedent(source), encoding="utf-8")
        log = tmp_path / f"log{len(workers)}"
        control_plane.function = function
        variables = {
            **control_plane.environment,
            "MULTINODE_CODE_DIR": str(folder),
            "MULTINODE_LOG_FORMAT": "json",
            **environ,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*through, sys.executable, "-P", "-m", "multinode.worker"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                env={**os.environ, **variables},
                pass_fds=pass_fds,
                start_new_session=True,
            )
        workers.append(Worker(process, folder, log))
        return workers[-1]

    yield launch
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()
