"""Options that several commands share, and ids that may be given without an option."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from multinode_cli.errors import UsageFailure

Command = TypeVar("Command", bound=Callable[..., Any])
ARGUMENTS = "multinode.arguments"

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (fields: docs/cli.md).")
project_option = click.option("--project-name", metavar="NAME", help="The project.")
version_option = click.option("--version-id", metavar="ID", help="The version (default: the newest).")
function_option = click.option("--function-name", metavar="NAME", help="The function.")


def scope_options(command: Command) -> Command:
    """Add the options that say where an invocation is. One id is enough; they are checked if given."""
    for option in (
        click.option("--function-name", metavar="NAME", help="Check that it belongs to this function."),
        click.option("--version-id", metavar="ID", help="Check that it belongs to this version."),
        click.option("--project-name", metavar="NAME", help="Check that it belongs to this project."),
    ):
        command = option(command)
    return command


def arguments_typed() -> list[str]:
    """Return the command line after the program's name."""
    return list(click.get_current_context().find_root().meta.get(ARGUMENTS, ()))


def filled(positionals: tuple[str, ...], **named: str | None) -> list[str]:
    """Return the values of `named` in their order, those that are None taken from `positionals` one after another.

    Raises UsageFailure when one is missing or a positional is left over.
    """
    left = list(positionals)
    values = []
    for name, value in named.items():
        if value is None and not left:
            option = name.replace("_", "-")
            what = option.removesuffix("-name").removesuffix("-id")
            raise UsageFailure(f"which {what}? Give --{option}{_help()}")
        values.append(left.pop(0) if value is None else value)
    if left:
        raise UsageFailure(f"{left[0]!r} is one argument too many{_help()}")
    return values


def ids_given(positionals: tuple[str, ...], named: tuple[str, ...]) -> list[str]:
    """Return all ids of invocations that were given, each once. Raises UsageFailure when there is none."""
    ids = list(dict.fromkeys([*positionals, *named]))
    if not ids:
        raise UsageFailure(f"which invocation? Give its id{_help()}")
    return ids


def _help() -> str:
    context = click.get_current_context(silent=True)
    return f" (see: {context.command_path} --help)" if context else ""
