"""Finding the functions of ``main.py`` in a process of its own."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.console.terminal import Style, Terminal
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.discovery import discover, problem_text

ORIGIN = Path("/home/ada/project")


@pytest.fixture
def code_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def python_that(tmp_path: Path, program: str) -> Path:
    """Return an interpreter that, asked to find functions, runs `program` instead; ``report`` is where it writes to."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\nreport = sys.argv[-1]\n{program}\n")
    path.chmod(0o755)
    return path


def find(python: Path, code_dir: Path, timeout_s: float = 60.0, **variables: str) -> Any:
    terminal = Terminal(io.StringIO(), io.StringIO(), Style(), Style(), animated=False)
    return discover(python, code_dir, variables, origin=ORIGIN, terminal=terminal, timeout_s=timeout_s)


pytestmark = pytest.mark.slow


def test_the_functions_that_were_found_are_returned(tmp_path: Path, code_dir: Path) -> None:
    report = {"functions": [{"function_name": "f"}], "python": "3.12.1", "multinode": "2.0.0"}
    found = find(python_that(tmp_path, f"open(report, 'w').write({json.dumps(report)!r})"), code_dir)
    assert (found.functions, found.python) == ([{"function_name": "f"}], "3.12.1")


def test_the_module_is_run_on_the_copy_and_sees_what_a_worker_sees(
    tmp_path: Path, code_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TERMINAL", "x")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    seen = "{'functions': [sys.argv[1:], dict(os.environ), os.getcwd()], 'python': '3'}"
    program = f"json.dump({seen}, open(report, 'w'))"
    python = python_that(tmp_path, program)
    arguments, environment, folder = find(python, code_dir, TOKEN="from .env").functions
    assert arguments[:5] == ["-P", "-m", "multinode.worker.discover", "--code-dir", str(code_dir)]
    assert arguments[5] == "--output"
    assert folder == str(code_dir)
    assert environment["TOKEN"] == "from .env"
    assert environment["PATH"].split(os.pathsep)[0] == str(tmp_path)
    assert "SECRET_OF_THE_TERMINAL" not in environment
    assert "PYTHONPATH" not in environment


def test_an_import_that_fails_shows_the_users_traceback_in_the_users_folder(tmp_path: Path, code_dir: Path) -> None:
    error = {
        "kind": "import_failed",
        "message": "main.py cannot be imported: ValueError: no",
        "traceback": f'Traceback (most recent call last):\n  File "{code_dir}/main.py", line 3\nValueError: no\n',
    }
    python = python_that(tmp_path, f"json.dump({{'error': {error!r}}}, open(report, 'w'))")
    with pytest.raises(UsageFailure) as caught:
        find(python, code_dir)
    assert caught.value.message == (
        "main.py cannot be imported: ValueError: no\n"
        "  Traceback (most recent call last):\n"
        '    File "/home/ada/project/main.py", line 3\n'
        "  ValueError: no"
    )


def test_an_import_that_ends_the_process_says_how_and_what_was_printed(tmp_path: Path, code_dir: Path) -> None:
    with pytest.raises(UsageFailure, match=r"ended the whole process \(exit code 7\)\. It printed:\n  bye"):
        find(python_that(tmp_path, "print('bye', flush=True); os._exit(7)"), code_dir)


def test_an_import_that_dies_of_a_signal_names_it(tmp_path: Path, code_dir: Path) -> None:
    with pytest.raises(UsageFailure, match=r"\(signal SIGSEGV\)"):
        find(python_that(tmp_path, "os.kill(os.getpid(), 11)"), code_dir)


def test_an_import_that_never_ends_is_stopped_with_all_that_it_started(tmp_path: Path, code_dir: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    # The grandchild holds the pipe open: its end can be read once the grandchild is gone.
    program = f"os.system('sleep 600 > {alive} &'); time.sleep(600)"
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(UsageFailure, match="took longer than 1 s and was stopped"):
        find(python_that(tmp_path, program), code_dir, timeout_s=1.0)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.parametrize("content", ["not JSON", "[]"])
def test_a_damaged_report_is_no_fault_of_the_user(tmp_path: Path, code_dir: Path, content: str) -> None:
    with pytest.raises(ControlPlaneFailure, match="damaged"):
        find(python_that(tmp_path, f"open(report, 'w').write({content!r})"), code_dir)


def test_a_message_loses_what_a_terminal_would_obey(code_dir: Path) -> None:
    assert problem_text({"message": "bad \x1b[2Jname"}, code_dir, ORIGIN) == "bad name"
