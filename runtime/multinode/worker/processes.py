"""The child that runs the user's code, its process group, and the guard that outlives a killed supervisor.

Nothing that the user's code starts may outlive the execution:

- the child leads a session and process group of its own, which is killed whole when the execution ends;
- its environment carries a cookie, drawn once per worker; on Linux, it identifies processes that have left the group;
- if the supervisor itself is killed, the kernel kills the child (PR_SET_PDEATHSIG), and the guard, a fork made first,
  kills the group and the strays. The guard keeps open every file that the supervisor was started with, so a lock held
  through one of them is released only when nothing of the execution is left.

Process 1 of a container needs none of that: the kernel ends all others with it. There the supervisor also inherits
orphans, and reaps them.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from multinode.worker.channel import UNBUFFERED
from multinode_protocol.process_tree import ProcessId, kill_all

COOKIE = "MULTINODE_WORKER_COOKIE"
"""The variable by which processes of one worker are recognised."""


@dataclass(slots=True)
class Child:
    """The process that runs the user's code, and the supervisor's ends of its pipes."""

    pid: int
    """Also the id of its process group."""
    call_fd: int
    """The call to make is written here."""
    reason_fd: int
    """Why it is interrupted is written here, before the signal."""
    report_fd: int
    """Frames come out of here. Non-blocking, like `call_fd`."""
    stdout_fd: int
    stderr_fd: int
    status: int | None = None
    """What `os.waitpid` said, once it has ended."""

    def signal(self, number: int) -> None:
        """Send a signal to the process itself. No error when it has just ended."""
        if self.status is None:
            os.kill(self.pid, number)

    def reap(self) -> None:
        """Collect every child process that has ended, and note the status of this one."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status


def spawn(environ: Mapping[str, str], cookie: str) -> Child:
    """Start the child: an interpreter like this one, which waits for a CallRequest. Raises OSError.

    It runs with ``-P``, so that none of the user's files shadows a module before `main.py` is imported.
    """
    call_read, call_write = os.pipe()
    reason_read, reason_write = os.pipe()
    report_read, report_write = os.pipe()
    stdout_read, stdout_write = os.pipe()
    stderr_read, stderr_write = os.pipe()
    theirs = (reason_read, report_write)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "multinode.worker.child", str(os.getpid()), *map(str, theirs)],
            stdin=call_read,
            stdout=stdout_write,
            stderr=stderr_write,
            pass_fds=theirs,
            start_new_session=True,
            env={**{name: value for name, value in environ.items() if name != UNBUFFERED}, COOKIE: cookie},
        )
    finally:
        for fd in (call_read, *theirs, stdout_write, stderr_write):
            os.close(fd)
    process.returncode = 0  # reap() collects it: Popen is not to wait for it, or to warn that it did not
    os.set_blocking(call_write, False)
    os.set_blocking(report_read, False)
    return Child(process.pid, call_write, reason_write, report_read, stdout_read, stderr_read)


def _kill(group: int, cookie: str) -> None:
    """Kill the process group of a child and everything else that it has started, and wait until none of it runs."""
    kill_all(cookie, ProcessId(group, 0), variable=COOKIE)


class Processes:
    """All processes of one worker except itself."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Start the guard, then the child. Call it while this process has one thread. Raises OSError."""
        self._cookie = uuid4().hex
        self._guard: Guard | None = Guard(self._cookie)
        self.child = spawn(environ, self._cookie)
        self._guard.watch(self.child.pid)

    def end(self) -> None:
        """Kill what is left of them. Does nothing the second time: the group's number may have been reused."""
        if self._guard is not None:
            _kill(self.child.pid, self._cookie)
            self._guard.dismiss()
            self._guard = None


class Guard:
    """A fork of the supervisor that does nothing until the supervisor is gone, and then kills what it left behind."""

    def __init__(self, cookie: str) -> None:
        """Fork. Call it while the process has one thread, and before the child is started."""
        self._fd: int | None = None
        if os.getpid() == 1:
            return
        read_end, self._fd = os.pipe()
        if os.fork() == 0:
            try:
                os.close(self._fd)
                _stand_guard(read_end, cookie)
            finally:
                os._exit(0)
        os.close(read_end)

    def watch(self, group: int) -> None:
        """Tell the guard which process group to kill when this process is gone."""
        self._tell(f"{group}\n".encode())

    def dismiss(self) -> None:
        """Tell the guard that the group is gone: its number may soon be reused."""
        self._tell(b".")
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _tell(self, words: bytes) -> None:
        if self._fd is not None:
            try:
                os.write(self._fd, words)
            except BrokenPipeError:  # somebody killed the guard: there is still PR_SET_PDEATHSIG
                return


def _stand_guard(fd: int, cookie: str) -> None:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    words = b""
    while data := os.read(fd, 100):
        words += data
    if words and not words.endswith(b"."):
        _kill(int(words), cookie)
