"""The folder in which `multinode install` runs Terraform: a root module around the one that ships with Multinode.

``<state home>/multinode/aws/<account>-<region>-<name>/`` holds ``main.tf.json``, ``module/`` (a copy), the Lambda
package, the provider, and ``terraform.log``. All of it can be made again; the state is in the bucket (`state_bucket`).
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multinode_cli.aws_install import lambda_package
from multinode_cli.console.suggestions import closest
from multinode_cli.console.text import one_line
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_cli.project.resources import package_folder

MODULE = "multinode_terraform"
PACKAGE = "multinode-lambda.zip"
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
NOT_SETTINGS = {"name", "lambda_package"}
UNSAVED_STATE = "errored.tfstate"
"""What Terraform leaves behind if it could not store the state."""
_VARIABLE = re.compile(r'^variable "(\w+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a deployment is, or will be, and where its state is kept."""

    name: str
    region: str
    account_id: str
    bucket: str
    state_key: str


class RootModule:
    """The working folder of one deployment."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self.folder = _home() / "multinode" / "aws" / f"{location.account_id}-{location.region}-{location.name}"
        self.plan = self.folder / "plan.tfplan"

    @property
    def unsaved_state(self) -> Path | None:
        """Return the file of a state that could not be stored; nearly always None."""
        file = self.folder / UNSAVED_STATE
        return file if file.is_file() else None

    def write(self, settings: Mapping[str, Any], *, to_destroy: bool = False) -> bool:
        """Fill the folder; return whether the Lambda package had to be built. Raises ControlPlaneFailure.

        `to_destroy`: the package will not be read, so any zip does.
        """
        module = package_folder(MODULE)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._copy(module)
            text = json.dumps(_root(self._location, settings), indent=2)
            (self.folder / "main.tf.json").write_text(f"{text}\n", encoding="utf-8")
            if to_destroy:
                (self.folder / PACKAGE).write_bytes(EMPTY_ZIP)
                return False
            return lambda_package.provide(self.folder / PACKAGE, module / PACKAGE)
        except OSError as error:
            raise ControlPlaneFailure(f"the folder {self.folder} cannot be written: {error}") from error

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _copy(self, module: Path) -> None:
        copy = self.folder / "module"
        before = (copy / "versions.tf").read_bytes() if (copy / "versions.tf").is_file() else None
        if before != (module / "versions.tf").read_bytes():
            (self.folder / ".terraform.lock.hcl").unlink(missing_ok=True)  # another provider may be required
        shutil.rmtree(copy, ignore_errors=True)
        for file in (*module.glob("*.tf"), *module.glob("modules/*/*.tf")):
            target = copy / file.relative_to(module)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def parse_settings(given: tuple[str, ...]) -> dict[str, Any]:
    """Return the variables of ``--set NAME=VALUE``. VALUE is JSON, or else text; null restores the default.

    Raises UsageFailure for a name that the module does not know; Terraform checks the values.
    """
    known = set(_VARIABLE.findall((package_folder(MODULE) / "variables.tf").read_text(encoding="utf-8"))) - NOT_SETTINGS
    settings: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise UsageFailure(f"--set {one_line(each, 80)}: write --set NAME=VALUE")
        if name not in known:
            likely = closest(name, known)
            meant = f" Did you mean {likely}?" if likely else f" Existing: {', '.join(sorted(known))}"
            raise UsageFailure(f"--set: there is no setting {one_line(name, 80)!r}.{meant}")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def _root(location: Location, settings: Mapping[str, Any]) -> dict[str, Any]:
    backend: dict[str, Any] = {
        "bucket": location.bucket,
        "key": location.state_key,
        "region": location.region,
        "encrypt": True,
        "use_lockfile": True,
    }
    if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3"):
        backend["use_path_style"] = True  # a custom endpoint does not resolve names of buckets
    return {
        "terraform": {"required_version": ">= 1.11", "backend": {"s3": backend}},
        "provider": {"aws": {"region": location.region, "allowed_account_ids": [location.account_id]}},
        "module": {
            "multinode": {
                "source": "./module",
                "name": location.name,
                "lambda_package": f"${{path.root}}/{PACKAGE}",
                **{name: _literal(value) for name, value in settings.items()},
            }
        },
        "output": {"api_url": {"value": "${module.multinode.api_url}"}},
    }


def _literal(value: Any) -> Any:
    """Return `value` escaped, so that Terraform evaluates nothing in it."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, list):
        return [_literal(each) for each in value]
    if isinstance(value, dict):
        return {name: _literal(each) for name, each in value.items()}
    return value


def _home() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
