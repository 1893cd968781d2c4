"""The execution's logs: each line that the user's code prints, as it appears, and the worker's own remarks.

The child's stdout and stderr are pipes that a thread of the supervisor reads. Each line goes to the supervisor's own
stdout, where the platform keeps it: as JSON ``{"t": ms, "s": "stdout"|"stderr"|"worker", "m": text}``, or bare. Memory
use is bounded: when the pipe is full, the code that prints waits.
"""

import codecs
import contextlib
import json
import os
import select
import threading
import time
from collections.abc import Callable

from multinode.worker.error_report import cut

MAX_LINE_BYTES = 16_384
"""A longer line is cut into several."""
PARTIAL_LINE_S = 1.0
"""After so many seconds, text is written even without a line end."""
_READ_BYTES = 65_536
_MAX_REMARK_CHARS = 800
"""With the worst escapes of JSON and UTF-8 still under the 4,096 bytes of `PIPE_BUF`."""
_REMARK_PATIENCE_S = 1.0


class LineSplitter:
    """Cuts bytes into lines of text: UTF-8, with U+FFFD for what is not.

    As on a terminal, a carriage return starts the line again: of a progress bar, the log has the last state in each
    `PARTIAL_LINE_S`.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._since: float | None = None
        self._begun = False
        """The beginning of the line was written by `flush`."""

    def feed(self, data: bytes, now: float) -> list[str]:
        """Return the lines that `data` completes."""
        *complete, rest = (bytes(self._rest) + data).split(b"\n")
        if complete:
            if self._begun and not complete[0].strip(b"\r"):
                del complete[0]
            self._begun = False
        lines = [text for line in complete for text in _texts(line)]
        while len(rest) > MAX_LINE_BYTES:
            at = _cut(rest)
            lines.append(_text(rest[:at]))
            rest = rest[at:]
        if not rest:
            self._since = None
        elif lines or self._since is None:
            self._since = now
        self._rest = bytearray(rest)
        return lines

    def due_at(self) -> float | None:
        """Return when the incomplete line should be written. None: there is none."""
        return None if self._since is None else self._since + PARTIAL_LINE_S

    def flush(self) -> list[str]:
        """Return the incomplete line. What follows it later becomes a line of its own.

        A character whose bytes have come only in part stays, to be completed; a second flush gives it up.
        """
        rest, keep = bytes(self._rest), b""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.decode(rest)
        keep = decoder.getstate()[0]
        if len(keep) == len(rest):
            keep = b""
        self._rest = bytearray(keep)
        self._since = None
        shown = rest[: len(rest) - len(keep)]
        if not shown:
            return []
        self._begun = True
        return _texts(shown)


def _cut(line: bytes) -> int:
    """Return where to cut a line that is too long: at most `MAX_LINE_BYTES`, and between two characters."""
    for at in range(MAX_LINE_BYTES, MAX_LINE_BYTES - 4, -1):
        if line[at] & 0xC0 != 0x80:
            return at
    return MAX_LINE_BYTES


def _texts(line: bytes) -> list[str]:
    texts = []
    while len(line) > MAX_LINE_BYTES:
        at = _cut(line)
        texts.append(_text(line[:at]))
        line = line[at:]
    return [*texts, _text(line)]


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").rsplit(b"\r", 1)[-1].decode("utf-8", "replace")


class LogWriter:
    """Writes lines to the file descriptor that the platform reads. Several threads may write."""

    def __init__(self, fd: int, *, json_lines: bool, clock: Callable[[], float] = time.time) -> None:
        self._fd = fd
        self._json_lines = json_lines
        self._clock = clock
        self._lock = threading.Lock()
        self._lost = 0

    def say(self, text: str) -> None:
        """Write a remark of the worker's own on one line, cut to what fits.

        If the reader is stuck, the remark is dropped: the worker cannot wait for it.
        A pipe that polls as writable takes `PIPE_BUF` bytes at once: pipe(7).
        """
        lines = [cut(" ".join(text.split()), _MAX_REMARK_CHARS)]
        if not self._lock.acquire(timeout=_REMARK_PATIENCE_S):
            self._lost += len(lines)
            return
        try:
            poller = select.poll()
            poller.register(self._fd, select.POLLOUT)
            if poller.poll(_REMARK_PATIENCE_S * 1000):
                self._write("worker", lines)
            else:
                self._lost += len(lines)
        finally:
            self._lock.release()

    def write(self, stream: str, lines: list[str]) -> None:
        """Write `lines` of `stream`. When nothing can be written (disk full, reader gone), they are counted as lost."""
        with self._lock:
            self._write(stream, lines)

    def _write(self, stream: str, lines: list[str]) -> None:
        if self._lost:
            note = f"{self._lost} log lines before this one could not be written"
            if self._write_all(self._format("worker", [note])):
                self._lost = 0
        if not self._write_all(self._format(stream, lines)):
            self._lost += len(lines)

    def _format(self, stream: str, lines: list[str]) -> bytes:
        if self._json_lines:
            time_ms = int(self._clock() * 1000)
            texts = [json.dumps({"t": time_ms, "s": stream, "m": line}, ensure_ascii=False) for line in lines]
        else:
            mark = "[multinode] " if stream == "worker" else ""
            texts = [f"{mark}{line}" for line in lines]
        return "".join(f"{text}\n" for text in texts).encode("utf-8", "replace")

    def _write_all(self, data: bytes) -> bool:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError:
            return False
        return True


class LogPump(threading.Thread):
    """Carries the lines of the child's two streams to the writer until they end, or until `finish`."""

    def __init__(self, streams: dict[int, str], writer: LogWriter) -> None:
        """`streams`: the reading ends of the pipes, and what each is called. The pump owns and closes them."""
        super().__init__(name="multinode-logs", daemon=True)
        for fd in streams:
            os.set_blocking(fd, False)
        self._streams = {fd: (name, LineSplitter()) for fd, name in streams.items()}
        self._writer = writer
        self._wake_read, self._wake_write = os.pipe()

    def finish(self, wait_s: float) -> bool:
        """Write what has been printed so far, and end. Processes that still hold the pipes open are not waited for.

        True when all of it was written within `wait_s` seconds.
        """
        os.write(self._wake_write, b".")
        self.join(wait_s)
        return not self.is_alive()

    def run(self) -> None:
        poller = select.poll()
        for fd in (self._wake_read, *self._streams):
            poller.register(fd, select.POLLIN)
        while self._streams:
            ready = [fd for fd, _ in poller.poll(self._wait_ms())]
            for fd in ready:
                if fd in self._streams and not self._carry(fd):
                    poller.unregister(fd)
                    self._end(fd)
            self._flush_due()
            if self._wake_read in ready:
                break
        for fd in list(self._streams):
            self._drain(fd)
            self._end(fd)

    def _wait_ms(self) -> float | None:
        due = [due for _, splitter in self._streams.values() if (due := splitter.due_at()) is not None]
        return max(0.0, min(due) - time.monotonic()) * 1000 + 1 if due else None

    def _flush_due(self) -> None:
        now = time.monotonic()
        for name, splitter in self._streams.values():
            due = splitter.due_at()
            if due is not None and due <= now:
                self._write(name, splitter.flush())

    def _carry(self, fd: int) -> bool:
        """Read once and write the lines. False at the end of the stream."""
        name, splitter = self._streams[fd]
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._write(name, splitter.feed(data, time.monotonic()))
        return bool(data)

    def _drain(self, fd: int) -> None:
        """Carry what is in the pipe now, at most what a pipe can hold: somebody may go on writing."""
        name, splitter = self._streams[fd]
        left = 1_048_576
        with contextlib.suppress(OSError):
            while left > 0 and (data := os.read(fd, _READ_BYTES)):
                left -= len(data)
                self._write(name, splitter.feed(data, time.monotonic()))

    def _end(self, fd: int) -> None:
        name, splitter = self._streams.pop(fd)
        os.close(fd)
        self._write(name, splitter.flush())
        self._write(name, splitter.flush())

    def _write(self, name: str, lines: list[str]) -> None:
        if lines:
            self._writer.write(name, lines)
