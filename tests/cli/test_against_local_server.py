"""The commands as a user runs them: processes, against a real local control plane that runs real functions."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DEADLINE_S = 120.0
MAIN = '''
import os
import sys
import time
from datetime import timedelta

from multinode import Multinode
from multinode.errors import InvocationCancelledError

mn = Multinode()


class Thing:
    def __init__(self, n):
        self.n = n

    def __repr__(self):
        return f"Thing({self.n})"


@mn.function()
def count(n, delay_s=0.05):
    """Count to n."""
    for number in range(1, n + 1):
        time.sleep(delay_s)
        print(f"counted {number}", flush=True)
        yield number


@mn.function(max_retries=1)
def fail(message="no"):
    print("about to fail", file=sys.stderr, flush=True)
    raise ValueError(message)


@mn.function(timeout=timedelta(seconds=1))
def sleep():
    time.sleep(60)


@mn.function()
def thing(n):
    return Thing(n)


@mn.function()
def secret():
    return os.environ["ZOO_SECRET"]


@mn.function()
def stubborn():
    try:
        time.sleep(60)
    except InvocationCancelledError:
        return "cleaned up"
'''


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str


class User:
    """Somebody at a terminal, with a configuration and a local control plane of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("MULTINODE_", "XDG_"))
        } | {"MULTINODE_CONFIG_DIR": str(folder / "config"), "MULTINODE_DATA_DIR": str(self.data_dir)}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "multinode_cli.main", *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Finished:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=DEADLINE_S)
        return Finished(process.returncode, out, err)

    def json(self, *arguments: str) -> dict[str, object]:
        finished = self.run(*arguments, "--json")
        assert finished.code == 0, finished.err
        value: dict[str, object] = json.loads(finished.out)
        return value

    def invoke(self, *arguments: str) -> str:
        finished = self.run("invoke", "zoo", *arguments)
        assert finished.code == 0, finished.err
        return finished.out.strip()

    def server_pid(self) -> int:
        return int(json.loads((self.data_dir / "server.json").read_text())["pid"])


def until(true: Callable[[], bool]) -> None:
    """Wait until `true`."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user whose local control plane runs and has the project ``zoo``."""
    user = User(tmp_path_factory.mktemp("user"))
    (user.folder / "zoo").mkdir()
    (user.folder / "zoo" / "main.py").write_text(MAIN)
    (user.folder / "zoo" / ".env").write_text("ZOO_SECRET=hunter2\n")
    started = user.run("local", "start", "--detach", "--port", "0")
    assert started.code == 0, started.err
    try:
        deployed = user.run("deploy", "zoo", "--project-name", "zoo")
        assert deployed.code == 0, deployed.err
        yield user
    finally:
        assert user.run("local", "stop", "--cancel").code == 0


def test_local_start_has_logged_the_user_in(user: User):
    assert user.json("whoami")["backend"] == "local"


def test_a_result_alone_is_printed(user: User):
    assert user.run("invoke", "zoo", "count", "--arg", "n=3", "--wait").out == "3\n"


def test_following_tells_of_status_progress_logs_and_result(user: User):
    finished = user.run("invoke", "zoo", "count", "--arg", "n=3", "--arg", "delay_s=0.4", "--follow")
    assert (finished.code, finished.out) == (0, "3\n")
    told = finished.err.splitlines()
    assert any("RUNNING" in line for line in told)
    assert any(line.endswith("progress: 1") for line in told)
    assert [line for line in told if line.startswith("│")] == [f"│ counted {number}" for number in (1, 2, 3)]
    assert told[-1].endswith("SUCCEEDED")


def test_the_id_is_enough_for_get_wait_and_logs(user: User):
    identifier = user.invoke("count", "--args", "[2]")
    assert user.run("wait", identifier).out == "2\n"
    shown = user.json("get", identifier)
    assert (shown["status"], shown["input"], shown["result"]) == ("SUCCEEDED", [[2], {}], 2)
    assert user.run("logs", identifier).out == "counted 1\ncounted 2\n"
    assert user.run("logs", identifier, "--tail", "1").out == "counted 2\n"


