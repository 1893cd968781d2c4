"""Other programs, run with their output read as it comes."""

import queue
import re
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from multinode_cli.console.terminal import Terminal
from multinode_cli.console.text import clean, one_line

TICK_S = 0.2


@contextmanager
def running(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, own_group: bool = False
) -> Iterator["subprocess.Popen[str]"]:
    """Run `command` without stdin, its two outputs as one; wait for its end. An error in the block terminates it.

    `own_group`: the terminal's Ctrl-C reaches this process alone.
    """
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        process_group=0 if own_group else None,
    ) as process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


def lines_of(process: "subprocess.Popen[str]") -> Iterator[str]:
    """Yield each line as it comes, and an empty text every so often, so that a signal is noticed at once."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for text in process.stdout or ():
            lines.put(text)
        lines.put(None)

    threading.Thread(target=read, name="output", daemon=True).start()
    while True:
        try:
            text = lines.get(timeout=TICK_S)
        except queue.Empty:
            text = ""
        if text is None:
            return
        yield text


def run_shown(
    command: Sequence[str],
    title: str,
    terminal: Terminal,
    *,
    keep: int,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    hidden: re.Pattern[str] | None = None,
    in_pipe: bool = True,
) -> tuple[int, list[str]]:
    """Return the exit code of `command` and the last lines that it wrote, at most `keep`, cleaned.

    On a terminal its newest line is shown live under `title`; elsewhere each line is a message, unless `in_pipe` is
    False. Lines in which `hidden` is found are dropped.
    """
    last: deque[str] = deque(maxlen=keep)
    now = title
    with running(command, cwd=cwd, env=env) as process, terminal.live(lambda: now):
        for line in lines_of(process):
            text = clean(line).rstrip()
            if not text.strip() or (hidden is not None and hidden.search(text)):
                continue
            last.append(text)
            now = f"{title}  {one_line(text)}"
            if in_pipe and not terminal.animated:
                terminal.message(f"  {text}")
    return process.returncode, list(last)
