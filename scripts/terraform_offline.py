"""Run Terraform with an AWS provider from this disk if there is one, or else from Terraform's registry.

    python scripts/terraform_offline.py check [--quick]    format and validate the modules and examples, in a copy;
                                                           quick: only check the format of the examples
    python scripts/terraform_offline.py test [ARG …]       `terraform test`, in a copy
    python scripts/terraform_offline.py run ARG …          `terraform ARG …`, here

A folder ``…/registry.terraform.io/hashicorp/aws`` on this disk is used as a mirror, through a temporary configuration
file; nothing is copied from it. If TF_CLI_CONFIG_FILE names an existing configuration file, that is used instead.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = [
    "EMPTY_ZIP",
    "EXAMPLES",
    "MODULES",
    "SOURCE",
    "check",
    "copy_modules",
    "environment",
    "find_mirror",
    "terraform",
]

SOURCE = Path(__file__).parents[1] / "terraform"
MODULES = (".", "modules/trigger")
EXAMPLES = ("examples/minimal", "examples/complete")

PROVIDER = Path("registry.terraform.io", "hashicorp", "aws")
IMPLIED_MIRRORS = ("~/.terraform.d/plugins", "~/.local/share/terraform/plugins", "/usr/local/share/terraform/plugins")
SEARCH_DEPTH = 4
NOT_SEARCHED = frozenset({"proc", "sys", "dev", "run", "tmp", "home", "Users", "Volumes", "System", "boot"})
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
NOT_COPIED = shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "*.tfstate*", "*.tfvars")


@functools.cache
def find_mirror() -> Path | None:
    """Return the folder that contains ``registry.terraform.io/hashicorp/aws``, or None. Searches 4 folders deep."""
    for folder in (*(Path(path).expanduser() for path in IMPLIED_MIRRORS), *_folders(Path("/"), SEARCH_DEPTH)):
        if (folder / PROVIDER).is_dir():
            return folder
    return None


def _folders(parent: Path, depth: int) -> Iterator[Path]:
    """Yield the folders below `parent`, the nearest first, leaving out those that cannot be read."""
    try:
        with os.scandir(parent) as entries:
            folders = sorted(
                Path(entry.path)
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and entry.name not in NOT_SEARCHED
            )
    except OSError:  # not ours to read, or gone meanwhile
        return
    yield from folders
    if depth > 1:
        for folder in folders:
            yield from _folders(folder, depth - 1)


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment for Terraform; writes its configuration file and its plugin cache below `scratch`.

    Terraform never asks for input, and the commands used here need no credentials.
    """
    cache = scratch / "plugins"
    cache.mkdir(parents=True, exist_ok=True)
    variables = {
        **os.environ,
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "TF_PLUGIN_CACHE_DIR": str(cache),
        "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",
    }
    given = os.environ.get("TF_CLI_CONFIG_FILE")
    if given and Path(given).is_file():
        return variables
    variables.pop("TF_CLI_CONFIG_FILE", None)
    mirror = find_mirror()
    if mirror is not None:
        configuration = scratch / "terraform.rc"
        configuration.write_text(
            "provider_installation {\n"
            f'  filesystem_mirror {{\n    path    = "{mirror}"\n    include = ["hashicorp/aws"]\n  }}\n'
            '  direct {\n    exclude = ["hashicorp/aws"]\n  }\n'
            "}\n"
        )
        variables["TF_CLI_CONFIG_FILE"] = str(configuration)
    return variables


def copy_modules(target: Path) -> Path:
    """Copy `terraform/` to `target` without state and plugins, so that runs leave nothing behind. Returns `target`.

    If the control plane's package has not been built, an empty zip takes its place, because plans need the file.
    """
    shutil.copytree(SOURCE, target, ignore=NOT_COPIED)
    package = target / "multinode-lambda.zip"
    if not package.exists():
        package.write_bytes(EMPTY_ZIP)
    return target


def terraform(
    arguments: Sequence[str], folder: Path, variables: dict[str, str], *, captured: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run ``terraform -chdir=folder arguments``; if captured, ``stdout`` has both streams."""
    return subprocess.run(
        ["terraform", f"-chdir={folder}", *arguments],
        env=variables,
        check=False,
        text=True,
        stdout=subprocess.PIPE if captured else None,
        stderr=subprocess.STDOUT if captured else None,
    )


def check(copy: Path, variables: dict[str, str], folders: Sequence[str] = (*MODULES, *EXAMPLES)) -> int:
    """Check the format of every file and validate `folders`; print the problems, and return 1 if there are any."""
    formatted = _step(copy, ".", ("fmt", "-check", "-diff", "-recursive", "-no-color"), variables)
    # One after the other: they share a plugin cache, which two must not fill at the same time.
    ready = [_step(copy, folder, ("init", "-backend=false", "-no-color"), variables) for folder in folders]
    with ThreadPoolExecutor() as pool:
        valid = list(pool.map(lambda folder: _step(copy, folder, ("validate", "-no-color"), variables), folders))
    if not (formatted and all(ready) and all(valid)):
        return 1
    sys.stdout.write(f"terraform: all files are formatted; valid: {', '.join(folders)}\n")
    return 0


def _step(copy: Path, folder: str, arguments: Sequence[str], variables: dict[str, str]) -> bool:
    """Return True if the command succeeds; print its output if it does not."""
    done = terraform(arguments, copy / folder, variables)
    if done.returncode:
        sys.stderr.write(f"terraform {' '.join(arguments)} in terraform/{folder}:\n{done.stdout}\n")
    return done.returncode == 0


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 for success, 1 if a check or test failed, 2 for wrong usage, or Terraform's own."""
    if not arguments or arguments[0] not in {"check", "test", "run"}:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    if shutil.which("terraform") is None:
        sys.stderr.write("terraform is not on the PATH: install Terraform 1.11 or newer\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="multinode-terraform-") as scratch:
        variables = environment(Path(scratch))
        if arguments[0] == "run":
            return terraform(arguments[1:], Path.cwd(), variables, captured=False).returncode
        copy = copy_modules(Path(scratch, "terraform"))
        if arguments[0] == "check":
            return check(copy, variables, MODULES if "--quick" in arguments else (*MODULES, *EXAMPLES))
        for command in (("init", "-backend=false", "-no-color"), ("test", *arguments[1:])):
            returncode = terraform(command, copy, variables, captured=False).returncode
            if returncode:
                return returncode
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
