"""``multinode local`` as a user runs it: in processes of its own, by exit code, stdout and stderr."""

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.adapters.local.database import SCHEMA_VERSION
from multinode_control_plane.adapters.local.server_files import ServerInfo, read_server_info, running_pid
from multinode_control_plane.local_server.serve import DEFAULT_PORT, chosen_port
from tests.support.local_server import LocalServer, spec
from tests.support.waiting import until

pytestmark = pytest.mark.slow(about_s=45)

COMMAND = [sys.executable, "-c", "from multinode_cli.main import main; main()"]


@dataclass
class Machine:
    """A user with a home of their own."""

    home: Path

    @property
    def data_dir(self) -> Path:
        return self.home / ".local" / "share" / "multinode"

    @property
    def directory(self) -> DataDirectory:
        return DataDirectory(self.data_dir)

    @property
    def profile(self) -> Path:
        return self.home / ".config" / "multinode" / "profile.json"

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MULTINODE_", "XDG_"))}
        return {**kept, "HOME": str(self.home)}

    def run(self, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*COMMAND, *arguments],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )

    def start(self, *options: str, **environ: str) -> str:
        """Start in the background and return the URL."""
        done = self.run("local", "start", "--detach", *(options or ("--port", "0")), **environ)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def status(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.run("local", "status", "--json").stdout)
        return found

    def client(self) -> LocalServer:
        """Return a client of the server that runs, with the profile's key."""
        profile = json.loads(self.profile.read_text())
        return LocalServer(self.data_dir, url=profile["api_url"], api_key=profile["api_key"])


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "home")
    machine.home.mkdir()
    yield machine
    if (pid := running_pid(machine.directory)) is not None:
        os.kill(pid, signal.SIGKILL)
        until(lambda: running_pid(machine.directory) is None, "the end of the server")
    if machine.data_dir.exists():
        LocalServer(machine.data_dir).clear_away()


def test_start_status_stop(machine: Machine) -> None:
    url = machine.start()
    assert url.startswith("http://127.0.0.1:")
    status = machine.run("local", "status", "--json")
    assert status.returncode == 0
    facts = json.loads(status.stdout)
    assert (facts["running"], facts["answers"], facts["url"], facts["running_functions"]) == (True, True, url, 0)
    assert facts["data_dir"] == str(machine.data_dir)
    assert machine.run("whoami", "--json").returncode == 0
    stopped = machine.run("local", "stop")
    assert (stopped.returncode, stopped.stdout) == (0, "")
    assert "has stopped" in stopped.stderr
    after = machine.run("local", "status", "--json")
    assert (after.returncode, json.loads(after.stdout)["running"]) == (3, False)


def test_status_and_stop_without_any_server_make_nothing(machine: Machine) -> None:
    assert machine.run("local", "status").returncode == 3
    stopped = machine.run("local", "stop")
    assert stopped.returncode == 0
    assert "No local control plane is running" in stopped.stderr
    assert list(machine.home.iterdir()) == []


def test_the_profile_is_private_and_its_key_works(machine: Machine) -> None:
    url = machine.start()
    assert stat.S_IMODE(machine.profile.stat().st_mode) == 0o600
    assert json.loads(machine.profile.read_text())["api_url"] == url
    deployment = machine.client().get("/deployment")
    assert (deployment["backend"], deployment["data_dir"]) == ("local", str(machine.data_dir))
    assert stat.S_IMODE((machine.data_dir / "keys.json").stat().st_mode) == 0o600


def test_starting_again_keeps_port_key_and_profile(machine: Machine) -> None:
    url = machine.start()
    profile = machine.profile.read_text()
    machine.run("local", "stop")
    assert machine.start("--data-dir", str(machine.data_dir)) == url
    assert machine.profile.read_text() == profile
    assert machine.run("whoami").returncode == 0


def test_a_second_start_in_the_background_finds_the_first_and_restores_the_profile(machine: Machine) -> None:
    url = machine.start()
    machine.profile.unlink()
    again = machine.run("local", "start", "--detach")
    assert (again.returncode, again.stdout.strip()) == (0, url)
    assert "is already running" in again.stderr
    assert machine.run("whoami").returncode == 0


@pytest.mark.parametrize("options", [[], ["--detach", "--port", "1"]])
def test_a_second_start_that_asks_for_more_is_refused(machine: Machine, options: list[str]) -> None:
    machine.start()
    again = machine.run("local", "start", *options)
    assert again.returncode == 3
    assert "already runs" in again.stderr
    assert "multinode local stop" in again.stderr
    assert machine.status()["running"] is True


