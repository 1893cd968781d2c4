"""The virtual environment of a project: made once, used again, made anew when it was left unfinished."""

import io
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from multinode_cli.backends.local.installer import Installer
from multinode_cli.backends.local.venv import Environment, environment_key, prepare
from multinode_cli.console.terminal import Style, Terminal
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.requirements import Requirements

WHEEL = "demo-1.0-py3-none-any.whl"


def silent() -> Terminal:
    return Terminal(io.StringIO(), io.StringIO(), Style(), Style(), animated=False)


def said(terminal: Terminal) -> str:
    assert isinstance(terminal.err, io.StringIO)
    return terminal.err.getvalue()


def requires(text: str, constraints: str = "\n") -> Requirements:
    return Requirements(text, constraints, names_files=False)


def add_wheel(folder: Path, name: str, version: str, module: str, content: str) -> None:
    """Write a package of one module that can be installed without a network."""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        info = f"{name}-{version}.dist-info"
        wheel.writestr(module, content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{module},,\n{info}/METADATA,,\n")


@pytest.fixture
def code_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    add_wheel(folder, "demo", "1.0", "demo.py", "VALUE = 42\n")
    return folder


def make(
    environments: Path, code_dir: Path, requirements: Requirements | None = None, terminal: Terminal | None = None
) -> Environment:
    terminal = terminal or silent()
    return prepare(
        environments,
        requirements,
        code_dir=code_dir,
        code_sha256="0" * 64,
        terminal=terminal,
        installer=Installer(terminal),
    )


def evaluate(environment: Environment, expression: str) -> str:
    """Return what `expression` prints in the environment."""
    command = [str(environment.python), "-P", "-c", f"print({expression})"]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={}).stdout.strip()


# --- the key ---


def test_the_key_depends_on_what_is_installed_and_how() -> None:
    keys = {
        environment_key(None, "a", "pip"),
        environment_key(None, "a", "uv"),
        environment_key(requires("numpy\n"), "a", "pip"),
        environment_key(requires("numpy\n", "numpy<3\n"), "a", "pip"),
        environment_key(requires("click\n"), "a", "pip"),
    }
    assert len(keys) == 5


def test_the_key_depends_on_the_code_only_when_some_of_it_is_installed() -> None:
    plain, local = requires("numpy\n"), Requirements("./package\n", "\n", names_files=True)
    assert environment_key(plain, "a", "pip") == environment_key(plain, "b", "pip")
    assert environment_key(local, "a", "pip") != environment_key(local, "b", "pip")


# --- the environment ---


@pytest.mark.slow(about_s=35)
def test_without_requirements_the_worker_can_be_imported_and_nothing_is_downloaded(
    tmp_path: Path, code_dir: Path
) -> None:
    environment = make(tmp_path / "environments", code_dir)
    folder = environment.python.parents[2]
    assert environment.created
    assert evaluate(environment, "__import__('multinode.worker').__file__").startswith(
        str(folder / "multinode_runtime")
    )
    assert str(folder / "multinode_fallback") in evaluate(environment, "__import__('cloudpickle').__file__")
    assert evaluate(environment, "__import__('importlib.metadata').metadata.version('urllib3')") != ""


@pytest.mark.slow
def test_requirements_are_installed_and_win_over_what_multinode_brings(tmp_path: Path, code_dir: Path) -> None:
    add_wheel(code_dir, "cloudpickle", "99", "cloudpickle/__init__.py", "__version__ = '99'\n")
    requirements = requires(f"--no-index\n./{WHEEL}\n./cloudpickle-99-py3-none-any.whl\n")
    environment = make(tmp_path / "environments", code_dir, requirements)
    assert evaluate(environment, "__import__('demo').VALUE") == "42"
    assert evaluate(environment, "__import__('cloudpickle').__version__") == "99"
    assert "multinode_runtime" in evaluate(environment, "__import__('multinode').__file__")


@pytest.mark.slow
def test_an_environment_is_used_again_until_it_is_damaged(tmp_path: Path, code_dir: Path) -> None:
    first = make(tmp_path / "environments", code_dir)
    assert make(tmp_path / "environments", code_dir) == Environment(first.python, created=False)
    first.python.unlink()
    assert make(tmp_path / "environments", code_dir) == Environment(first.python, created=True)


@pytest.mark.slow
def test_an_environment_left_unfinished_is_made_anew(tmp_path: Path, code_dir: Path) -> None:
    first = make(tmp_path / "environments", code_dir)
    folder = first.python.parents[2]
    (folder / "complete").unlink()
    (folder / "half of something").touch()
    assert make(tmp_path / "environments", code_dir).created
    assert not (folder / "half of something").exists()


