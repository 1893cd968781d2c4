"""The deployment in the emulated account: `terraform apply` of the module, with the real package and provider."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multinode_cli.aws_install.lambda_package import build
from scripts.terraform_offline import copy_modules, environment, terraform
from tests.e2e.emulator import without_aws

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
        self._run("apply", "-auto-approve", "-no-color")

    def forget(self) -> None:
        """Forget what was made, as if nothing had been applied."""
        for state in self._folder.glob("terraform.tfstate*"):
            state.unlink()

    @contextmanager
    def beside(self, folder: Path, inputs: Mapping[str, str]) -> Iterator[None]:
        """Within, a user's own root module is applied too. `inputs`: its variable -> an output of the deployment."""
        root = Path(shutil.copytree(folder, self._folder.parent / folder.name))
        given = {f"TF_VAR_{name}": json.dumps(self.output(output)) for name, output in inputs.items()}
        self._run("init", "-no-color", within=root)
        self._run("apply", "-auto-approve", "-no-color", within=root, given=given)
        try:
            yield
        finally:
            self._run("destroy", "-auto-approve", "-no-color", within=root, given=given)

    def output(self, name: str) -> Any:
        return json.loads(self._run("output", "-json", name))

    def resources(self) -> list[str]:
        """Return the addresses of what Terraform has made, without what it has only read."""
        return [a for a in self._run("state", "list").split() if not a.startswith("data.")]

    def destroy(self) -> None:
        self._run("destroy", "-auto-approve", "-no-color")

    def _run(self, *arguments: str, within: Path | None = None, given: Mapping[str, str] | None = None) -> str:
        done = terraform(arguments, within or self._folder, {**self._variables, **(given or {})})
        assert done.returncode == 0, f"terraform {' '.join(arguments)}:\n{done.stdout}"
        return done.stdout
