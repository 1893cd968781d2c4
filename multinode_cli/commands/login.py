"""``login``, ``logout`` and ``whoami``: which control plane the commands talk to."""

import os
import sys

import click

from multinode.config import Connection, checked_api_key, checked_api_url, delete_profile, load_profile, save_profile
from multinode.errors import ControlPlaneNotConfiguredError, ParameterValidationError
from multinode_cli.client.api import LOGIN, Api, connect
from multinode_cli.commands.options import json_option
from multinode_cli.console.questions import can_ask
from multinode_cli.console.tables import pairs
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_protocol.env_vars import API_KEY, API_URL
from multinode_protocol.messages import DeploymentInfo

MAX_KEY_CHARS = 1000


@click.command()
@click.option("--api-url", metavar="URL", help="The control plane; asked for if not given.")
@click.option("--api-key", metavar="KEY", help="Its key; '-' reads it from stdin; asked for without echo if not given.")
@click.option("--from-aws", is_flag=True, help="Read URL and key from the AWS account, with your AWS credentials.")
@click.option("--name", metavar="NAME", help="With --from-aws: the deployment (default: default).")
@click.option("--region", metavar="REGION", help="With --from-aws: its region (default: as AWS is configured).")
def login(api_url: str | None, api_key: str | None, from_aws: bool, name: str | None, region: str | None) -> None:
    """Connect to a control plane and remember it.

    The key is checked before anything is saved. On a terminal it is asked for; elsewhere it comes from stdin
    (--api-key -) or from the variable MULTINODE_API_KEY, so that it need not appear on a command line. With --from-aws,
    nothing is asked for.
    """
    if from_aws and (api_url or api_key):
        raise UsageFailure("--from-aws finds URL and key itself: leave out --api-url and --api-key")
    if not from_aws and (name or region):
        raise UsageFailure("--name and --region are for --from-aws: add it, or give --api-url")
    terminal = current()
    if from_aws:
        from multinode_cli.backends.aws.account import Account

        remember(Account(region).connection(name or "default"), terminal)
        return
    url = _url(api_url)
    remember(Connection(url, _key(api_key, terminal), LOGIN), terminal)


def remember(connection: Connection, terminal: Terminal, *, retry_for_s: float | None = None) -> None:
    """Check that a control plane answers and accepts the key, then save both. `retry_for_s`: how long it may take.

    Raises UsageFailure, ControlPlaneFailure.
    """
    url = connection.api_url
    deployment = Api(connection, retry_for_s=retry_for_s).deployment()
    try:
        path = save_profile(url, connection.api_key)
    except ParameterValidationError as error:
        raise UsageFailure(str(error)) from error
    except ControlPlaneNotConfiguredError as error:
        raise ControlPlaneFailure(str(error)) from error
    terminal.step(f"Logged in to {url} ({_backend(deployment)}); saved in {path}")
    if os.environ.get(API_URL) and os.environ[API_URL].rstrip("/") != url:
        terminal.warning(
            f"{API_URL} is set to {os.environ[API_URL]} and takes precedence over the saved login; unset it"
        )


def _url(given: str | None) -> str:
    if given is None:
        given = os.environ.get(API_URL)
    if given is None:
        if not can_ask():
            raise UsageFailure("which control plane? Give --api-url URL")
        given = click.prompt("Control plane URL", err=True)
    try:
        return checked_api_url(given)
    except ParameterValidationError as error:
        raise UsageFailure(str(error)) from error


def _key(given: str | None, terminal: Terminal) -> str:
    if given == "-":
        given = sys.stdin.readline(MAX_KEY_CHARS) if sys.stdin else ""
    elif given is None and not can_ask():
        given = os.environ.get(API_KEY)
        if given is None:
            raise UsageFailure(f"which key? Pipe it in with --api-key -, or set {API_KEY}")
        terminal.message(f"Taking the key from {API_KEY}")
    elif given is None:
        given = click.prompt("API key", hide_input=True, err=True)
    try:
        return checked_api_key(given)
    except ParameterValidationError as error:
        raise UsageFailure(str(error)) from error


@click.command()
def logout() -> None:
    """Forget the control plane that login remembered."""
    forget(current())


def forget(terminal: Terminal) -> None:
    """Remove the profile, and say what it was for. Raises ControlPlaneFailure when it cannot be removed."""
    try:
        connection = load_profile()
    except ControlPlaneNotConfiguredError:
        connection = None  # damaged or not trustworthy: all the more reason to remove it
    try:
        removed = delete_profile()
    except ControlPlaneNotConfiguredError as error:
        raise ControlPlaneFailure(str(error)) from error
    if removed:
        terminal.step(f"Logged out{f' of {connection.api_url}' if connection else ''}")
    else:
        terminal.message("Not logged in")
    if os.environ.get(API_KEY):
        terminal.warning(f"{API_URL} and {API_KEY} are set and are still used")


@click.command()
@json_option
def whoami(as_json: bool) -> None:
    """Show which control plane is used, and check it: that it answers and accepts the key."""
    terminal = current()
    api = connect()
    deployment = api.deployment()
    connection = api.connection
    facts = {
        "api_url": connection.api_url,
        "key_id": key_id(connection.api_key),
        "source": connection.source,
        "backend": deployment["backend"],
        "multinode_version": deployment["multinode_version"],
        "api_version": deployment["api_version"],
    }
    if as_json:
        terminal.json(facts)
        return
    shown = [
        ("Control plane", connection.api_url),
        ("Backend", _backend(deployment)),
        ("Key", f"{facts['key_id'] or 'in an unknown format'} (from {connection.source})"),
    ]
    terminal.print(pairs(shown, terminal.out_style))


def key_id(api_key: str) -> str | None:
    """Return the public part of a key, ``mn_<id>``; None when it has none."""
    parts = api_key.split("_")
    return f"mn_{parts[1]}" if len(parts) >= 3 and parts[0] == "mn" else None


def _backend(deployment: DeploymentInfo) -> str:
    return f"{deployment['backend']}, multinode {deployment['multinode_version']}"
