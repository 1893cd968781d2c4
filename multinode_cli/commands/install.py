"""``install`` and ``uninstall``: the Terraform module applied to an AWS account, and removed from it.

Both can be interrupted at any point and run again: the state records what exists, and the next run creates, or removes,
the rest.
"""

import re
from dataclasses import dataclass
from typing import Any

import click

from multinode.config import load_profile
from multinode.errors import ApiError, ControlPlaneNotConfiguredError
from multinode_cli.aws_install.checks import NEEDED_LAMBDA_CONCURRENCY, lambda_concurrency
from multinode_cli.aws_install.root_module import Location, RootModule, parse_settings
from multinode_cli.aws_install.state_bucket import StateBucket
from multinode_cli.aws_install.terraform import TerraformPlan, TerraformProgram, found_version
from multinode_cli.backends.aws.account import Account, CallerIdentity, Deployment, check_deployment_name
from multinode_cli.backends.aws.cleanup import AwsCleanup
from multinode_cli.client.api import Api
from multinode_cli.commands.login import forget, remember
from multinode_cli.console.questions import confirm
from multinode_cli.console.suggestions import listed
from multinode_cli.console.terminal import Terminal, current
from multinode_cli.console.text import one_line
from multinode_cli.errors import CliFailure, ControlPlaneFailure, UsageFailure

NEW_API_ANSWERS_WITHIN_S = 60.0
PROTECTED = ("module.multinode.aws_dynamodb_table.state", "module.multinode.aws_ecr_repository.images")

name_option = click.option("--name", metavar="NAME", default="default", help="The deployment (default: default).")
region_option = click.option("--region", metavar="REGION", help="Its region (default: as AWS is configured).")
approve_option = click.option("--auto-approve", is_flag=True, help="Do not ask for confirmation.")


@dataclass(frozen=True, slots=True)
class _Installation:
    """Everything that both commands work with."""

    terminal: Terminal
    account: Account
    caller: CallerIdentity
    bucket: StateBucket
    root: RootModule
    terraform: TerraformProgram
    name: str

    @classmethod
    def of(cls, name: str, region: str | None) -> "_Installation":
        check_deployment_name(name)
        terminal = current()
        program, version = found_version()
        account = Account(region)
        caller = account.caller()
        bucket = StateBucket(account, caller.account_id)
        root = RootModule(Location(name, account.region, caller.account_id, bucket.name, bucket.key(name)))
        terminal.step(f"AWS account {caller.account_id}, {account.region}, as {one_line(caller.arn)}")
        terminal.step(f"Terraform {version}")
        root.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(terminal, account, caller, bucket, root, TerraformProgram(program, root.folder, terminal), name)

    def prepare(self, settings: dict[str, Any], *, to_destroy: bool = False) -> None:
        """Write the folder and connect it to the state."""
        if self.root.write(settings, to_destroy=to_destroy):
            self.terminal.step("Built the Lambda package")
        self.terraform.init()
        unsaved = self.root.unsaved_state
        if unsaved is not None:
            self.terraform.push_state(unsaved)
            unsaved.unlink()
            self.terminal.step("Stored the state that the last run could not store")

    def plan(self, *targets: str) -> TerraformPlan:
        """Return what an apply would do; it never replaces what may hold data and is protected for that."""
        plan = self.terraform.plan(self.root.plan, targets=targets)
        half_made = [address for address in PROTECTED if address in plan.half_made]
        if not half_made:
            return plan
        for address in half_made:
            self.terraform.keep(address)
            self.terminal.step(f"Continuing with {address}, which an interrupted run had started")
        return self.terraform.plan(self.root.plan, targets=targets)

    def ask(self, question: str, *, approved: bool) -> None:
        """Raise unless the user agrees."""
        if not approved:
            unasked = "cannot ask for confirmation here; add --auto-approve"
            confirm(question, self.terminal, unasked=unasked, declined="Nothing was changed")


@click.command()
@name_option
@region_option
@click.option(
    "--set",
    "given",
    metavar="NAME=VALUE",
    multiple=True,
    help="An input of the module (terraform/README.md); remembered.",
)
@approve_option
def install(name: str, region: str | None, given: tuple[str, ...], auto_approve: bool) -> None:
    """Install a deployment in your AWS account, or update it to this version; then log in to it.

    Shows what Terraform would do and asks first. Terraform's state and the settings are stored in a bucket in the
    account, so any machine can continue. If you already use Terraform, apply the module itself (docs/aws.md).
    """
    wanted = parse_settings(given)
    installation = _Installation.of(name, region)
    existing = installation.account.find_deployment(name)
    if existing is not None and not installation.bucket.has_state(name):
        raise UsageFailure(
            f"the deployment {name} exists, but `multinode install` did not make it (the bucket "
            f"{installation.bucket.name} has no state of it): apply its Terraform where it was applied before, or "
            "choose another --name"
        )
    _say_versions(existing, installation.terminal)
    if made := installation.bucket.ensure():
        installation.terminal.step(f"Created the bucket {installation.bucket.name}, which stores Terraform's state")
    settings = {
        key: value for key, value in {**installation.bucket.settings(name), **wanted}.items() if value is not None
    }
    try:
        installation.prepare({**_fitting(installation), **settings})
        plan = installation.plan()
        if plan:
            _show(plan, installation.terminal)
            installation.ask(f"Apply this to the AWS account {installation.caller.account_id}?", approved=auto_approve)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        if made:
            installation.bucket.remove_if_empty()
        raise
    installation.bucket.save_settings(name, settings)
    if plan:
        installation.terraform.apply(installation.root.plan, plan, "Applying")
    installation.terminal.step(
        f"The deployment {name} is installed" if plan else f"The deployment {name} is up to date"
    )
    installation.terminal.message(
        f"  Terraform's state is in s3://{installation.bucket.name}/{installation.bucket.key(name)}"
    )
    _log_in(installation)


