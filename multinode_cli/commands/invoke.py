"""``invoke``: arguments are checked against the deployed function, then one request starts it."""

import click

from multinode.errors import MultinodeError
from multinode_cli.client.api import Api, ControlPlaneAway, connect
from multinode_cli.client.arguments import from_options
from multinode_cli.client.lookup import Lookup
from multinode_cli.commands.follow import end_with, follow
from multinode_cli.commands.invocations import wait_for
from multinode_cli.commands.options import (
    arguments_typed,
    filled,
    function_option,
    json_option,
    project_option,
    version_option,
)
from multinode_cli.console.json_output import invocation_object
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.errors import EXIT_INTERRUPTED, UsageFailure
from multinode_protocol.ids import LATEST, new_invocation_id
from multinode_protocol.messages import FunctionInfo, InvocationInfo, VersionInfo


@click.command()
@click.argument("names", nargs=-1, metavar="PROJECT FUNCTION")
@project_option
@function_option
@version_option
@click.option(
    "--args",
    "args_json",
    metavar="JSON",
    help="A JSON array of positional arguments, or an object of keyword arguments.",
)
@click.option(
    "--arg", "pairs", metavar="NAME=VALUE", multiple=True, help="One keyword argument; VALUE is JSON, or else text."
)
@click.option("--args-file", metavar="FILE", help="The same as --args, from a file; - is stdin.")
@click.option("--wait", is_flag=True, help="Wait until it ends and print the result.")
@click.option("--follow", "follows", is_flag=True, help="Like --wait, and show status, progress and logs on stderr.")
@json_option
def invoke(
    *,
    names: tuple[str, ...],
    project_name: str | None,
    function_name: str | None,
    version_id: str | None,
    args_json: str | None,
    pairs: tuple[str, ...],
    args_file: str | None,
    wait: bool,
    follows: bool,
    as_json: bool,
) -> None:
    """Start a function and print the id of the invocation.

    With --wait or --follow the result is printed instead, as JSON; the exit code is 1 if the function failed. Ctrl-C
    stops the waiting, not the function.
    """
    terminal = current()
    project, function_of_project = filled(names, project_name=project_name, function_name=function_name)
    args, kwargs = from_options(args_json, pairs, args_file)
    api = connect()
    lookup = Lookup(api, arguments_typed())
    version = lookup.version(project, version_id or LATEST)
    function = lookup.function(version, function_of_project)
    text = _encoded(function, args, kwargs)
    invocation = _start(api, version, function, text, terminal)
    invocation_id = invocation["invocation_id"]
    if not (wait or follows):
        if as_json:
            terminal.json(invocation_object(invocation))
        else:
            terminal.print(invocation_id)
        return
    terminal.message(f"Started {invocation_id}")
    if follows:
        ended = follow(Api(api.connection, retry_for_s=0), invocation_id, terminal, as_json=as_json)
    else:
        ended = wait_for(Api(api.connection, retry_for_s=0), invocation_id, terminal)
        if as_json:
            terminal.json(invocation_object(ended))
    end_with(ended, terminal, as_json=as_json, followed=follows)


def _encoded(function: FunctionInfo, args: list[object], kwargs: dict[str, object]) -> str:
    """Return the input as it travels. Raises UsageFailure when the arguments do not fit the function."""
    from multinode.function import check_arguments
    from multinode.payload import encode_arguments

    try:
        parameters = function.get("signature")
        if parameters is not None:
            check_arguments(parameters, args, kwargs, function_name=function["function_name"])
        return encode_arguments(args, kwargs)
    except MultinodeError as error:
        raise UsageFailure(str(error)) from error


def _start(api: Api, version: VersionInfo, function: FunctionInfo, text: str, terminal: Terminal) -> InvocationInfo:
    """Return the invocation that was started; if that is not known, report the id it would have."""
    invocation_id = new_invocation_id()
    unknown = f"It is not known whether {invocation_id} was started; check with `multinode get {invocation_id}`"
    try:
        return api.start(
            version["project_name"],
            version["version_id"],
            function["function_name"],
            {"input": text, "invocation_id": invocation_id},
        )
    except KeyboardInterrupt:
        terminal.message(f"Interrupted. {unknown}")
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    except ControlPlaneAway as away:
        raise ControlPlaneAway(f"{away.message}\n{unknown}") from away
