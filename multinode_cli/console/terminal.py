"""Where output goes: data on stdout, messages and one live line on stderr; colour and animation only on a terminal.

``NO_COLOR`` (https://no-color.org) and ``TERM=dumb`` are respected. Text from elsewhere is cleaned of control
characters before it comes here.
"""

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

import click

from multinode_cli.console.text import clip

FRAME_S = 0.1
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
ASCII_FRAMES = "|/-\\"
ERASE_LINE = "\r\x1b[2K"


@dataclass(frozen=True, slots=True)
class Style:
    """What a stream can show. `columns` is None where lines may be of any length: in a pipe or a file."""

    colour: bool = False
    unicode: bool = False
    terminal: bool = False
    columns: int | None = None

    def paint(self, text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
        """Return `text` in a colour where the stream shows colours."""
        if not self.colour:
            return text
        return click.style(text, fg=colour, bold=bold or None, dim=dim or None)


def style_of(stream: TextIO | None, environ: Mapping[str, str]) -> Style:
    """Return what `stream` can show: all of it only on a terminal that is not dumb."""
    if stream is None or not stream.isatty():
        return Style(unicode=_is_unicode(stream))
    dumb = environ.get("TERM", "") in ("dumb", "")
    return Style(
        colour=not dumb and not environ.get("NO_COLOR"),
        unicode=_is_unicode(stream),
        terminal=True,
        columns=max(shutil.get_terminal_size().columns, 20),
    )


def _is_unicode(stream: TextIO | None) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "").replace("_", "") == "utf8"


@dataclass
class Terminal:
    """Both output streams of one command. Thread-safe: messages and the live line never mix."""

    out: TextIO | None
    err: TextIO | None
    out_style: Style
    err_style: Style
    animated: bool
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _live: Callable[[], str] | None = None
    _frame: int = 0

    def print(self, text: str) -> None:
        """Write data: one line, or several, on stdout."""
        with self._lock:
            self._erase()
            _write(self.out, text + "\n")

    def json(self, value: object) -> None:
        """Write one JSON object on one line of stdout."""
        self.print(json.dumps(value, ensure_ascii=not self.out_style.unicode))

    def message(self, text: str) -> None:
        """Write a line for people on stderr."""
        with self._lock:
            self._erase()
            _write(self.err, text + "\n")

    def step(self, text: str) -> None:
        """Report on stderr that a step is done."""
        mark = self.err_style.paint("✓" if self.err_style.unicode else "*", "green")
        self.message(f"{mark} {text}")

    def warning(self, text: str) -> None:
        """Report on stderr what the user should know although the command continues."""
        self.message(f"{self.err_style.paint('warning:', 'yellow', bold=True)} {text}")

    @contextmanager
    def live(self, text: Callable[[], str]) -> Iterator[None]:
        """Show `text()` on one line, redrawn until the block ends; then erase it.

        Nothing is shown where there is no animation. `text` gives one line without control characters.
        """
        if not self.animated:
            yield
            return
        stopped = threading.Event()
        with self._lock:
            self._live = text
        drawer = threading.Thread(target=self._redraw, args=(stopped,), name="live line", daemon=True)
        drawer.start()
        try:
            yield
        finally:
            stopped.set()
            with self._lock:
                self._erase()
                self._live = None
            drawer.join(timeout=1)

    def _redraw(self, stopped: threading.Event) -> None:
        while not stopped.wait(FRAME_S):
            with self._lock:
                if self._live is None or stopped.is_set():
                    return
                frames = FRAMES if self.err_style.unicode else ASCII_FRAMES
                self._frame += 1
                mark = self.err_style.paint(frames[self._frame % len(frames)], "cyan")
                text = clip(self._live(), (self.err_style.columns or 80) - 3)  # a line that wraps cannot be erased
                try:
                    _write(self.err, f"{ERASE_LINE}{mark} {text}")
                except OSError:  # the terminal was closed; the next message will fail
                    return

    def _erase(self) -> None:
        if self._live is not None:
            _write(self.err, ERASE_LINE)


def _write(stream: TextIO | None, text: str) -> None:
    """Write and flush, so that a closed pipe is noticed here. No error where the stream was closed from the start."""
    if stream is not None:
        stream.write(text)
        stream.flush()


def current() -> Terminal:
    """Return the terminal of this process, as it is now."""
    out_style, err_style = style_of(sys.stdout, os.environ), style_of(sys.stderr, os.environ)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a locale without UTF-8 shows \u2713 instead of failing
    dumb = os.environ.get("TERM", "") in ("dumb", "")
    return Terminal(sys.stdout, sys.stderr, out_style, err_style, animated=err_style.terminal and not dumb)
