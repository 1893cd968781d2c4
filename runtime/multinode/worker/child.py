"""One call of one of the user's functions: ``python -m multinode.worker.child PARENT REASON_FD REPORT_FD``.

The supervisor starts it early, so that an interpreter is ready when the user's code may run. The request comes over
stdin; when stdin ends without one, the supervisor is gone, and the child ends, too.
"""

import atexit
import contextlib
import faulthandler
import io
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

import cloudpickle  # type: ignore[import-untyped]  # noqa: F401 before a file of the project can take its name

import multinode.app  # noqa: F401 the same, and the time is free: the supervisor is still calling `start`
from multinode import payload
from multinode.worker.channel import END, PROGRESS, UNBUFFERED, CallRequest, CallResult, FrameWriter
from multinode.worker.error_report import describe
from multinode.worker.function_call import call_function
from multinode.worker.interruption import Interruption
from multinode.worker.project import enter, function_in, import_main

_FIRST_VICTIM = 500
"""When the whole machine runs out of memory, the kernel should kill the user's code and spare the supervisor."""
_PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""


def main(arguments: list[str]) -> None:
    """Wait for the call, make it, report its end, and leave without waiting for threads that still run."""
    parent, reason_fd, report_fd = map(int, arguments)
    _die_with(parent)
    _prepare(reason_fd, report_fd)
    # Read before the handler is installed: no user code has run yet, so the signal may end the process.
    text = sys.stdin.buffer.read()
    if not text:
        os._exit(1)
    call: CallRequest = json.loads(text)
    interruption = Interruption(reason_fd, call["invocation_id"])
    interruption.install()
    _without_stdin()
    writer = FrameWriter(report_fd)
    end = _run(call, interruption, writer)
    writer.send(END, json.dumps(end))
    if end["error"] is not None:
        _log(end["error"]["error_traceback"] or end["error"]["error_message"])
    _leave()


def _run(call: CallRequest, interruption: Interruption, writer: FrameWriter) -> CallResult:
    code_dir = Path(call["code_dir"])
    try:
        result = _result(call, code_dir, interruption, writer)
    except BaseException as error:
        report = describe(error, code_dir)
        return CallResult(interrupted=interruption.raised is not None, final_output=None, error=report)
    return CallResult(interrupted=interruption.raised is not None, final_output=result, error=None)


def _result(call: CallRequest, code_dir: Path, interruption: Interruption, writer: FrameWriter) -> str:
    enter(code_dir)
    module = interruption.call(import_main)
    payload.travel_by_value(code_dir)
    function = function_in(module, call["function_name"])
    args, kwargs = interruption.call(partial(payload.decode_arguments, call["input"]))
    encode = payload.encode_value_for(call["input"])
    return call_function(partial(function, *args, **kwargs), interruption, partial(writer.send, PROGRESS), encode)


def _log(text: str) -> None:
    """Write into the execution's logs, even if the user's code has replaced ``sys.stderr``.

    Called after the end was reported, since the reader of the logs may be stuck.
    """
    with contextlib.suppress(OSError):  # the user's code closed it: the report has the text all the same
        os.write(2, f"{text.rstrip()}\n".encode("utf-8", "backslashreplace"))


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the supervisor dies, where the kernel is Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _prepare(*fds: int) -> None:
    """Hide our pipes from the processes that the user's code starts, and make what it prints appear line by line.

    Each line is one write, as on a terminal, so that lines of several processes do not mix; what cannot be encoded is
    escaped, whatever the locale. Other Python programs that the code runs are told not to buffer.
    """
    for fd in fds:
        os.set_inheritable(fd, False)
    with contextlib.suppress(OSError):  # not on Linux, or forbidden: then the kernel chooses by size alone
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_VICTIM), encoding="ascii")
    faulthandler.enable()  # a crash in C leaves the Python stack in the logs
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    os.environ[UNBUFFERED] = "1"


def _without_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _leave() -> NoReturn:
    """End the process as Python does, but without waiting for threads: the result is there, so they are of no more use.

    The supervisor bounds the time of the exit functions.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the user's code may have put anything there, or closed it
            stream.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
