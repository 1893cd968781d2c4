"""Terraform for tests: a copy of the modules with the provider from this disk's mirror, and what a run made of it.

`scripts/terraform_offline.py` finds the mirror; without one, Terraform asks its registry.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from scripts.terraform_offline import copy_modules, environment, terraform


@dataclass(frozen=True)
class Terraform:
    """A copy of `terraform/`, initialised. Commands may write into it."""

    folder: Path
    variables: Mapping[str, str]

    def run(self, *arguments: str, within: str = ".") -> subprocess.CompletedProcess[str]:
        """Return how ``terraform arguments`` ended in a folder of the copy; stdout has both streams."""
        return terraform(arguments, self.folder / within, dict(self.variables))


def initialised_copy(scratch: Path) -> Terraform:
    """Copy the modules below `scratch` and initialise the root. Raises AssertionError with what Terraform said."""
    copy = Terraform(copy_modules(scratch / "terraform"), environment(scratch))
    done = copy.run("init", "-backend=false", "-no-color")
    assert done.returncode == 0, done.stdout
    return copy


class Planned:
    """Every resource as an apply with the mocked AWS of terraform/tests made it, by address."""

    def __init__(self, resources: Mapping[str, Mapping[str, Any]]) -> None:
        self._resources = resources

    def __getitem__(self, address: str) -> Mapping[str, Any]:
        return self._resources[address]

    def of_type(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Return the resources of one type by address."""
        return {
            address: values
            for address, values in self._resources.items()
            if f".{kind}." in f".{address}" and not address.startswith("data.")
        }


def planned(copy: Terraform) -> Planned:
    """Return what the module makes with its defaults, as the header of tests/defaults.tftest.hcl mocks AWS."""
    header, _, _ = (copy.folder / "tests" / "defaults.tftest.hcl").read_text().partition('\nrun "')
    (copy.folder / "tests" / "as_it_stands.tftest.hcl").write_text(f'{header}\nrun "as_it_stands" {{\n}}\n')
    done = copy.run("test", "-json", "-verbose", "-filter=tests/as_it_stands.tftest.hcl")
    assert done.returncode == 0, done.stdout
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    (state,) = [message["test_state"] for message in messages if message["type"] == "test_state"]
    root = state["root_module"]
    modules = [root, *cast(Sequence[Mapping[str, Any]], root["child_modules"])]
    return Planned({item["address"]: item["values"] for module in modules for item in module["resources"]})
