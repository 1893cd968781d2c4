"""The Docker Engine: the one that answers, or else one of our own for as long as a command runs.

    python -m tests.e2e.engine COMMAND …

Our own listens on a Unix socket alone and keeps all that it has below one temporary folder. Only root can start it.
"""

import ipaddress
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.processes import Process


class Engine:
    """The engine that the environment names, through the program `docker`."""

    def run(self, *arguments: str | Path, stdin: bytes | None = None) -> str:
        """Return what ``docker arguments`` printed. Raises AssertionError when it fails."""
        done = subprocess.run(
            ["docker", *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=600
        )
        output = done.stdout.decode()
        assert done.returncode == 0, f"docker {' '.join(map(str, arguments))}:\n{output}\n{done.stderr.decode()}"
        return output.strip()

    def bridge_address(self) -> str:
        """Return the address at which containers reach this machine."""
        (network,) = json.loads(self.run("network", "inspect", "bridge"))
        configuration = network["IPAM"]["Config"][0]
        first, *_ = ipaddress.ip_network(configuration["Subnet"]).hosts()
        return str(configuration.get("Gateway", first))  # which a new engine leaves out

    def has_image(self, name: str) -> bool:
        return bool(self.run("images", "--quiet", name))

    def containers(self, label: str, value: str) -> list[str]:
        """Return the ids of the containers that run and bear a label."""
        return self.run("ps", "--quiet", "--no-trunc", "--filter", f"label={label}={value}").split()


def answers() -> bool:
    done = subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=300)
    return done.returncode == 0


@contextmanager
def started() -> Iterator[str]:
    """Yield the DOCKER_HOST of an engine that lives within."""
    folder = Path(tempfile.mkdtemp(prefix="multinode-docker-"))  # short: the path of a socket has at most 108 bytes
    host = f"unix://{folder}/docker.sock"
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    options = [f"--{option}={folder / name}" for option, name in places.items()]
    process = Process("dockerd", ["dockerd", f"--host={host}", *options], os.environ, folder)
    try:
        os.environ["DOCKER_HOST"] = host
        process.until(answers)
        yield host
    finally:
        process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main(command: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    if not command:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    missing = [program for program in ("docker", "dockerd") if shutil.which(program) is None]
    if "docker" in missing:
        sys.stderr.write("docker is not on the PATH: install Docker (on Debian and Ubuntu: apt install docker.io)\n")
        return 1
    if answers():
        return subprocess.run(command, check=False).returncode
    if missing or os.geteuid() != 0:
        sys.stderr.write("no Docker Engine answers, and only root can start one: start it, or become root\n")
        return 1
    with started():
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
