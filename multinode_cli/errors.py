"""How a command fails: one line on stderr and an exit code.

CliFailure(click.ClickException)
├── UsageFailure            2   wrong arguments, wrong names, a project that cannot be deployed
├── FunctionFailure         1   the user's function failed, was cancelled or timed out
└── ControlPlaneFailure     3   control plane, network, environment
"""

import click

EXIT_INTERRUPTED = 130


class CliFailure(click.ClickException):
    """`message` says what happened, to what, and what to do next."""

    exit_code = 3


class UsageFailure(CliFailure):
    exit_code = 2


class FunctionFailure(CliFailure):
    exit_code = 1


class ControlPlaneFailure(CliFailure):
    exit_code = 3
