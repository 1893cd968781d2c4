"""The pages of docs/ name every command and option; cli.md and functions.md name every JSON field and exit code."""

import re
from pathlib import Path
from typing import Any

import click
import pytest

from multinode_cli.console import json_output
from multinode_cli.main import COMMANDS, LazyGroup, cli
from tests.support.bodies import execution, function_info
from tests.support.control_plane import FakeControlPlane

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = (DOCS / "cli.md").read_text()
ALL_PAGES = "\n".join(page.read_text() for page in sorted(DOCS.glob("*.md")))
NAMES = [name for section in COMMANDS.values() for name in section]


def command_of(name: str) -> click.Command:
    command = LazyGroup().get_command(click.Context(cli), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_is_documented(name: str) -> None:
    assert re.search(rf"^(\$ )?multinode {name}\b", ALL_PAGES, re.MULTILINE), f"no page shows how to call {name}"
    options = [option for parameter in command_of(name).params if isinstance(parameter, click.Option)
               for option in parameter.opts if option.startswith("--")]  # fmt: skip
    assert [option for option in options if option not in ALL_PAGES] == []


def fields_of(value: Any) -> set[str]:
    assert isinstance(value, dict)
    return set(value)


def test_every_field_of_every_json_object_is_documented() -> None:
    plane = FakeControlPlane()
    plane.add_project("tsp", function_info("solve"))
    identifier = plane.add_invocation(1, "tsp", "solve")
    invocation: Any = plane.invocations[identifier]
    line: Any = {"timestamp_ms": 1, "execution_id": "", "attempt": 1, "stream": "", "message": ""}
    attempt: Any = execution(1)
    function: Any = function_info("solve")
    version: Any = plane.versions("tsp")[0]
    project: Any = plane.projects["tsp"]
    fields = (
        fields_of(json_output.invocation_object(invocation))
        | fields_of(json_output.execution_object(attempt))
        | fields_of(json_output.described_function(function, None))
        | fields_of(json_output.version_object(version))
        | fields_of(json_output.project_object(project))
        | fields_of(json_output.listing_object(invocation))
        | fields_of(json_output.log_object(line))
    )
    prose = re.sub(r"```.*?```", "", DOCUMENT + (DOCS / "functions.md").read_text(), flags=re.DOTALL)
    words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`[^`\n]+`", prose))))
    assert fields - words == set()


def test_every_exit_code_is_documented() -> None:
    from multinode_cli import errors, main

    codes = {0, errors.FunctionFailure.exit_code, errors.UsageFailure.exit_code,
             errors.ControlPlaneFailure.exit_code, errors.EXIT_INTERRUPTED, main.EXIT_BROKEN_PIPE}  # fmt: skip
    table = DOCUMENT.split("## Exit codes")[1].split("##")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == codes
