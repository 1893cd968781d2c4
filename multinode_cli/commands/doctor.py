"""``doctor``: checks everything that a deployment on AWS needs, and says how to fix problems."""

import click

from multinode_cli.aws_install.checks import CheckResult, CheckStatus, run_checks
from multinode_cli.backends.aws.account import check_deployment_name
from multinode_cli.commands.options import json_option
from multinode_cli.console.terminal import Style, Terminal, current
from multinode_cli.console.text import clean
from multinode_cli.errors import ControlPlaneFailure

MARKS = {
    CheckStatus.OK: ("✓", "+", "green"),
    CheckStatus.WARNING: ("!", "!", "yellow"),
    CheckStatus.PROBLEM: ("✗", "x", "red"),
    CheckStatus.SKIPPED: ("-", "-", None),
}
NAME_COLUMNS = 13


@click.command()
@click.option("--name", metavar="NAME", default="default", help="The deployment (default: default).")
@click.option("--region", metavar="REGION", help="Its region (default: as AWS is configured).")
@json_option
def doctor(name: str, region: str | None, as_json: bool) -> int:
    """Check everything that a deployment on AWS needs, and say how to fix problems. Changes nothing.

    Checks this machine (Terraform, Docker), the AWS credentials, the deployment with its version, API and key, the
    subnets' route to the internet, and the quotas that are reached first. The exit code is 3 if there is a problem;
    warnings do not count.
    """
    check_deployment_name(name)
    terminal = current()
    done: list[CheckResult] = []
    for check in run_checks(name, region, terminal):
        done.append(check)
        if not as_json:
            terminal.print(_text(check, terminal.out_style))
    problems = [check for check in done if check.status is CheckStatus.PROBLEM]
    if as_json:
        terminal.json({"ok": not problems, "checks": [_object(check) for check in done]})
    else:
        _conclude(problems, done, terminal)
    return ControlPlaneFailure.exit_code if problems else 0


def _text(check: CheckResult, style: Style) -> str:
    mark, plain, colour = MARKS[check.status]
    detail = clean(check.detail).replace("\n", "\n" + " " * (NAME_COLUMNS + 2))
    text = f"{style.paint(mark if style.unicode else plain, colour)} {check.name:<{NAME_COLUMNS}}{detail}"
    return text if check.remedy is None else f"{text}\n{' ' * (NAME_COLUMNS + 2)}To fix it: {check.remedy}"


def _object(check: CheckResult) -> dict[str, str | None]:
    return {"name": check.name, "status": check.status, "detail": clean(check.detail), "remedy": check.remedy}


def _conclude(problems: list[CheckResult], done: list[CheckResult], terminal: Terminal) -> None:
    warnings = sum(check.status is CheckStatus.WARNING for check in done)
    if problems:
        terminal.message(f"\n{len(problems)} {'problem' if len(problems) == 1 else 'problems'}")
    elif warnings:
        terminal.message(f"\nNo problems; {warnings} {'warning' if warnings == 1 else 'warnings'}")
    else:
        terminal.message("\nAll is well")
