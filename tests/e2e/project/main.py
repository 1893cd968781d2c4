"""The project that the end-to-end tests deploy beside the example.

A `board` is the URL of the tests' own switchboard: it counts what calls it, across containers, and opens gates.
"""

import os
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

from multinode import Every, Multinode
from multinode.errors import InvocationCancelledError

mn = Multinode()


def ask(board: str, path: str) -> str:
    with urllib.request.urlopen(f"{board}/{path}", timeout=1800) as answer:
        return str(answer.read().decode())


@mn.function
def add(x: int, y: int) -> int:
    return x + y


@mn.function(max_retries=2)
def third_time_lucky(board: str, name: str) -> str:
    attempt = int(ask(board, f"count/{name}"))
    if attempt < 3:
        raise ValueError(f"attempt {attempt} failed")
    return f"attempt {attempt} succeeded"


@mn.function(max_retries=1)
def killed_once(board: str, name: str) -> str:
    """The first attempt waits to be killed, the second until the gate ``NAME-2`` is open."""
    attempt = int(ask(board, f"count/{name}"))
    ask(board, f"gate/{name}-{attempt}")
    return f"attempt {attempt} succeeded"


@mn.function(timeout=timedelta(seconds=2), max_retries=3)
def too_slow() -> None:
    time.sleep(600)


@mn.function
def sleeper(board: str, name: str) -> None:
    try:
        ask(board, f"count/{name}-began")
        time.sleep(600)
    except InvocationCancelledError:
        ask(board, f"count/{name}-cleaned-up")
        raise


@mn.function
def family(board: str, name: str, children: int) -> None:
    for _ in range(children):
        sleeper.start(board, name)
    time.sleep(600)


@mn.function
def talkative(board: str, name: str) -> Iterator[str]:
    print("before the gate")
    yield "waiting"
    ask(board, f"gate/{name}")
    print("after the gate")
    yield "done"


@mn.function(schedule=Every(minutes=1))
def by_itself() -> str:
    return "nobody asked"


@mn.function
def variable(name: str) -> str | None:
    return os.environ.get(name)