@pytest.mark.slow
def test_two_deploys_at_once_make_one_environment(tmp_path: Path, code_dir: Path) -> None:
    made: list[Environment] = []
    terminals = [silent(), silent()]
    threads = [
        threading.Thread(target=lambda t=terminal: made.append(make(tmp_path / "environments", code_dir, None, t)))
        for terminal in terminals
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(environment.created for environment in made) == [False, True]
    assert "Another deploy is building the same environment" in "".join(map(said, terminals))


@pytest.mark.slow
def test_a_failed_installation_ends_with_the_installers_lines_and_is_retried(tmp_path: Path, code_dir: Path) -> None:
    terminal = silent()
    requirements = requires("--no-index\nno-such-package-of-multinode\n")
    with pytest.raises(UsageFailure, match=r"requirements\.txt could not be installed: pip failed \(exit code 1\)"):
        make(tmp_path / "environments", code_dir, requirements, terminal)
    assert "No matching distribution found for no-such-package-of-multinode" in said(terminal)
    folder = next(path for path in (tmp_path / "environments").iterdir() if path.is_dir())
    assert not (folder / "complete").exists()


@pytest.mark.slow
def test_the_message_keeps_the_installers_lines_that_one_live_line_showed(tmp_path: Path, code_dir: Path) -> None:
    terminal = Terminal(io.StringIO(), io.StringIO(), Style(), Style(), animated=True)
    with pytest.raises(UsageFailure, match=r"exit code 1\)\n(.*\n)*  ERROR: No matching distribution"):
        make(tmp_path / "environments", code_dir, requires("--no-index\nno-such-package\n"), terminal)


@pytest.mark.slow
def test_the_callers_own_python_settings_do_not_reach_the_installer(
    tmp_path: Path, code_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "pip.py").write_text("raise SystemExit('the wrong pip')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    environment = make(tmp_path / "environments", code_dir, requires(f"--no-index\n./{WHEEL}\n"))
    assert evaluate(environment, "__import__('demo').VALUE") == "42"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, code_dir: Path) -> None:
    (tmp_path / "environments").write_text("in the way")
    with pytest.raises(ControlPlaneFailure, match=r"cannot create an environment in .*environments"):
        make(tmp_path / "environments", code_dir)


# --- the installer ---


@pytest.fixture
def uv(tmp_path: Path) -> Path:
    """A program in uv's place that writes down how it was called."""
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    write_down = f"open({str(tmp_path / 'calls')!r}, 'a').write(repr(sys.argv[1:]) + '\\n')"
    program.write_text(f"#!{sys.executable}\nimport sys\n{write_down}\n")
    program.chmod(0o755)
    return program


@pytest.mark.slow
def test_uv_is_used_where_it_is_on_the_path(tmp_path: Path, uv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{uv.parent}{os.pathsep}{os.environ['PATH']}")
    installer = Installer.found(silent())
    assert installer.name == "uv"
    installer.make_environment(tmp_path / "venv", with_installer=True)
    installer.install(tmp_path / "python", requires("numpy\n", "numpy<3\n"), tmp_path, tmp_path)
    first, second = [eval(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert first == ["venv", "--no-project", "--python", sys.executable, str(tmp_path / "venv")]
    assert second == [
        "pip", "install", "--python", str(tmp_path / "python"),
        "-r", str(tmp_path / "requirements.txt"), "-c", str(tmp_path / "constraints.txt"),
    ]  # fmt: skip
    assert (tmp_path / "constraints.txt").read_text() == "numpy<3\n"


def test_without_uv_pip_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Installer.found(silent()).name == "pip"


@pytest.mark.slow
def test_ctrl_c_ends_the_installer_too(tmp_path: Path) -> None:
    """The program holds a pipe open for as long as it lives."""
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    program = tmp_path / "uv"
    steps = ("import time", f"pipe = open({str(alive)!r}, 'w')", "print('x', flush=True)", "time.sleep(600)")
    program.write_text("\n".join((f"#!{sys.executable}", *steps, "")))
    program.chmod(0o755)

    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    installer = Installer(Terminal(None, Interrupted(), Style(), Style(), animated=False), str(program))
    with pytest.raises(KeyboardInterrupt):
        installer.install(tmp_path / "python", requires("numpy\n"), tmp_path, tmp_path)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)
