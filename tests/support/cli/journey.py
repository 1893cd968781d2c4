"""The commands as a user runs them: processes, against a control plane that runs real functions, whichever it is.

A test module takes these tests over with ``from tests.support.cli.journey import *`` and gives them a fixture `user`:
somebody who is logged in, and whose control plane has the project ``zoo`` with `MAIN` and `ENV_FILE`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.switchboard import Switchboard
from tests.support.waiting import PATIENCE_S, until

ENV_FILE = "ZOO_SECRET=hunter2\n"
MAIN = '''
import os
import sys
import time
from datetime import timedelta
from urllib.request import urlopen

from multinode import Multinode
from multinode.errors import InvocationCancelledError

mn = Multinode()


class Thing:
    def __init__(self, n):
        self.n = n

    def __repr__(self):
        return f"Thing({self.n})"


@mn.function()
def count(n, gate=None):
    """Count to n; after 1 wait until the gate is open."""
    for number in range(1, n + 1):
        print(f"counted {number}", flush=True)
        yield number
        if gate and number == 1:
            urlopen(gate).read()


@mn.function(max_retries=1)
def fail(message="no"):
    print("about to fail", file=sys.stderr, flush=True)
    raise ValueError(message)


@mn.function(timeout=timedelta(seconds=1))
def sleep():
    time.sleep(600)


@mn.function()
def thing(n):
    return Thing(n)


@mn.function()
def secret():
    return os.environ["ZOO_SECRET"]


@mn.function()
def stubborn(begun):
    try:
        urlopen(begun).read()
        time.sleep(600)
    except InvocationCancelledError:
        return "cleaned up"
'''


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str


class User:
    """Somebody at a terminal, with an environment and a configuration of their own.

    `board`: what their functions may ask.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], board: Switchboard) -> None:
        self.folder = folder
        self.board = board
        self._environment = dict(environment)

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
        out, err = process.communicate(timeout=PATIENCE_S)
        return Finished(process.returncode, out, err)

    def json(self, *arguments: str) -> dict[str, Any]:
        finished = self.run(*arguments, "--json")
        assert finished.code == 0, finished.err
        value: dict[str, Any] = json.loads(finished.out)
        return value

    def invoke(self, *arguments: str) -> str:
        finished = self.run("invoke", "zoo", *arguments)
        assert finished.code == 0, finished.err
        return finished.out.strip()


@contextmanager
def local_user(folder: Path, main: str, env_file: str | None = None) -> Iterator[User]:
    """Yield a user whose local control plane runs and has the project ``zoo``: `main` and, if given, `env_file`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MULTINODE_", "XDG_"))}
    own = {"MULTINODE_CONFIG_DIR": str(folder / "config"), "MULTINODE_DATA_DIR": str(folder / "data")}
    board = Switchboard("127.0.0.1")
    user = User(folder, inherited | own, board)
    (folder / "zoo").mkdir()
    (folder / "zoo" / "main.py").write_text(main)
    if env_file is not None:
        (folder / "zoo" / ".env").write_text(env_file)
    started = user.run("local", "start", "--detach", "--port", "0")
    assert started.code == 0, started.err
    try:
        deployed = user.run("deploy", "zoo", "--project-name", "zoo")
        assert deployed.code == 0, deployed.err
        yield user
    finally:
        assert user.run("local", "stop", "--cancel").code == 0
        board.stop()


def told_until(process: "subprocess.Popen[str]", text: str) -> list[str]:
    """Return the lines on stderr up to the first that has `text` in it."""
    assert process.stderr is not None
    told: list[str] = []
    for line in process.stderr:
        told.append(line.rstrip("\n"))
        if text in line:
            return told
    raise AssertionError(f"it never said {text!r}: {told}")


def rest_of(process: "subprocess.Popen[str]") -> Finished:
    """Return how a command ended, and what it wrote that was not read before."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        err, out = process.stderr.read(), process.stdout.read()
        return Finished(process.wait(PATIENCE_S), out, err)


def test_a_result_alone_is_printed(user: User) -> None:
    assert user.run("invoke", "zoo", "count", "--arg", "n=3", "--wait").out == "3\n"


def test_following_tells_of_status_progress_logs_and_result(user: User) -> None:
    gate = user.board.gate_url("following")
    process = user.start("invoke", "zoo", "count", "--arg", "n=3", "--arg", f"gate={gate}", "--follow")
    # Values may be passed over, but not the one that stands.
    told = told_until(process, "progress: 1")
    user.board.open("following")
    finished = rest_of(process)
    assert (finished.code, finished.out) == (0, "3\n")
    told += finished.err.splitlines()
    assert any("RUNNING" in line for line in told)
    assert any(line.endswith("progress: 1") for line in told)
    assert [line for line in told if line.startswith("│")] == [f"│ counted {number}" for number in (1, 2, 3)]
    assert told[-1].endswith("SUCCEEDED")


def test_the_id_is_enough_for_get_wait_and_logs(user: User) -> None:
    identifier = user.invoke("count", "--args", "[2]")
    assert user.run("wait", identifier).out == "2\n"
    shown = user.json("get", identifier)
    assert (shown["status"], shown["input"], shown["result"]) == ("SUCCEEDED", [[2], {}], 2)
    # The result may be there before the last lines are.
    until(lambda: user.run("logs", identifier).out == "counted 1\ncounted 2\n", "both lines")
    assert user.run("logs", identifier, "--tail", "1").out == "counted 2\n"


