"""Between supervisor and child: the request to make a call, and the frames that come back.

A frame is a letter, a length and a text. Frames travel over a pipe of their own, so that nothing the user prints can be
mistaken for a report. The child writes a frame whole, protected from interruptions; the supervisor always reads, so
a write waits for the supervisor's loop at most, never for the network.
"""

import os
import struct
from dataclasses import dataclass
from typing import TypedDict

from multinode.worker.error_report import ErrorReport

PROGRESS = b"P"
"""The text is a value that the function yielded, encoded."""
END = b"E"
"""The text is a `CallResult` in JSON. Nothing follows."""

UNBUFFERED = "PYTHONUNBUFFERED"
"""Not set for the child, which buffers by line, but for the Python programs that the user's code runs."""

_HEADER = struct.Struct("!cI")
_MAX_FRAME_BYTES = 4_000_000
"""More than ten times a payload with its error text: a longer one is garbage."""


class CallRequest(TypedDict):
    """What the supervisor asks for. It is JSON on the child's stdin, whose end says that it may begin."""

    code_dir: str
    function_name: str
    invocation_id: str
    input: str


class CallResult(TypedDict):
    """How the call ended, as the child reports it: with a result, or with an error."""

    interrupted: bool
    """True when an interruption was raised inside the user's code before it ended."""
    final_output: str | None
    error: ErrorReport | None


class BrokenChannel(Exception):
    """The bytes are not frames: something else wrote into the pipe."""


@dataclass(frozen=True, slots=True)
class Frame:
    kind: bytes
    text: str


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes, in order. Raises BrokenChannel."""
        self._bytes += data
        frames: list[Frame] = []
        start = 0
        while len(self._bytes) - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._bytes, start)
            if kind not in (PROGRESS, END) or length > _MAX_FRAME_BYTES:
                raise BrokenChannel(f"a frame begins with {bytes(self._bytes[start : start + _HEADER.size])!r}")
            body = start + _HEADER.size
            if len(self._bytes) < body + length:
                break
            frames.append(Frame(kind, self._bytes[body : body + length].decode("utf-8", "surrogatepass")))
            start = body + length
        del self._bytes[:start]
        return frames


class FrameWriter:
    """Writes frames to the pipe behind `fd`, from the process that made it and from no fork of it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = os.getpid()

    def send(self, kind: bytes, text: str) -> None:
        """Write one frame whole. Raises OSError when the supervisor is gone or the user's code closed the pipe.

        In a fork of the process it ends that fork, so that a call is reported once even if the user's code called
        ``os.fork`` and returned on both sides.
        """
        if os.getpid() != self._pid:
            os._exit(0)
        body = text.encode("utf-8", "surrogatepass")
        left = memoryview(_HEADER.pack(kind, len(body)) + body)
        while left:
            left = left[os.write(self._fd, left) :]
