"""How any command ends: help, exit codes, one message, quiet pipes, Ctrl-C."""

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from multinode.config import Connection
from multinode.errors import ControlPlaneNotConfiguredError, LimitIsReached, ProjectDoesNotExist
from multinode_cli import main
from multinode_cli.client.api import Api
from multinode_cli.main import COMMANDS, LazyGroup, run
from multinode_protocol.error_codes import ErrorCode
from tests.cli.conftest import Multinode
from tests.support.bodies import function_info
from tests.support.control_plane import KEY, FakeControlPlane
from tests.support.faulty_server import refuses
from tests.support.waiting import PATIENCE_S

ALL_COMMANDS = [(name, command) for section in COMMANDS.values() for name, command in section.items()]


def test_help_names_every_command_and_imports_none(multinode: Multinode) -> None:
    outcome = multinode("--help")
    assert outcome.code == 0
    assert all(f"  {name} " in outcome.out for name, _ in ALL_COMMANDS)


@pytest.mark.slow
def test_help_and_version_load_neither_the_sdk_nor_a_command() -> None:
    program = (
        "import sys; from multinode_cli.main import run; run(['--help']); run(['--version']);"
        "print(sorted(n for n in sys.modules if n.startswith(('multinode.', 'multinode_cli.')) or n == 'urllib3'))"
    )
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert out.splitlines()[-1] == (
        "['multinode_cli.commands', 'multinode_cli.commands.options', 'multinode_cli.console', "
        "'multinode_cli.console.suggestions', 'multinode_cli.console.text', 'multinode_cli.errors', "
        "'multinode_cli.main']"
    )


def test_no_command_shows_the_help(multinode: Multinode) -> None:
    assert multinode().out == multinode("--help").out


def test_the_version_is_printed(multinode: Multinode) -> None:
    outcome = multinode("--version")
    assert (outcome.code, outcome.out.split()[0]) == (0, "multinode")


@pytest.mark.parametrize(("name", "command"), ALL_COMMANDS, ids=[name for name, _ in ALL_COMMANDS])
def test_the_help_says_of_each_command_what_the_command_itself_begins_with(
    name: str, command: main.LazyCommand
) -> None:
    importlib.import_module(f"multinode_cli.commands.{command.module}")
    found = LazyGroup().get_command(click.Context(main.cli), name)
    assert found is not None
    assert found.help is not None
    assert re.findall(r"\w+", found.help)[:2] == re.findall(r"\w+", command.help)[:2]


@pytest.mark.parametrize(("name", "command"), ALL_COMMANDS, ids=[name for name, _ in ALL_COMMANDS])
def test_every_command_has_help(multinode: Multinode, name: str, command: main.LazyCommand) -> None:
    assert multinode(name, "-h").out.startswith(f"Usage: multinode {name}")


def test_a_mistyped_command_gets_the_whole_corrected_line(multinode: Multinode) -> None:
    outcome = multinode("deplyo", "my project", "--project-name", "x")
    assert outcome.code == 2
    assert outcome.err == (
        "error: there is no command 'deplyo'. Did you mean 'deploy'?\n"
        "  multinode deploy 'my project' --project-name x\n"
    )


