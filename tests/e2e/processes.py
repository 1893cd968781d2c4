"""Programs that the tests start: each writes into a file of its own and is ended by its pid."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support.waiting import until

STOP_WITHIN_S = 120


class Process:
    """One program that runs until `stop`. It has a session of its own: Ctrl-C on the terminal is not for it."""

    def __init__(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )

    def runs(self) -> bool:
        return self._process.poll() is None

    def until(self, ready: Callable[[], object]) -> None:
        """Return when `ready` is true. Raises AssertionError with the program's last lines when it ends before that."""

        def ready_or_gone() -> bool:
            assert self.runs(), f"{self.name} ended with {self._process.returncode}:\n{self.last_lines()}"
            return bool(ready())

        until(ready_or_gone, f"{self.name} to answer", every_s=0.2)

    def last_lines(self, count: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def stop(self) -> None:
        """End the program, and then what it started and did not end itself."""
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its session is its own, see `start_new_session`


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
