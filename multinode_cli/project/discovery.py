"""``main.py`` imported in the project's own environment -> the functions that it defines.

The CLI itself never imports the project's code: `multinode.worker.discover` does, in a process of its own, with the
project's packages and variables.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from multinode_cli.console.terminal import Terminal
from multinode_cli.console.text import clean, path_text
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_protocol.env_vars import INHERITED
from multinode_protocol.messages import FunctionSpec

TIMEOUT_S = 180.0
"""More than `multinode.worker.discover` itself allows an import: its message is the better one."""
ASKED_S = 3.0
OUTPUT_SHOWN_BYTES = 4000
MAX_REPORT_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Discovery:
    """What ``main.py`` defines, and the version of Python that imported it."""

    functions: list[FunctionSpec]
    python: str


def discover(
    python: Path,
    code_dir: Path,
    variables: Mapping[str, str],
    *,
    origin: Path,
    terminal: Terminal,
    timeout_s: float = TIMEOUT_S,
) -> Discovery:
    """Return the functions of ``<code_dir>/main.py``. `origin` is the user's own folder, as messages name it.

    Raises: UsageFailure for everything that is wrong with the project's code.
    """
    with tempfile.TemporaryDirectory(prefix="multinode-discover-") as scratch:
        report_path, output_path = Path(scratch, "report.json"), Path(scratch, "output.txt")
        # -P: the folder is not on sys.path too early, so a file of the project cannot shadow the runtime.
        module = ["-P", "-m", "multinode.worker.discover"]
        command = [str(python), *module, "--code-dir", str(code_dir), "--output", str(report_path)]
        with output_path.open("wb") as output, terminal.live(lambda: "Importing main.py"):
            code = _run(command, code_dir, _environment(python, variables), output.fileno(), timeout_s)
        printed = _printed(output_path, code_dir, origin)
        if code is None:
            raise UsageFailure(f"importing main.py took longer than {timeout_s:.0f} s and was stopped.{printed}")
        report = _report(report_path)
    if report is None:
        raise UsageFailure(f"importing main.py ended the whole process ({_ending(code)}).{printed}")
    if "error" in report:
        raise UsageFailure(problem_text(report["error"], code_dir, origin))
    return Discovery(cast("list[FunctionSpec]", report["functions"]), str(report["python"]))


def _environment(python: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return what a worker will have, so that code which needs more fails now and not when invoked."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    path = os.pathsep.join([str(python.parent), inherited.get("PATH", os.defpath)])
    return {**inherited, "PATH": path, **variables}


def _run(command: list[str], folder: Path, environ: dict[str, str], output: int, timeout_s: float) -> int | None:
    """Run to its end and return the exit code; None when it took too long and its whole process group was killed."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its group: asked first, since it has a process of another group to end."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(ASKED_S)


def _report(path: Path) -> dict[str, Any] | None:
    """Return what discovery wrote; None when it wrote nothing."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        content = file.read(MAX_REPORT_BYTES)
    try:
        report = json.loads(content)
    except ValueError as error:
        raise ControlPlaneFailure("the report of the project's functions is damaged; deploy again") from error
    if not isinstance(report, dict):
        raise ControlPlaneFailure("the report of the project's functions is damaged; deploy again")
    return report


def problem_text(error: Mapping[str, Any], code_dir: Path, origin: Path) -> str:
    """Return the message for the ``error`` of a report; under it the user's traceback, if there is one.

    In both, `origin` stands for `code_dir`, the copy that was imported.
    """
    message = _relocated(str(error.get("message", "main.py cannot be used")), code_dir, origin)
    traceback = error.get("traceback")
    if not traceback:
        return message
    lines = _relocated(str(traceback), code_dir, origin).rstrip().splitlines()
    return message + "".join(f"\n  {line}" for line in lines)


def _relocated(text: str, code_dir: Path, origin: Path) -> str:
    """Return `text` with the user's own folder in place of the copy that was imported."""
    return clean(text.replace(str(code_dir), path_text(origin)))


def _printed(path: Path, code_dir: Path, origin: Path) -> str:
    """Return the end of what the import printed, indented under a message."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - OUTPUT_SHOWN_BYTES))
        text = file.read().decode("utf-8", "replace")
    lines = _relocated(text, code_dir, origin).strip().splitlines()
    return " It printed:" + "".join(f"\n  {line}" for line in lines) if lines else ""


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