def test_an_unknown_command_points_to_the_help(multinode: Multinode) -> None:
    outcome = multinode("frobnicate")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "error: there is no command 'frobnicate'. `multinode --help` lists them\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("get", "--jsn"), "No such option '--jsn'"),
        (("deploy",), "Missing argument 'CODE_PATH'"),
        (("deploy", "."), "Missing option '--project-name'"),
        (("logs", "inv-1", "--tail", "many"), "Invalid value for '--tail'"),
        (("list", "p", "f", "--status", "GONE"), "Invalid value for '--status'"),
        (("get",), "which invocation? Give --invocation-id"),
        (("get", "a", "b"), "'b' is one argument too many"),
        (("wait",), "which invocation? Give its id"),
        (("invoke", "p"), "which function? Give --function-name"),
        (("invoke", "p", "f", "g"), "'g' is one argument too many"),
        (("undeploy",), "which project? Give --project-name"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    multinode: Multinode, arguments: tuple[str, ...], message: str
) -> None:
    outcome = multinode(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {message}")
    assert outcome.err.rstrip().endswith(f"(see: multinode {arguments[0]} --help)")
    assert outcome.err.count("\n") == 1


# --- failures of all kinds ---


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ControlPlaneNotConfiguredError("none configured"), 3, "none configured"),
        (ProjectDoesNotExist(), 2, "A project with this name does not exist. `multinode list` shows"),
        (LimitIsReached("too many wait"), 3, "too many wait"),
        (PermissionError(13, "Permission denied", "/data"), 3, "[Errno 13] Permission denied: '/data'"),
        (click.ClickException("from click"), 2, "from click"),
        (click.Abort(), 130, None),
        (KeyboardInterrupt(), 130, None),
        (ZeroDivisionError("division by zero"), 3, "multinode itself failed: ZeroDivisionError: division by zero"),
    ],
)
def test_whatever_a_command_raises_is_one_message_and_an_exit_code(
    multinode: Multinode, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str | None
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(LazyGroup, "get_command", lambda self, ctx, name: failing)
    outcome = multinode("list")
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.startswith("Interrupted\n" if message is None else f"error: {message}")


def test_with_debugging_on_a_fault_of_multinode_keeps_its_traceback(
    multinode: Multinode, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def failing() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(LazyGroup, "get_command", lambda self, ctx, name: failing)
    monkeypatch.setenv("MULTINODE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        multinode("list")


def test_a_fault_of_the_control_plane_names_the_request(multinode: Multinode, plane: FakeControlPlane) -> None:
    plane.faults.extend([refuses(ErrorCode.INTERNAL_ERROR, request_id="req-7")] * 50)
    outcome = multinode("list")
    assert (outcome.code, outcome.err) == (3, "error: The control plane failed (request req-7)\n")


def test_a_passing_fault_of_the_control_plane_is_not_noticed(plane: FakeControlPlane) -> None:
    plane.faults.append(refuses(ErrorCode.CONTROL_PLANE_IS_BUSY))
    # By default a request to this machine is tried again for little more than a second.
    assert Api(Connection(plane.url, KEY, "environment"), retry_for_s=PATIENCE_S).projects() == []
    assert not plane.faults


def test_messages_of_the_control_plane_are_cleaned(multinode: Multinode, plane: FakeControlPlane) -> None:
    plane.faults.append(refuses(ErrorCode.REQUEST_IS_INVALID, "bad \x1b[2J\x07name"))
    assert multinode("list").err == "error: bad name\n"


# --- no control plane ---


def test_without_a_control_plane_the_message_says_how_to_get_one(multinode: Multinode) -> None:
    outcome = multinode("list")
    assert outcome.code == 3
    assert "`multinode login`" in outcome.err
    assert "`multinode local start`" in outcome.err


def test_a_profile_of_a_server_that_has_gone_is_named(multinode: Multinode, config_dir: Path) -> None:
    config_dir.mkdir(mode=0o700)
    (config_dir / "profile.json").write_text(f'{{"api_url": "http://127.0.0.1:1", "api_key": "{KEY}"}}')
    (config_dir / "profile.json").chmod(0o600)
    outcome = multinode("list")
    assert outcome.code == 3
    assert outcome.err == (
        f"error: the control plane at http://127.0.0.1:1 (from {config_dir}/profile.json) cannot be reached: "
        "connection refused. If it is the local control plane of this machine, start it: multinode local start\n"
    )


def test_a_profile_whose_key_is_refused_is_named(
    multinode: Multinode, config_dir: Path, unconnected_plane: FakeControlPlane
) -> None:
    config_dir.mkdir(mode=0o700)
    (config_dir / "profile.json").write_text(f'{{"api_url": "{unconnected_plane.url}", "api_key": "mn_old_key"}}')
    (config_dir / "profile.json").chmod(0o600)
    outcome = multinode("list")
    assert outcome.code == 3
    assert f"refuses the key in {config_dir}/profile.json: it was revoked, or another deployment answers" in outcome.err
    assert "Log in again with `multinode login`" in outcome.err


def test_a_refused_key_from_the_environment_is_said_to_be_from_there(
    multinode: Multinode, plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTINODE_API_KEY", "mn_other_key")
    outcome = multinode("list")
    assert outcome.code == 3
    assert "refuses the key in MULTINODE_API_KEY" in outcome.err


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("", 0o600, "is damaged"),
        ("{", 0o600, "is damaged"),
        ('{"api_url": "http://example.org", "api_key": "k"}', 0o600, "is damaged: .*unprotected"),
        ('{"api_url": "http://127.0.0.1:1", "api_key": "k"}', 0o644, "is open to others"),
    ],
)
def test_a_profile_that_cannot_be_trusted_is_refused(
    multinode: Multinode, config_dir: Path, content: str, mode: int, message: str
) -> None:
    config_dir.mkdir(mode=0o700)
    (config_dir / "profile.json").write_text(content)
    (config_dir / "profile.json").chmod(mode)
    outcome = multinode("list")
    assert outcome.code == 3
    assert re.search(message, outcome.err)


# --- as a process ---


def start(plane: FakeControlPlane, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"MULTINODE_API_URL": plane.url, "MULTINODE_API_KEY": KEY, "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-m", "multinode_cli.main", *arguments]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error_message(plane: FakeControlPlane) -> None:
    plane.add_project("p", function_info("f"))
    identifier = plane.add_invocation(1, "p", "f", "SUCCEEDED")
    for number in range(20_000):
        plane.write(identifier, f"line {number}")
    process = start(plane, "logs", identifier)
    assert process.stdout is not None
    assert process.stdout.readline() == "line 0\n"
    process.stdout.close()
    with process:
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=300) == 141


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_exit_code_130(plane: FakeControlPlane) -> None:
    plane.add_project("p", function_info("f"))
    identifier = plane.add_invocation(1, "p", "f")
    plane.write(identifier, "first")
    process = start(plane, "logs", "-f", identifier)
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (130, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_crash(plane: FakeControlPlane, closed: str) -> None:
    environment = os.environ | {"MULTINODE_API_URL": plane.url, "MULTINODE_API_KEY": KEY}
    command = f"exec {sys.executable} -m multinode_cli.main list --json {closed}"
    assert subprocess.run(["/bin/sh", "-c", command], env=environment, check=False).returncode == 0


@pytest.mark.slow
def test_a_locale_without_utf_8_shows_escapes_instead_of_failing(plane: FakeControlPlane) -> None:
    plane.add_project("p", function_info("f", description="grüße"))
    environment = os.environ | {
        "MULTINODE_API_URL": plane.url,
        "MULTINODE_API_KEY": KEY,
        "PYTHONIOENCODING": "ascii",
    }
    command = [sys.executable, "-m", "multinode_cli.main", "describe", "p"]
    finished = subprocess.run(command, env=environment, check=True, capture_output=True)
    assert b"gr\\xfc\\xdfe" in finished.stdout


def test_run_gives_back_the_exit_code(plane: FakeControlPlane, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--json"]) == 0
    assert run(["get", "nothing"]) == 2
