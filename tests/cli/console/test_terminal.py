"""What only a terminal shows: colour, the live line, questions without echo. Through a real pseudo-terminal."""

import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path

import pytest

from multinode_cli.console.terminal import Style, Terminal, style_of
from tests.support.bodies import execution, function_info
from tests.support.control_plane import KEY, FakeControlPlane

DEADLINE_S = 300.0


class Screen(io.StringIO):
    """A stream that says of itself that it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "colour"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, False),
     ({"TERM": "xterm", "NO_COLOR": ""}, True)],
)  # fmt: skip
def test_colour_is_for_terminals_that_have_it_and_users_who_want_it(environ: dict[str, str], colour: bool) -> None:
    assert style_of(Screen(), environ).colour is colour


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_a_pipe_has_neither_colour_nor_width(stream: io.StringIO | None) -> None:
    style = style_of(stream, {"TERM": "xterm"})
    assert (style.colour, style.terminal, style.columns) == (False, False, None)
    assert style.paint("x", "red") == "x"


def test_the_live_line_leaves_no_trace_and_never_mixes_with_messages() -> None:
    err = Screen()
    terminal = Terminal(io.StringIO(), err, Style(), Style(terminal=True, columns=20), animated=True)
    with terminal.live(lambda: "a text that is longer than the terminal is wide"):
        deadline = time.monotonic() + DEADLINE_S
        while err.getvalue().count("a text") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        terminal.message("a message")
    drawn = err.getvalue().split("\r\x1b[2K")
    assert "| a text that is..." in [part.replace("/", "|").replace("-", "|").replace("\\", "|") for part in drawn]
    assert "a message\n" in drawn
    assert drawn[-1] == ""


def test_without_animation_the_live_line_is_never_asked_for() -> None:
    err = io.StringIO()

    def never() -> str:
        raise AssertionError

    with Terminal(None, err, Style(), Style(), animated=False).live(never):
        pass
    assert err.getvalue() == ""


class Session:
    """A command in a pseudo-terminal."""

    def __init__(self, plane: FakeControlPlane, *arguments: str, columns: int = 80, **environ: str) -> None:
        self.read = b""
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
        environment |= {name: value for name, value in os.environ.items() if name == "MULTINODE_CONFIG_DIR"}
        if arguments[0] != "login":
            environment |= {"MULTINODE_API_URL": plane.url, "MULTINODE_API_KEY": KEY}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "multinode_cli.main", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment | environ,
            start_new_session=True,
            preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def until(self, seen: Callable[[str], bool], patience_s: float = DEADLINE_S) -> str:
        """Read until `seen` of all that was shown, or the end of the command; return all of it."""
        deadline = time.monotonic() + patience_s
        while not seen(self.text) and time.monotonic() < deadline:
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self._master, 4096)
            except OSError:  # Linux's way to say that the other side is closed
                break
            if not data:
                break
            self.read += data
        return self.text

    @property
    def text(self) -> str:
        return self.read.decode("utf-8", "replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        self.until(lambda _: False)
        os.close(self._master)
        return self._process.wait(timeout=DEADLINE_S)


@pytest.fixture
def identifier(plane: FakeControlPlane) -> str:
    plane.add_project("tsp", function_info("solve", ["n"], description="A long description of it. " * 10))
    return plane.add_invocation(1, "tsp", "solve", "RUNNING", executions=[execution(1, output="0.5")])


@pytest.mark.slow
def test_following_on_a_terminal_shows_a_live_line_and_ctrl_c_detaches(
    plane: FakeControlPlane, identifier: str
) -> None:
    plane.write(identifier, "\x1b]0;title\x07hello")
    session = Session(plane, "wait", identifier, "--follow")
    session.until(lambda text: "progress: 0.5" in text and "hello" in text)
    session.type("\x03")
    assert session.end() == 130
    assert "\x1b]0;" not in session.text
    assert session.text.endswith(
        f"Detached: {identifier} continues.\n"
        f"  come back:  multinode wait {identifier} --follow\n"
        f"  cancel it:  multinode cancel {identifier}\n"
    )
    assert plane.invocations[identifier]["status"] == "RUNNING"


@pytest.mark.slow
@pytest.mark.parametrize("command", [("wait",), ("wait", "--follow")])
def test_the_result_stands_alone_on_its_line(
    plane: FakeControlPlane, identifier: str, command: tuple[str, ...]
) -> None:
    session = Session(plane, *command, identifier)
    session.until(lambda text: "\r\x1b[2K" in text)
    plane.change(identifier, status="SUCCEEDED", result="7")
    assert session.end() == 0
    assert session.text.endswith("\r\x1b[2K7\n")


@pytest.mark.slow
def test_a_dumb_terminal_gets_neither_colour_nor_movement(plane: FakeControlPlane, identifier: str) -> None:
    plane.change(identifier, status="SUCCEEDED", result="7")
    session = Session(plane, "wait", identifier, "--follow", TERM="dumb")
    assert session.end() == 0
    assert "\x1b" not in session.text


@pytest.mark.slow
def test_tables_fit_a_narrow_terminal(plane: FakeControlPlane, identifier: str) -> None:
    session = Session(plane, "describe", "tsp", columns=90, NO_COLOR="1")
    assert session.end() == 0
    lines = session.text.splitlines()
    assert any(line.endswith("...") for line in lines)
    assert max(map(len, lines)) <= 90


@pytest.mark.slow
def test_the_key_is_asked_for_without_echo(
    unconnected_plane: FakeControlPlane, config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTINODE_CONFIG_DIR", str(config_dir))
    session = Session(unconnected_plane, "login")
    session.until(lambda text: "Control plane URL: " in text)
    session.type(f"{unconnected_plane.url}\n")
    session.until(lambda text: "API key: " in text)
    session.type(f"{KEY}\n")
    assert session.end() == 0
    assert KEY not in session.text
    assert KEY in (config_dir / "profile.json").read_text()


@pytest.mark.slow
def test_ctrl_c_at_a_question_changes_nothing(plane: FakeControlPlane, identifier: str) -> None:
    session = Session(plane, "undeploy", "tsp")
    session.until(lambda text: "[y/N]" in text)
    session.type("\x03")
    session.until(lambda text: "Interrupted" in text, patience_s=20)
    if "Interrupted" not in session.text:
        # Between the question and the first look for an answer, Python's input() notices Ctrl-C at the next key only.
        session.type("\x03")
    assert session.end() == 130
    assert session.text.endswith("\nInterrupted\n")
    assert plane.projects["tsp"]["deletion_request_time"] is None


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_the_command(plane: FakeControlPlane, identifier: str) -> None:
    session = Session(plane, "wait", identifier, "--follow")
    session.until(lambda text: "progress" in text)
    os.close(session._master)
    assert session._process.wait(timeout=DEADLINE_S) == -signal.SIGHUP
