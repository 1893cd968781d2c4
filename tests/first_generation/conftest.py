"""The published package `multinode` 1.0.1 in an environment of its own, and a local control plane that it talks to."""

import ast
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli.journey import Finished, User, local_user

PACKAGE = "multinode==1.0.1"
DEADLINE_S = 120.0
MAIN = """
import datetime
import time
from datetime import timedelta
from pathlib import Path

from multinode import Multinode

mn = Multinode()


@mn.function()
def echo(*args, **kwargs):
    return args, kwargs


@mn.function()
def square(x):
    return x * x


@mn.function()
def same(one, other):
    return one is other


@mn.function()
def table():
    return {1: "one", None: ["nothing"]}


@mn.function()
def new_year():
    return datetime.date(2026, 1, 1)


@mn.function()
def look_alike():
    return {"py/object": "builtins.bytearray"}


@mn.function(max_retries=1)
def fail(message):
    print("about to fail", flush=True)
    raise ValueError(message)


@mn.function(timeout=timedelta(seconds=1))
def too_long():
    time.sleep(60)


@mn.function(max_concurrency=1)
def narrow():
    time.sleep(600)


@mn.function()
def steps(path):
    yield ("waiting for", {path})
    while not Path(path).exists():
        time.sleep(0.05)
    yield ("done", b"steps")
"""
PROGRAM = """
import os, time
from multinode import get_deployed_function
from multinode.core.invocation import Invocation, InvocationStatus
from multinode.errors import *

def function(name, project_name="zoo"):
    return get_deployed_function(project_name=project_name, function_name=name)

def raised(call):
    try:
        return "returned " + repr(call())
    except Exception as error:
        return type(error).__name__, str(error)

def until(condition):
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)

"""


@dataclass(frozen=True)
class FirstGeneration:
    """Programs and commands of `multinode` 1.0.1, with a home folder of their own."""

    bin: Path
    home: Path
    url: str
    api_key: str

    def run(self, *command: str, answers: str = "", **variables: str) -> Finished:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MULTINODE_")}
        done = subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            input=answers,
            cwd=self.home,
            env={**environment, "HOME": str(self.home), **variables},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            start_new_session=True,  # without a terminal, so that passwords are read from stdin
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def cli(self, *arguments: str, answers: str = "") -> Finished:
        return self.run("multinode", *arguments, answers=answers)

    def log_in(self, api_key: str) -> Finished:
        return self.cli("login", answers=f"{self.url}\n{api_key}\n")

    def value(self, expression: str, *statements: str, **variables: str) -> Any:
        """Return the value of an expression in a program, after its statements; it must be a literal."""
        program = "\n".join([PROGRAM, *statements, f"print(repr(({expression})))"])
        done = self.run("python", "-c", program, **variables)
        assert done.code == 0, done.err
        return ast.literal_eval(done.out)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Somebody with the current package, whose local control plane runs and has the project ``zoo``."""
    with local_user(tmp_path_factory.mktemp("user"), MAIN) as user:
        yield user


@pytest.fixture(scope="module")
def environment(first_generation_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the published package."""
    folder = tmp_path_factory.mktemp("first-generation")
    subprocess.run([first_generation_python, "-m", "venv", str(folder)], check=True, capture_output=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", PACKAGE]
    installed = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def stranger(environment: Path, user: User, tmp_path_factory: pytest.TempPathFactory) -> FirstGeneration:
    """Somebody with the published package who has not logged in."""
    profile = json.loads((user.folder / "config" / "profile.json").read_text())
    return FirstGeneration(environment, tmp_path_factory.mktemp("stranger"), profile["api_url"], profile["api_key"])


@pytest.fixture(scope="module")
def old(stranger: FirstGeneration, tmp_path_factory: pytest.TempPathFactory) -> FirstGeneration:
    """Somebody with the published package who has logged in."""
    old = FirstGeneration(stranger.bin, tmp_path_factory.mktemp("old"), stranger.url, stranger.api_key)
    logged_in = old.log_in(old.api_key)
    assert "You have successfully logged in!" in logged_in.out, logged_in
    return old