def test_logs_are_followed_to_the_end(user: User):
    identifier = user.invoke("count", "--args", "[4, 0.3]")
    finished = user.run("logs", "-f", identifier)
    assert (finished.code, finished.out) == (0, "".join(f"counted {number}\n" for number in (1, 2, 3, 4)))


def test_a_failure_shows_the_traceback_and_is_exit_code_1(user: User):
    finished = user.run("invoke", "zoo", "fail", "--arg", "message=grüße", "--wait")
    assert (finished.code, finished.out) == (1, "")
    assert "raise ValueError(message)" in finished.err
    assert finished.err.rstrip().endswith("FAILED: ValueError: grüße")


def test_the_logs_of_both_attempts_are_merged_and_can_be_told_apart(user: User):
    identifier = user.invoke("fail")
    assert user.run("wait", identifier).code == 1
    finished = user.run("logs", identifier)
    assert finished.out.count("about to fail\n") == 2
    assert "--- attempt 2, exe-" in finished.err
    assert user.run("logs", identifier, "--execution", "2").out.count("about to fail\n") == 1


def test_a_timeout_is_exit_code_1(user: User):
    finished = user.run("invoke", "zoo", "sleep", "--wait")
    assert finished.code == 1
    assert " TIMED_OUT: " in finished.err


def test_a_result_of_the_users_own_class_is_printed_by_its_repr(user: User):
    assert user.run("invoke", "zoo", "thing", "--args", "[3]", "--wait").out == "Thing(3)\n"


def test_the_variables_of_the_environment_file_reach_the_function(user: User):
    assert user.run("invoke", "zoo", "secret", "--wait").out == '"hunter2"\n'


def test_a_cancelled_function_may_clean_up_and_what_it_returned_is_shown(user: User):
    identifier = user.invoke("stubborn")
    until(lambda: user.json("get", identifier)["status"] == "RUNNING")
    assert user.run("cancel", identifier).out.split()[1] in ("CANCELLING", "CANCELLED")
    finished = user.run("wait", identifier)
    assert finished.code == 1
    assert 'It returned: "cleaned up"' in finished.err
    assert " CANCELLED: " in finished.err
    assert user.run("cancel", identifier).code == 0


def test_cancelling_a_finished_invocation_is_exit_code_2(user: User):
    identifier = user.invoke("count", "--args", "[1]")
    assert user.run("wait", identifier).code == 0
    finished = user.run("cancel", identifier)
    assert (finished.code, finished.err) == (2, f"error: cannot cancel: {identifier} has ended already: SUCCEEDED\n")


def test_several_are_waited_for(user: User):
    good, bad = user.invoke("count", "--args", "[1]"), user.invoke("fail")
    finished = user.run("wait", good, bad)
    assert finished.code == 1
    assert sorted(finished.out.splitlines()) == sorted([f"{good} SUCCEEDED 1", f"{bad} FAILED: ValueError: no"])


def test_arguments_that_do_not_fit_start_nothing(user: User):
    before = user.json("list", "zoo", "count")["invocations"]
    finished = user.run("invoke", "zoo", "count")
    assert (finished.code, finished.out) == (2, "")
    assert "missing a required argument: 'n'" in finished.err
    assert user.json("list", "zoo", "count")["invocations"] == before


def test_a_nearly_right_id_gets_the_corrected_command(user: User):
    identifier = user.invoke("count", "--args", "[1]")
    wrong = identifier[:-1] + ("0" if identifier[-1] != "0" else "1")
    finished = user.run("get", wrong)
    assert (finished.code, finished.err.splitlines()[-1]) == (2, f"  multinode get {identifier}")


