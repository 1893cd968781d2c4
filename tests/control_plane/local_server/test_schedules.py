"""Functions that run by themselves on a local server: on time, once, over restarts, and no longer than they shall."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from multinode_control_plane.adapters.local.workers import WorkerFolders
from multinode_protocol.process_tree import kill_all
from tests.support.local_server import LocalServer, spec
from tests.support.waiting import until

pytestmark = pytest.mark.slow

MINUTE_MS = 60_000
SERVER_WITH_A_CLOCK_OF_ITS_OWN = """
import os, sys, pathlib, datetime
from multinode_control_plane.adapters import system
from multinode_control_plane.local_server.__main__ import main

def now(self):
    ahead_s = float(pathlib.Path(os.environ["CLOCK_AHEAD_S"]).read_text())
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead_s)

system.SystemClock.now = now
sys.exit(main(sys.argv[1:]))
"""


@dataclass
class Clock:
    """The server's: it goes like the real one, ahead of it by what the file says."""

    file: Path
    ahead_s: float = 0.0

    def set_second(self, second: float, *, minutes_on: int = 0) -> None:
        """Set it forward to that second of a minute, at most a minute away, and so many minutes on."""
        now_s = time.time() + self.ahead_s
        self.ahead_s += (second - now_s) % 60 + 60 * minutes_on
        self.file.write_text(str(self.ahead_s))

    def minute_ms(self) -> int:
        """Return the beginning of its present minute."""
        return int(time.time() + self.ahead_s) // 60 * MINUTE_MS


@contextmanager
def running(folder: Path, clock: Clock) -> Iterator[LocalServer]:
    program = ("-c", SERVER_WITH_A_CLOCK_OF_ITS_OWN)
    server = LocalServer(folder / "server", {"CLOCK_AHEAD_S": str(clock.file)}, program)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
        for worker in WorkerFolders(server.directory.workers).all():
            kill_all(worker.record.mark, worker.process)


def minute_of(invocation_id: str) -> int:
    return int(invocation_id.removeprefix("inv-")[:12], 16)


@pytest.mark.timeout(400)
def test_a_schedule_fires_once_per_time_until_a_version_drops_it(tmp_path: Path) -> None:
    ticks, variables, clock = tmp_path / "ticks", tmp_path / "variables.json", Clock(tmp_path / "clock")
    variables.write_text(json.dumps({"TICKS": str(ticks)}))
    scheduled = spec("tick") | {"schedule": {"every_seconds": 60}}

    def ticked() -> list[str]:
        return ticks.read_text().split() if ticks.exists() else []

    clock.set_second(50)
    with running(tmp_path, clock) as server:
        server.deploy(scheduled, spec("add"), env_file=str(variables))
        # The alarm rings when the minute is full, and the function runs.
        until(lambda: len(ticked()) == 1, "the first run")
        (first,) = ticked()
        assert server.terminated(first)["status"] == "SUCCEEDED"
        assert minute_of(first) % MINUTE_MS == 0
        assert minute_of(first) in (clock.minute_ms(), clock.minute_ms() - MINUTE_MS)

        # Killed, and away for five minutes: the latest of the missed runs is made up for.
        server.kill()
        clock.set_second(5, minutes_on=5)
        server.start()
        until(lambda: len(ticked()) == 2, "the run that was missed")
        second = ticked()[1]
        assert server.terminated(second)["status"] == "SUCCEEDED"
        assert minute_of(second) - minute_of(first) >= 5 * MINUTE_MS
        assert minute_of(second) in (clock.minute_ms(), clock.minute_ms() - MINUTE_MS)

        # Killed and started again at the same minute: nothing is made up for twice.
        for _ in range(2):
            server.kill()
            server.start()
        path = "/projects/tests/versions/latest/functions/tick/invocations"
        listed = [each["invocation_id"] for each in server.get(path)["invocations"]]
        assert len({minute_of(each) for each in listed}) == len(listed)
        assert set(ticked()[:2]) <= set(listed)

        # A version without the schedule ends it, also for the time that comes while no server runs.
        server.deploy(spec("tick"), spec("add"), env_file=str(variables))
        server.kill()
        clock.set_second(5, minutes_on=5)
        server.start()
        assert server.terminated(server.start_function("add", 1, 2))["result"] == "3"
        assert server.get(path)["invocations"] == []
        (function, _) = server.get("/projects/tests/versions/latest")["functions"]
        assert (function["function_name"], function["schedule"]) == ("tick", None)