def test_logs_are_followed_to_the_end(user: User) -> None:
    identifier = user.invoke("count", "--arg", "n=4", "--arg", f"gate={user.board.gate_url('logs')}")
    process = user.start("logs", "-f", identifier)
    assert process.stdout is not None
    first = process.stdout.readline()
    user.board.open("logs")
    finished = rest_of(process)
    assert (finished.code, first + finished.out) == (0, "".join(f"counted {number}\n" for number in (1, 2, 3, 4)))


def test_a_failure_shows_the_traceback_and_is_exit_code_1(user: User) -> None:
    finished = user.run("invoke", "zoo", "fail", "--arg", "message=grüße", "--wait")
    assert (finished.code, finished.out) == (1, "")
    assert "raise ValueError(message)" in finished.err
    assert finished.err.rstrip().endswith("FAILED: ValueError: grüße")


def test_the_logs_of_both_attempts_are_merged_and_can_be_told_apart(user: User) -> None:
    identifier = user.invoke("fail")
    assert user.run("wait", identifier).code == 1
    until(lambda: user.run("logs", identifier).out.count("about to fail\n") == 2, "the lines of both attempts")
    finished = user.run("logs", identifier)
    assert "--- attempt 2, exe-" in finished.err
    assert user.run("logs", identifier, "--execution", "2").out.count("about to fail\n") == 1


def test_a_timeout_is_exit_code_1(user: User) -> None:
    finished = user.run("invoke", "zoo", "sleep", "--wait")
    assert finished.code == 1
    assert " TIMED_OUT: " in finished.err


def test_a_result_of_the_users_own_class_is_printed_by_its_repr(user: User) -> None:
    assert user.run("invoke", "zoo", "thing", "--args", "[3]", "--wait").out == "Thing(3)\n"


def test_the_variables_of_the_environment_file_reach_the_function(user: User) -> None:
    assert user.run("invoke", "zoo", "secret", "--wait").out == '"hunter2"\n'


def test_a_cancelled_function_may_clean_up_and_what_it_returned_is_shown(user: User) -> None:
    identifier = user.invoke("stubborn", "--arg", f"begun={user.board.count_url('stubborn')}")
    until(lambda: user.board.counts["stubborn"], "it to begin")
    assert user.run("cancel", identifier).out.split()[1] in ("CANCELLING", "CANCELLED")
    finished = user.run("wait", identifier)
    assert finished.code == 1
    assert 'It returned: "cleaned up"' in finished.err
    assert " CANCELLED: " in finished.err
    assert user.run("cancel", identifier).code == 0


def test_cancelling_a_finished_invocation_is_exit_code_2(user: User) -> None:
    identifier = user.invoke("count", "--args", "[1]")
    assert user.run("wait", identifier).code == 0
    finished = user.run("cancel", identifier)
    assert (finished.code, finished.err) == (2, f"error: cannot cancel: {identifier} has already ended: SUCCEEDED\n")


def test_several_are_waited_for(user: User) -> None:
    good, bad = user.invoke("count", "--args", "[1]"), user.invoke("fail")
    finished = user.run("wait", good, bad)
    assert finished.code == 1
    assert sorted(finished.out.splitlines()) == sorted([f"{good} SUCCEEDED 1", f"{bad} FAILED: ValueError: no"])


def test_arguments_that_do_not_fit_start_nothing(user: User) -> None:
    def known() -> list[str]:
        return [each["invocation_id"] for each in user.json("list", "zoo", "count")["invocations"]]

    before = known()
    finished = user.run("invoke", "zoo", "count")
    assert (finished.code, finished.out) == (2, "")
    assert "missing a required argument: 'n'" in finished.err
    assert known() == before


def test_a_nearly_right_id_gets_the_corrected_command(user: User) -> None:
    identifier = user.invoke("count", "--args", "[1]")
    wrong = identifier[:-1] + ("0" if identifier[-1] != "0" else "1")
    finished = user.run("get", wrong)
    assert (finished.code, finished.err.splitlines()[-1]) == (2, f"  multinode get {identifier}")


def test_everything_there_is_can_be_listed_and_described(user: User) -> None:
    identifier = user.invoke("count", "--args", "[1]")
    assert user.run("wait", identifier).code == 0
    assert "zoo" in [line.split()[0] for line in user.run("list").out.splitlines()]
    version = user.json("describe", "zoo", "--version-id", "latest")
    assert [function["function_name"] for function in version["functions"]] == [
        "count", "fail", "sleep", "thing", "secret", "stubborn",
    ]  # fmt: skip
    described = user.json("describe", "zoo", "count")
    assert identifier in [listed["invocation_id"] for listed in described["invocations"]]


def test_an_interrupted_follow_leaves_the_function_running(user: User) -> None:
    gate = user.board.gate_url("interrupted")
    process = user.start("invoke", "zoo", "count", "--arg", "n=2", "--arg", f"gate={gate}", "--follow")
    told = told_until(process, "RUNNING")
    identifier = told[0].split()[1]
    process.send_signal(signal.SIGINT)
    finished = rest_of(process)
    assert (finished.code, finished.out) == (130, "")
    assert f"multinode cancel {identifier}" in finished.err
    assert user.json("get", identifier)["status"] == "RUNNING"
    user.board.open("interrupted")
    assert user.run("wait", identifier).out == "2\n"