def test_everything_there_is_can_be_listed_and_described(user: User):
    identifier = user.invoke("count", "--args", "[1]")
    assert user.run("wait", identifier).code == 0
    assert user.run("list").out.splitlines()[1].startswith("zoo")
    version = user.json("describe", "zoo", "--version-id", "latest")
    assert [function["function_name"] for function in version["functions"]] == [  # type: ignore[attr-defined]
        "count", "fail", "sleep", "thing", "secret", "stubborn",
    ]  # fmt: skip
    described = user.json("describe", "zoo", "count")
    assert identifier in [listed["invocation_id"] for listed in described["invocations"]]  # type: ignore[attr-defined]


def test_an_interrupted_follow_leaves_the_function_running(user: User):
    process = user.start("invoke", "zoo", "count", "--args", "[200, 0.1]", "--follow")
    assert process.stderr is not None
    identifier = process.stderr.readline().split()[1]
    while "RUNNING" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (130, "")
    assert f"multinode cancel {identifier}" in err
    assert user.json("get", identifier)["status"] == "RUNNING"
    user.run("cancel", identifier)


def test_a_server_that_is_killed_in_the_middle_of_a_follow_and_comes_back(user: User):
    process = user.start("invoke", "zoo", "count", "--args", "[20, 0.2]", "--follow")
    assert process.stderr is not None
    while "progress" not in process.stderr.readline():
        pass
    os.kill(user.server_pid(), signal.SIGKILL)
    while "Trying again" not in process.stderr.readline():
        pass
    assert user.run("local", "start", "--detach").code == 0
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (0, "20\n")
    assert "The control plane answers again" in err
    assert "│ counted 20" in err


def test_undeploy_stops_what_runs_and_leaves_nothing(user: User):
    assert user.run("deploy", "zoo", "--project-name", "doomed").code == 0
    started = user.run("invoke", "doomed", "stubborn")
    until(lambda: user.json("get", started.out.strip())["status"] == "RUNNING")
    finished = user.run("undeploy", "doomed", "--yes")
    assert finished.code == 0
    assert "1 version, 1 unfinished invocation to cancel" in finished.err
    assert [project["project_name"] for project in user.json("list")["projects"]] == ["zoo"]  # type: ignore[attr-defined]
    assert not (user.data_dir / "secrets" / "doomed").exists()
    assert user.run("get", started.out.strip()).code == 2


def test_a_schedule_is_deployed_described_and_ended(user: User):
    (user.folder / "clock").mkdir()
    main = user.folder / "clock" / "main.py"
    begin = "from multinode import Cron, Every, Multinode\n\nmn = Multinode()\n\n\n"
    main.write_text(begin + "@mn.function(schedule=Cron('0 0 29 2 *', 'Asia/Tokyo'))\ndef leap():\n    pass\n")
    assert "0 0 29 2 * Asia/Tokyo" in user.run("deploy", "clock", "--project-name", "clock").out
    leap = user.json("describe", "clock", "leap")
    assert leap["schedule"] == {"cron": "0 0 29 2 *", "timezone": "Asia/Tokyo"}
    assert int(str(leap["next_run_time"])) % 86_400 == 15 * 3600  # midnight in Tokyo, which is nine hours ahead
    assert "\nNext run     20" in user.run("describe", "clock", "leap").out

    main.write_text(begin + "@mn.function(schedule=Cron('0 0 30 2 *'))\ndef never():\n    pass\n")
    refused = user.run("deploy", "clock", "--project-name", "clock")
    assert refused.code == 2
    assert "The cron expression '0 0 30 2 *' never fires: no FEB has a day 30" in refused.err
    assert user.json("describe", "clock", "leap")["next_run_time"] == leap["next_run_time"]

    main.write_text(begin + "@mn.function(schedule=Every(minutes=90))\ndef often():\n    pass\n")
    assert user.run("deploy", "clock", "--project-name", "clock").code == 0
    assert "every 1 h 30 min" in user.run("describe", "clock").out
    assert user.run("undeploy", "clock", "--yes").code == 0
