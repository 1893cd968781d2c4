"""The deployment in the emulated account: `terraform apply` of the module, with the real package and provider."""

import json
from collections.abc import Mapping
from pathlib import Path

from multinode_cli.lambda_package import build
from scripts.terraform_offline import copy_modules, environment, terraform
from tests.e2e.emulator import without_aws

__all__ = ["DEPLOYMENT", "Installation"]

DEPLOYMENT = "e2e"
INPUTS = {"TF_VAR_name": DEPLOYMENT, "TF_VAR_deletion_protection": "false"}


class Installation:
    """A copy of `terraform/` and its state."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        """`variables`: how to reach the account."""
        folder.mkdir()
        self._variables = {**without_aws(environment(folder)), **variables, **INPUTS}
        self._folder = copy_modules(folder / "module")
        build(self._folder / "multinode-lambda.zip")

    def apply(self) -> None:
        self._run("init", "-no-color")
        self._run("apply", "-auto-approve", "-no-color", "-parallelism=20")

    def plan(self) -> list[str]:
        """Return the addresses of what another apply would change."""
        self._run("plan", "-no-color", "-out=plan")
        changes = json.loads(self._run("show", "-json", "plan"))["resource_changes"]
        return [change["address"] for change in changes if change["change"]["actions"] not in (["no-op"], ["read"])]

    def output(self, name: str) -> str:
        value: str = json.loads(self._run("output", "-json", name))
        return value

    def resources(self) -> list[str]:
        """Return the addresses of what Terraform has made, without what it has only read."""
        return [a for a in self._run("state", "list").split() if not a.startswith("data.")]

    def destroy(self) -> None:
        self._run("destroy", "-auto-approve", "-no-color", "-parallelism=20")

    def _run(self, *arguments: str) -> str:
        done = terraform(arguments, self._folder, self._variables)
        assert done.returncode == 0, f"terraform {' '.join(arguments)}:\n{done.stdout}"
        return done.stdout