def test_in_the_foreground_it_says_where_it_is_logs_and_ends_at_ctrl_c(machine: Machine) -> None:
    server = subprocess.Popen(
        [*COMMAND, "local", "start", "--port", "0"],
        env=machine.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    client = machine.client()
    assert client.url == url
    client.deploy(spec("add"))
    client.terminated(client.start_function("add", 1, 2))
    server.send_signal(signal.SIGINT)
    _, log = server.communicate(timeout=300)
    assert server.returncode == 0
    assert "PENDING" in log
    assert "SUCCEEDED" in log
    assert "has stopped" in log
    assert "Traceback" not in log
    assert "Traceback" not in (machine.data_dir / "server.log").read_text()


@pytest.mark.parametrize("detach", [["--detach"], []])
def test_a_port_in_use_is_an_error_that_names_the_flag(machine: Machine, detach: list[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = machine.run("local", "start", *detach, "--port", str(port))
    assert (done.returncode, done.stdout) == (3, "")
    assert f"Port {port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
    assert machine.status()["running"] is False
    assert not machine.profile.exists()


@pytest.mark.parametrize("detach", [[], ["--detach"]])
def test_a_retention_that_makes_no_sense_is_an_error_that_says_what_would(machine: Machine, detach: list[str]) -> None:
    done = machine.run("local", "start", "--port", "0", *detach, MULTINODE_RETENTION_DAYS="a month")
    assert (done.returncode, done.stdout) == (3, "")
    assert "MULTINODE_RETENTION_DAYS is 'a month': set it to whole days" in done.stderr
    assert "Traceback" not in done.stderr
    assert machine.status()["running"] is False


def test_without_a_port_the_last_one_is_taken_and_at_first_the_default() -> None:
    last = ServerInfo(pid=1, port=4711, url="http://127.0.0.1:4711", started_at=0, version="2")
    assert chosen_port(None, None) == DEFAULT_PORT
    assert chosen_port(None, last) == 4711
    assert chosen_port(0, last) == 0


def test_a_file_in_place_of_the_data_directory_is_refused(machine: Machine) -> None:
    (machine.home / "file").write_text("x")
    done = machine.run("local", "start", "--data-dir", str(machine.home / "file"))
    assert done.returncode == 3
    assert "not a folder" in done.stderr


def test_a_folder_of_other_files_is_refused(machine: Machine) -> None:
    (machine.home / "thesis.tex").write_text("x")
    done = machine.run("local", "start", "--detach", "--data-dir", str(machine.home))
    assert done.returncode == 3
    assert "thesis.tex" in done.stderr
    assert [path.name for path in machine.home.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("detach", [["--detach"], []])
def test_a_data_directory_of_a_newer_version_is_refused(machine: Machine, detach: list[str]) -> None:
    machine.start()
    machine.run("local", "stop")
    with closing(sqlite3.connect(machine.directory.state)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    done = machine.run("local", "start", *detach)
    assert done.returncode == 3
    assert "newer Multinode" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_profile_of_a_deployment_elsewhere_is_left_alone_and_said_so(machine: Machine) -> None:
    machine.profile.parent.mkdir(parents=True, mode=0o700)
    text = json.dumps({"api_url": "https://multinode.example.com", "api_key": "mn_00000000_precious"})
    machine.profile.write_text(text)
    machine.profile.chmod(0o600)
    done = machine.run("local", "start", "--detach", "--port", "0")
    assert done.returncode == 0
    assert "multinode.example.com" in done.stderr
    assert "multinode logout" in done.stderr
    assert machine.profile.read_text() == text


def test_the_stale_profile_of_a_local_deployment_is_replaced(machine: Machine) -> None:
    machine.profile.parent.mkdir(parents=True, mode=0o700)
    machine.profile.write_text(json.dumps({"api_url": "http://127.0.0.1:1", "api_key": "mn_00000000_old"}))
    machine.profile.chmod(0o600)
    done = machine.run("local", "start", "--detach", "--port", "0")
    assert "http://127.0.0.1:1" in done.stderr
    assert machine.run("whoami").returncode == 0


def test_variables_that_go_before_the_profile_are_pointed_out(machine: Machine) -> None:
    done = machine.run("local", "start", "--detach", "--port", "0", MULTINODE_API_URL="https://elsewhere.example.com")
    assert done.returncode == 0
    assert "MULTINODE_API_URL" in done.stderr


def test_files_in_the_working_directory_do_not_get_in_the_servers_way(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue.py", "json.py", "sqlite3.py"):
        (machine.home / name).write_text("raise SystemExit('taken from the working directory')")
    monkeypatch.chdir(machine.home)
    command = Path(sys.executable).with_name("multinode")
    done = subprocess.run(
        [command, "local", "start", "--detach", "--port", "0"],
        env=machine.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def start_something(machine: Machine, path: Path) -> str:
    client = machine.client()
    client.deploy(spec("until_cancelled", max_concurrency=1))
    invocation_id = client.start_function("until_cancelled", str(path))
    client.start_function("until_cancelled", str(path))
    until(path.exists, "the start")
    return invocation_id


def test_a_stop_says_what_runs_on_and_the_next_start_takes_it_over(machine: Machine, tmp_path: Path) -> None:
    machine.start()
    invocation_id = start_something(machine, tmp_path / "notes")
    assert machine.status()["running_functions"] == 1
    stopped = machine.run("local", "stop")
    assert stopped.returncode == 0
    assert "1 function is still running" in stopped.stderr
    assert "--cancel" in stopped.stderr
    machine.start("--data-dir", str(machine.data_dir))
    assert machine.client().invocation(invocation_id)["status"] == "RUNNING"
    assert machine.run("local", "stop", "--cancel").returncode == 0


def test_a_stop_with_cancel_leaves_nothing_running_or_waiting(machine: Machine, tmp_path: Path) -> None:
    machine.start()
    running = start_something(machine, tmp_path / "notes")
    stopped = machine.run("local", "stop", "--cancel")
    assert stopped.returncode == 0, stopped.stderr
    assert "still run" not in stopped.stderr
    assert (tmp_path / "notes").read_text().split() == ["begin", "cancelled"]
    machine.start("--data-dir", str(machine.data_dir))
    listing = machine.client().get("/projects/tests/versions/latest/functions/until_cancelled/invocations")
    assert {invocation["status"] for invocation in listing["invocations"]} == {"CANCELLED"}
    assert running in {invocation["invocation_id"] for invocation in listing["invocations"]}


def test_the_note_of_a_killed_server_is_not_taken_for_a_running_one(machine: Machine) -> None:
    machine.start()
    info = read_server_info(machine.directory)
    assert info is not None
    os.kill(info.pid, signal.SIGKILL)
    until(lambda: running_pid(machine.directory) is None, "the end of the server")
    assert machine.run("local", "status").returncode == 3
    assert machine.run("local", "stop").returncode == 0
    assert machine.start("--data-dir", str(machine.data_dir)) == info.url
