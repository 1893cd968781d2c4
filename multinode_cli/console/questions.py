"""Questions to whoever sits at the terminal."""

import sys

import click

from multinode_cli.console.terminal import Terminal
from multinode_cli.errors import EXIT_INTERRUPTED, UsageFailure


def can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def confirm(question: str, terminal: Terminal, *, unasked: str, declined: str) -> None:
    """Return if the user agrees; else say `declined` and raise click's Exit with code 130.

    Raises UsageFailure with the text `unasked` where nobody can be asked.
    """
    if not can_ask():
        raise UsageFailure(unasked)
    if not click.confirm(question, err=True):
        terminal.message(declined)
        raise click.exceptions.Exit(EXIT_INTERRUPTED)
