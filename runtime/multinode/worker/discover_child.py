"""Importing a project's `main.py` to find its functions.

`discover` runs ``python -m multinode.worker.discover_child FD CODE_DIR TIMEOUT_S`` as a separate process, because an
import may print, exit, crash or never end. The answer is written to the file descriptor: a `DiscoveredFunctions` or a
`DiscoveryFailure`, in JSON.
"""

import contextlib
import json
import os
import platform
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Literal, TypedDict

import multinode.app
import multinode.options
from multinode.errors import DuplicateFunctionError, MultinodeError, ParameterValidationError
from multinode.worker.error_report import cut, describe
from multinode.worker.project import MainIsMissing, apps_in, enter, import_main
from multinode_protocol.messages import FunctionSpec

ErrorKind = Literal[
    "no_main",
    "import_failed",
    "no_app",
    "several_apps",
    "duplicate_function",
    "no_functions",
    "invalid_function",
]


class DiscoveredFunctions(TypedDict):
    """The project's functions, and the versions that found them."""

    functions: list[FunctionSpec]
    python: str
    multinode: str


class DiscoveryError(TypedDict):
    kind: ErrorKind
    message: str
    """One or a few lines for the user: what is wrong and what to do."""
    traceback: str | None
    """Where the user's code raised, trimmed to that code."""


class DiscoveryFailure(TypedDict):
    error: DiscoveryError


class _ImportTimedOut(BaseException):
    """Not an Exception, so that the user's own handlers do not catch it."""


def find(code_dir: Path, timeout_s: float) -> DiscoveredFunctions | DiscoveryFailure:
    """Return the functions of the project in `code_dir`, or what is wrong with it. Its `main` stays imported.

    Call it in the main thread: the time-out is an alarm, so that the traceback shows where the import was.
    """
    signal.signal(signal.SIGALRM, _on_alarm)
    try:
        enter(code_dir)
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            module = import_main()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except MainIsMissing as error:
        return _failure("no_main", str(error))
    except BaseException as error:
        return _import_failed(error, code_dir, timeout_s)
    apps = apps_in(module)
    if len(apps) != 1:
        return _not_one_app(list(apps))
    name, app = apps.popitem()
    if not app.functions:
        return _failure(
            "no_functions", f"main.py has no functions: decorate those that should run remotely with @{name}.function()"
        )
    specs: list[FunctionSpec] = []
    for function_name, function in app.functions.items():
        try:
            specs.append(function.spec())
        except (MultinodeError, TypeError, ValueError) as error:
            return _failure("invalid_function", f"the function {function_name!r} cannot be deployed: {error}")
    return DiscoveredFunctions(functions=specs, python=platform.python_version(), multinode=_version())


def _import_failed(error: BaseException, code_dir: Path, timeout_s: float) -> DiscoveryFailure:
    report = describe(error, code_dir)
    shown = report["error_traceback"] or None
    if isinstance(error, DuplicateFunctionError):
        return _failure("duplicate_function", str(error), shown)
    if isinstance(error, ParameterValidationError) and _was_decorating(error):
        return _failure("invalid_function", str(error), shown)
    if isinstance(error, _ImportTimedOut):
        message = (
            f"the import of main.py did not end within {timeout_s:g} s: move the slow code into a function,"
            ' or under `if __name__ == "__main__":`'
        )
    elif isinstance(error, ModuleNotFoundError):
        message = (
            f"main.py cannot be imported: {report['error_message']}."
            " If it is in a package, add that to requirements.txt"
        )
    else:
        message = f"main.py cannot be imported: {report['error_message']}"
    return _failure("import_failed", message, shown)


def _was_decorating(error: BaseException) -> bool:
    """True when the error came from `Multinode.function` or `Retry`, and not from another of our calls."""
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename in (multinode.app.__file__, multinode.options.__file__):
            return True
        step = step.tb_next
    return False


def _not_one_app(names: list[str]) -> DiscoveryFailure:
    if names:
        return _failure(
            "several_apps",
            f"main.py has {len(names)} Multinode objects, {', '.join(sorted(names))}: a project has exactly one,"
            " and all its functions are decorated with it",
        )
    return _failure(
        "no_app",
        "main.py has no Multinode object among its global variables: write `from multinode import Multinode`,"
        " `mn = Multinode()`, and decorate the functions with @mn.function()",
    )


def _failure(kind: ErrorKind, message: str, shown: str | None = None) -> DiscoveryFailure:
    return DiscoveryFailure(error=DiscoveryError(kind=kind, message=cut(message), traceback=shown))


def _on_alarm(_number: int, _frame: FrameType | None) -> None:
    raise _ImportTimedOut


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("multinode")
    except metadata.PackageNotFoundError:  # the runtime was copied, not installed
        return "unknown"


def main(arguments: list[str]) -> None:
    """Write the answer, and leave without waiting for threads that the import has started."""
    fd, code_dir, timeout_s = int(arguments[0]), Path(arguments[1]), float(arguments[2])
    os.set_inheritable(fd, False)
    answer = json.dumps(find(code_dir, timeout_s)).encode("ascii")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the user's code may have put anything there, or closed it
            stream.flush()
    with open(fd, "wb") as output:
        output.write(answer)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
