"""``python -m multinode.worker.discover`` as `deploy` runs it."""

import json
import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.processes import alive, without_marks
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.slow

DISCOVER = [sys.executable, "-P", "-m", "multinode.worker.discover"]
APP = "from multinode import Multinode\nmn = Multinode()\n"


@pytest.fixture
def discover(tmp_path: Path):
    """Return what discover writes about a `main.py` of this source, and the process that it was."""

    def discover(source, *options, **files):
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        for name, text in {"main": source, **files}.items():
            if text is not None:
                (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        output = tmp_path / "found.json"
        ended = subprocess.run(
            [*DISCOVER, "--code-dir", folder, "--output", output, *options],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert ended.stdout == ""
        assert ended.returncode == 0
        return json.loads(output.read_text()), ended

    return discover


def problem(found):
    """Return kind, message and traceback of a project in which nothing was found."""
    assert list(found) == ["error"]
    return found["error"]["kind"], found["error"]["message"], found["error"]["traceback"]


def test_the_functions_are_found_with_their_specs(discover) -> None:
    found, _ = discover(
        APP
        + textwrap.dedent(
            '''
            from parts import extra
            @mn.function(cpu=2, memory="4 GiB", timeout=60, max_concurrency=3, max_retries=1)
            def work(x, y=1):
                """Does it.

                At length.
                """
            extra(mn)
            '''
        ),
        parts="def extra(mn):\n    @mn.function()\n    def more(*args): pass\n",
    )
    assert found["python"] == platform.python_version()
    work, more = found["functions"]
    assert work["function_name"] == "work"
    assert work["resource_spec"] == {"virtual_cpus": 2.0, "memory_gbs": 4.0, "max_concurrency": 3}
    assert work["execution_spec"]["timeout_seconds"] == 60
    assert work["execution_spec"]["max_retries"] == 1
    assert work["description"] == "Does it."
    assert work["signature"] == ["x", "y="]
    assert (more["function_name"], more["signature"]) == ("more", ["*args"])


def test_no_main(discover) -> None:
    found, _ = discover(None)
    kind, message, traceback = problem(found)
    assert (kind, traceback) == ("no_main", None)
    assert message.startswith("there is no main.py in ")


def test_a_folder_that_does_not_exist_has_no_main(tmp_path: Path) -> None:
    output = tmp_path / "found.json"
    command = [*DISCOVER, "--code-dir", str(tmp_path / "no"), "--output", str(output)]
    assert subprocess.run(command, timeout=PATIENCE_S).returncode == 0
    assert problem(json.loads(output.read_text()))[0] == "no_main"


def test_an_import_that_raises_gives_the_users_traceback_only(discover) -> None:
    found, _ = discover("import parts\n", parts="def deeper():\n    raise ValueError('no')\ndeeper()\n")
    kind, message, traceback = problem(found)
    assert (kind, message, without_marks(traceback)) == (
        "import_failed",
        "main.py cannot be imported: ValueError: no",
        "Traceback (most recent call last):\n"
        '  File "main.py", line 1, in <module>\n'
        "    import parts\n"
        '  File "parts.py", line 3, in <module>\n'
        "    deeper()\n"
        '  File "parts.py", line 2, in deeper\n'
        "    raise ValueError('no')\n"
        "ValueError: no\n",
    )


def test_a_syntax_error_shows_its_line(discover) -> None:
    found, _ = discover("def broken(:\n    pass\n")
    kind, message, traceback = problem(found)
    assert kind == "import_failed"
    assert message.startswith("main.py cannot be imported: SyntaxError: ")
    assert '  File "main.py", line 1\n    def broken(:\n' in traceback


def test_a_missing_module_points_to_the_requirements(discover) -> None:
    found, _ = discover("import surely_not_installed\n")
    assert problem(found)[:2] == (
        "import_failed",
        "main.py cannot be imported: ModuleNotFoundError: No module named 'surely_not_installed'."
        " If it is in a package, add that to requirements.txt",
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys; sys.exit(3)", "main.py cannot be imported: SystemExit: the code called sys.exit(3)"),
        ("raise KeyboardInterrupt", "main.py cannot be imported: KeyboardInterrupt"),
        ("import os; os._exit(3)", "main.py cannot be imported: the process that imported it ended with exit code 3"),
        ("import os; os._exit(0)", "main.py cannot be imported: the process that imported it ended with exit code 0"),
        (
            "import ctypes; ctypes.string_at(0)",
            "main.py cannot be imported: the process that imported it was ended by SIGSEGV",
        ),
    ],
)
def test_an_import_that_leaves_is_a_failed_import(discover, source, message) -> None:
    found, _ = discover(source)
    assert problem(found)[:2] == ("import_failed", message)


def test_an_import_that_never_ends_is_ended_and_shows_where_it_was(discover) -> None:
    source = "import time\ntry:\n    time.sleep(3600)\nexcept Exception:\n    pass\n"
    for seconds in ("1", "5", "25", "125"):  # on a busy machine a second may be over before main.py is reached
        found, _ = discover(source, "--timeout-s", seconds)
        kind, message, traceback = problem(found)
        assert kind == "import_failed"
        assert message.startswith(f"the import of main.py did not end within {seconds} s")
        if "    time.sleep(3600)\n" in traceback:
            break
    assert "    time.sleep(3600)\n" in traceback


def test_an_import_that_catches_everything_is_killed(discover) -> None:
    source = "import time\nwhile True:\n    try:\n        time.sleep(3600)\n    except BaseException:\n        pass\n"
    found, _ = discover(source, "--timeout-s", "1")
    kind, message, _ = problem(found)
    assert kind == "import_failed"
    assert "did not end within 1 s" in message


def test_what_the_import_prints_goes_to_stderr(discover) -> None:
    found, ended = discover(APP + "print('hello')\n@mn.function()\ndef work(): pass")
    assert [function["function_name"] for function in found["functions"]] == ["work"]
    assert "hello" in ended.stderr


def test_threads_and_processes_of_the_import_neither_hold_it_up_nor_stay(discover, tmp_path: Path) -> None:
    found, _ = discover(
        APP
        + textwrap.dedent(
            f"""
            import subprocess, threading, time
            threading.Thread(target=time.sleep, args=(3600,)).start()
            daemon = subprocess.Popen(["sleep", "3600"], close_fds=False)
            open({str(tmp_path / "pid")!r}, "w").write(str(daemon.pid))
            @mn.function()
            def work(): pass
            """
        )
    )
    assert list(found) == ["functions", "python", "multinode"]
    assert not alive(int((tmp_path / "pid").read_text()))


def test_no_app(discover) -> None:
    kind, message, _ = problem(discover("x = 1")[0])
    assert kind == "no_app"
    assert "mn = Multinode()" in message


def test_several_apps_are_named(discover) -> None:
    kind, message, _ = problem(discover(APP + "other = Multinode()")[0])
    assert kind == "several_apps"
    assert "2 Multinode objects, mn, other" in message


def test_one_app_under_two_names_is_one(discover) -> None:
    found, _ = discover(APP + "other = mn\n@mn.function()\ndef work(): pass")
    assert "functions" in found


def test_an_app_of_another_module_counts_when_main_has_it(discover) -> None:
    found, _ = discover("from parts import mn", parts=APP + "@mn.function()\ndef work(): pass")
    assert [function["function_name"] for function in found["functions"]] == ["work"]


def test_no_functions(discover) -> None:
    kind, message, _ = problem(discover(APP)[0])
    assert kind == "no_functions"
    assert "@mn.function()" in message


def test_a_duplicate_function_is_named_with_both_places(discover) -> None:
    kind, message, traceback = problem(discover(APP + "@mn.function()\ndef work(): pass\n" * 2)[0])
    assert kind == "duplicate_function"
    assert "'work'" in message
    assert 'File "main.py", line 5' in traceback


@pytest.mark.parametrize("bad", ["cpu=-1", "memory='lots'", "timeout=0", "max_retries=1.5"])
def test_a_bad_value_of_the_decorator_is_an_invalid_function(discover, bad) -> None:
    kind, message, traceback = problem(discover(APP + f"@mn.function({bad})\ndef work(): pass")[0])
    assert kind == "invalid_function"
    assert bad.split("=")[0] in message
    assert 'File "main.py", line 3' in traceback


def test_a_bad_value_of_a_retry_is_an_invalid_function(discover) -> None:
    source = "from multinode import Multinode, Retry\nmn = Multinode()\nRetry(99)"
    kind, message, _ = problem(discover(source)[0])
    assert kind == "invalid_function"
    assert message.startswith("Retry's max_retries is 99")


def test_an_error_of_the_same_class_outside_the_decorator_is_a_failed_import(discover) -> None:
    source = "from multinode.errors import ParameterValidationError\nraise ParameterValidationError('mine')"
    assert problem(discover(source)[0])[0] == "import_failed"


def test_an_output_that_cannot_be_written_is_an_error_of_the_call(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP + "@mn.function()\ndef work(): pass")
    command = [*DISCOVER, "--code-dir", str(tmp_path), "--output"]
    ended = subprocess.run(
        [*command, str(tmp_path / "no" / "found.json")], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert ended.returncode == 1
    assert "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_wrong_usage_exits_with_2() -> None:
    ended = subprocess.run(DISCOVER, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 2
    assert "--code-dir" in ended.stderr
