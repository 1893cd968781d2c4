"""The command ``multinode``: which commands there are, and how any of them ends.

Only the command that is run is imported. An error is one message on stderr and an exit code: 1 the user's function
failed, 2 wrong usage, 3 control plane or network, 130 interrupted.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import click

from multinode_cli.commands.options import ARGUMENTS
from multinode_cli.console.suggestions import closest, corrected_command
from multinode_cli.console.text import clean
from multinode_cli.errors import EXIT_INTERRUPTED, CliFailure, ControlPlaneFailure, UsageFailure

EXIT_BROKEN_PIPE = 141
"""128 + SIGPIPE, as for any program whose reader has gone."""
DEBUG = "MULTINODE_DEBUG"


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is defined, and the line about it in the help."""

    module: str
    help: str


COMMANDS: dict[str, dict[str, LazyCommand]] = {
    "Deploy": {
        "deploy": LazyCommand("deploy", "Create a project from a folder, or add a version to it."),
        "upgrade": LazyCommand("deploy", "Add a version to a project that exists."),
        "undeploy": LazyCommand("undeploy", "Stop everything in a project and delete it."),
    },
    "Run": {
        "invoke": LazyCommand("invoke", "Start a function."),
        "get": LazyCommand("invocations", "Show an invocation."),
        "wait": LazyCommand("invocations", "Wait for invocations to end and print their results."),
        "cancel": LazyCommand("invocations", "Cancel invocations."),
        "logs": LazyCommand("logs", "Print what an invocation wrote to stdout and stderr."),
    },
    "Look": {
        "list": LazyCommand("projects", "List projects, a project's versions, or a function's invocations."),
        "describe": LazyCommand("projects", "Describe a project, a version, a function or an invocation."),
    },
    "Connect": {
        "login": LazyCommand("login", "Connect to a control plane and remember it."),
        "logout": LazyCommand("login", "Forget the control plane."),
        "whoami": LazyCommand("login", "Show which control plane is used, and check it."),
        "local": LazyCommand("local", "Run a control plane on this machine."),
    },
    "AWS": {
        "install": LazyCommand("install", "Install a deployment in your AWS account, or update it."),
        "uninstall": LazyCommand("install", "Remove a deployment from your AWS account."),
        "doctor": LazyCommand("doctor", "Check everything that a deployment on AWS needs."),
    },
}
"""By section of the help, in its order. The object in a module has the command's name."""


class LazyGroup(click.Group):
    """A group whose commands are imported when one is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        for section in COMMANDS.values():
            if cmd_name in section:
                module = importlib.import_module(f"multinode_cli.commands.{section[cmd_name].module}")
                command = getattr(module, f"{cmd_name}_command", None) or getattr(module, cmd_name)
                assert isinstance(command, click.Command)  # noqa: S101 (a slip in the table above)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, command.help) for name, command in section.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. A closed pipe and Ctrl-C are kept from click, which would print messages of its own."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error
        except KeyboardInterrupt:
            raise click.Abort from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            right = closest(name, self.list_commands(ctx))
            message = f"there is no command {clean(name)!r}."
            if right is None:
                raise UsageFailure(f"{message} `multinode --help` lists them")
            command = corrected_command(ctx.meta[ARGUMENTS], name, right)
            raise UsageFailure(f"{message} Did you mean {right!r}?\n  {command}")
        return super().resolve_command(ctx, args)


class _ReaderGone(Exception):
    """The reader of our output has closed it."""


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"multinode {version('multinode')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print it.")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run Python functions as asynchronous tasks in your own cloud account, or on this machine."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit code; every failure has been reported on stderr."""
    try:
        value = cli.main(list(arguments), prog_name="multinode", standalone_mode=False)
        _flush()
    except (click.Abort, KeyboardInterrupt):
        _say_interrupted()
        return EXIT_INTERRUPTED
    except (_ReaderGone, BrokenPipeError):
        _abandon_output()
        return EXIT_BROKEN_PIPE
    except Exception as error:
        if os.environ.get(DEBUG) and not isinstance(error, click.ClickException):
            raise
        failure = _failure(error)
        _say_error(failure.format_message())
        return failure.exit_code
    return value if isinstance(value, int) else 0


def _failure(error: Exception) -> click.ClickException:
    """Return the message and exit code of whatever a command raised."""
    from multinode.errors import ApiError, MultinodeError, ParameterValidationError

    match error:
        case CliFailure():
            return error
        case click.UsageError():
            where = f" (see: {error.ctx.command_path} --help)" if error.ctx else ""
            return UsageFailure(f"{error.format_message().rstrip('.')}{where}")
        case click.ClickException():
            return UsageFailure(error.format_message())
        case ApiError():
            from multinode_cli.client.api import failure_of

            return failure_of(error)
        case ParameterValidationError():
            return UsageFailure(str(error))
        case MultinodeError():
            return ControlPlaneFailure(str(error))
        case OSError():
            return ControlPlaneFailure(str(error))
    return ControlPlaneFailure(
        f"multinode itself failed: {type(error).__name__}: {error}. Run it again with {DEBUG}=1 for the traceback, "
        "which makes a good bug report"
    )


def _say_error(message: str) -> None:
    from multinode_cli.console.terminal import current

    terminal = current()
    try:
        terminal.message(f"{terminal.err_style.paint('error:', 'red', bold=True)} {clean(message)}")
    except BrokenPipeError:
        _abandon_output()


def _say_interrupted() -> None:
    from multinode_cli.console.terminal import current

    terminal = current()
    terminal.message("\nInterrupted" if terminal.err_style.terminal else "Interrupted")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _abandon_output() -> None:
    """Discard the interpreter's last flush, which would fail noisily at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                os.dup2(nowhere, stream.fileno())
            except (OSError, ValueError):
                continue


def main() -> NoReturn:
    """The entry point of the installed command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
