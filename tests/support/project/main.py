"""The project that the tests of the local backend deploy."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from multinode import Every, Multinode
from multinode.errors import InvocationCancelledError

mn = Multinode()
calls = 0


def append(path: str, line: str) -> None:
    """Add a line in one write: what two processes append is never mixed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


@mn.function()
def add(x: int, y: int) -> int:
    print("adding", x, "and", y)
    return x + y


@mn.function()
def note(path: str, name: str, seconds: float) -> str:
    append(path, f"begin {name}")
    time.sleep(seconds)
    append(path, f"end {name}")
    return name


@mn.function(schedule=Every(minutes=1))
def tick() -> None:
    append(os.environ["TICKS"], os.environ["MULTINODE_INVOCATION_ID"])


@mn.function(max_concurrency=2)
def narrow(path: str, name: str, seconds: float) -> None:
    append(path, f"begin {name}")
    time.sleep(seconds)
    append(path, f"end {name}")


@mn.function(max_retries=2)
def third_time_lucky(path: str) -> int:
    append(path, "try")
    tries = len(Path(path).read_text().splitlines())
    if tries < 3:
        raise ValueError(f"try {tries} failed")
    return tries


@mn.function(timeout=timedelta(seconds=1))
def too_slow(path: str) -> None:
    append(path, "begin")
    time.sleep(600)


@mn.function(max_concurrency=1, max_queue_time=timedelta(seconds=1))
def impatient(path: str) -> None:
    append(path, "begin")
    while not Path(f"{path}.go").exists():
        time.sleep(0.01)


@mn.function(max_retries=1)
def lost_once(path: str) -> str:
    append(path, "begin")
    if len(Path(path).read_text().splitlines()) == 1:
        time.sleep(600)
    append(path, "end")
    return "ended"


@mn.function()
def until_cancelled(path: str) -> None:
    append(path, "begin")
    try:
        time.sleep(600)
    except InvocationCancelledError:
        append(path, "cancelled")
        raise


@mn.function()
def stubborn(path: str) -> None:
    append(path, "begin")
    while True:
        try:
            time.sleep(600)
        except InvocationCancelledError:
            append(path, "refused")


@mn.function()
def family(path: str) -> None:
    children = [
        subprocess.Popen(["sleep", "600"]),
        subprocess.Popen(["sleep", "600"], start_new_session=True),
    ]
    for child in children:
        append(path, str(child.pid))
    time.sleep(600)


@mn.function()
def surroundings() -> dict[str, object]:
    global calls
    calls += 1
    return {
        "calls": calls,
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        "environment": dict(os.environ),
        "umask": os.umask(0o022),
        "modules": sorted(name for name in sys.modules if name.startswith("multinode_control_plane")),
        "ignored_signals": [s.name for s in signal.Signals if signal.getsignal(s) == signal.SIG_IGN],
    }


@mn.function()
def counting(path: str, count: int) -> Iterator[int]:
    for number in range(count):
        yield number
        append(path, str(number))


@mn.function()
def parent(path: str, children: int) -> None:
    for _ in range(children):
        until_cancelled.start(path)
    append(path, "parent")
    time.sleep(600)


@mn.function()
def alone(folder: str, name: str, seconds: float) -> str:
    """Note begin and end, and any other process that is at it at the same time."""
    with open(Path(folder) / f"{name}.lock", "w") as lock:
        path = str(Path(folder) / name)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            append(path, "overlap")
        append(path, "begin")
        time.sleep(seconds)
        append(path, "end")
    return name