def _log_in(installation: _Installation) -> None:
    try:
        remember(
            installation.account.connection(installation.name),
            installation.terminal,
            retry_for_s=NEW_API_ANSWERS_WITHIN_S,
        )
    except CliFailure as failure:
        raise ControlPlaneFailure(
            f"{failure.message}.\nIt is installed all the same; once it answers, log in:\n"
            f"  multinode login --from-aws --name {installation.name} --region {installation.account.region}"
        ) from failure


def _say_versions(existing: Deployment | None, terminal: Terminal) -> None:
    from importlib.metadata import version

    ours = version("multinode")
    if existing is None:
        return
    theirs = str(existing.values.get("version", "unknown"))
    if theirs != ours:
        terminal.message(f"  {one_line(theirs, 40)} is installed; {ours} will replace it")
        if _version_numbers(theirs) > _version_numbers(ours):
            terminal.warning("that is an older version: it may not be able to read records that the newer one wrote")


def _version_numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition(".dev")[0])]


def _fitting(installation: _Installation) -> dict[str, Any]:
    """Return the settings that this account needs: a new one has too little concurrency to reserve any."""
    try:
        limit = lambda_concurrency(installation.account)
    except ControlPlaneFailure:
        return {}  # not allowed to ask: Lambda itself will report it
    if limit >= NEEDED_LAMBDA_CONCURRENCY:
        return {}
    installation.terminal.warning(
        f"the account may run only {limit} Lambda calls at once, too few to reserve any: reserve_concurrency=false"
    )
    return {"reserve_concurrency": False}


def _show(plan: TerraformPlan, terminal: Terminal) -> None:
    terminal.message(f"  This will create {plan.add}, change {plan.change} and remove {plan.remove} resources")
    if plan.lost:
        terminal.warning(f"the data in these will be lost: {listed(plan.lost)}")


@click.command()
@name_option
@region_option
@approve_option
def uninstall(name: str, region: str | None, auto_approve: bool) -> None:
    """Remove a deployment that install made from your AWS account, with everything in it.

    Undeploy its projects first. If it was interrupted, run it again.
    """
    installation = _Installation.of(name, region)
    existing = installation.account.find_deployment(name)
    if not installation.bucket.has_state(name):
        _refuse(installation, existing)
    projects = [] if existing is None else _projects(installation, name)
    if projects:
        commands = "".join(f"\n  multinode undeploy {project}" for project in projects)
        raise UsageFailure(f"the deployment {name} still has projects; undeploy them first:{commands}")
    installation.prepare({**installation.bucket.settings(name), "deletion_protection": False}, to_destroy=True)
    plan = installation.terraform.plan(installation.root.plan, destroy=True)
    installation.terminal.message(
        f"  This will remove the deployment {name} with everything in it: {plan.remove} resources"
    )
    installation.ask(f"Remove it from the AWS account {installation.caller.account_id}?", approved=auto_approve)
    if existing is not None:
        AwsCleanup(installation.account, existing).leftovers(None).remove()
    _unprotect(installation)
    plan = installation.terraform.plan(installation.root.plan, destroy=True)
    installation.terraform.apply(installation.root.plan, plan, "Removing")
    installation.bucket.forget(name)
    installation.root.remove()
    installation.terminal.step(f"The deployment {name} is gone")
    if existing is not None:
        _log_out(existing, installation.terminal)


def _refuse(installation: _Installation, existing: Deployment | None) -> None:
    """Raise UsageFailure: there is nothing that `uninstall` could remove."""
    if existing is None:
        installation.account.deployment(installation.name)  # says which deployments exist
    raise UsageFailure(
        f"the deployment {installation.name} was not made by `multinode install`: run `terraform destroy` where it was "
        "applied"
    )


def _projects(installation: _Installation, name: str) -> list[str]:
    """Return the names of the deployment's projects; none if its API does not answer, as when it is half removed."""
    try:
        return [project["project_name"] for project in Api(installation.account.connection(name)).projects()]
    except (ApiError, ControlPlaneFailure) as error:
        installation.terminal.warning(f"cannot check whether it still has projects: {one_line(str(error), 200)}")
        return []


def _unprotect(installation: _Installation) -> None:
    """Remove the deletion protection from what exists."""
    there = set(installation.terraform.addresses())
    targets = tuple(address for address in PROTECTED if address in there)
    if not targets:
        return
    plan = installation.plan(*targets)
    if plan:
        installation.terraform.apply(installation.root.plan, plan, "Removing the deletion protection")


def _log_out(deployment: Deployment, terminal: Terminal) -> None:
    try:
        profile = load_profile()
    except ControlPlaneNotConfiguredError:
        return
    if profile is not None and profile.api_url == deployment["api_url"]:
        forget(terminal)
