"""Makes a virtual environment and installs requirements into it: with uv if there is one, else with venv and pip.

The installer's output is shown on the terminal's live line; in a pipe each line is passed on. If it fails, its last
lines become the error message.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from multinode_cli.console.programs import run_shown
from multinode_cli.console.terminal import Terminal
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.requirements import Requirements

LAST_LINES = 15
NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")


def child_environment() -> dict[str, str]:
    """Return the variables for an installer: this process's own, without those that change Python's imports."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}


class Installer:
    """`name` is ``uv`` or ``pip``."""

    def __init__(self, terminal: Terminal, uv: str | None = None) -> None:
        self._terminal = terminal
        self._uv = uv
        self.name = "uv" if uv else "pip"

    @classmethod
    def found(cls, terminal: Terminal) -> "Installer":
        """Return the installer of this machine: uv if it is on the PATH."""
        return cls(terminal, shutil.which("uv"))

    def make_environment(self, venv: Path, *, with_installer: bool) -> None:
        """Make an empty virtual environment of this Python at `venv`. Raises ControlPlaneFailure."""
        if self._uv:
            command = [self._uv, "venv", "--no-project", "--python", sys.executable, str(venv)]
        else:
            command = [sys.executable, "-m", "venv", *([] if with_installer else ["--without-pip"]), str(venv)]
        code, last = self._run(command, venv.parent, "Making a virtual environment", in_pipe=False)
        if code != 0:
            program = "uv venv" if self._uv else "python -m venv"
            raise ControlPlaneFailure(
                f"a virtual environment could not be created: {program} failed (exit code {code}){last}"
            )

    def install(self, python: Path, requirements: Requirements, folder: Path, code_dir: Path) -> None:
        """Install into the environment of `python`; relative paths begin in `code_dir`. Raises UsageFailure."""
        (folder / "requirements.txt").write_text(requirements.text, encoding="utf-8")
        (folder / "constraints.txt").write_text(requirements.constraints, encoding="utf-8")
        files = ["-r", str(folder / "requirements.txt")]
        if requirements.constraints.strip():
            files += ["-c", str(folder / "constraints.txt")]
        if self._uv:
            command = [self._uv, "pip", "install", "--python", str(python), *files]
        else:
            quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
            command = [str(python), "-m", "pip", "install", *quiet, *files]
        code, last = self._run(command, code_dir, "Installing requirements.txt", in_pipe=True)
        if code != 0:
            raise UsageFailure(f"requirements.txt could not be installed: {self.name} failed (exit code {code}){last}")

    def _run(self, command: Sequence[str], folder: Path, title: str, *, in_pipe: bool) -> tuple[int, str]:
        """Return the exit code of `command`, and its last lines, indented, unless the user has seen them already."""
        code, last = run_shown(
            command, title, self._terminal, keep=LAST_LINES, cwd=folder, env=child_environment(), in_pipe=in_pipe
        )
        seen = in_pipe and not self._terminal.animated
        return code, "" if seen else "".join(f"\n  {line}" for line in last)
