"""checkov finds nothing but what an exception beside the resource explains, and no exception is without use."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.terraform_offline import SOURCE, copy_modules

EXCEPTION = re.compile(r"checkov:skip=(\w+):(.*)")
OWN_CHECKOV = SOURCE.parent / ".venv-checkov" / "bin" / "checkov"


def exceptions(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield check, resource and reason of each exception below `folder`."""
    for path in sorted(folder.rglob("*.tf")):
        resource = ""
        for line in path.read_text().splitlines():
            if head := re.match(r'(?:resource|data) "(\w+)" "(\w+)"', line):
                resource = f"{head[1]}.{head[2]}"
            if found := EXCEPTION.search(line):
                yield found[1], resource, found[2]


def checkov(folder: Path) -> list[dict[str, Any]]:
    """Return the checks that fail for `folder`, after making sure that checkov understood its files."""
    program = str(OWN_CHECKOV) if OWN_CHECKOV.is_file() else shutil.which("checkov")
    if program is None:
        pytest.skip("checkov is not installed: `make checkov` installs it into .venv-checkov")
    command = [program, "-d", str(folder), "--config-file", str(SOURCE / ".checkov.yaml"), "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    reports = found if isinstance(found, list) else [found]
    assert any(report["check_type"] == "terraform" for report in reports)
    for report in reports:
        assert report["summary"]["parsing_errors"] == 0
    assert sum(report["summary"]["passed"] for report in reports) > 100
    return [check for report in reports for check in report["results"]["failed_checks"]]


def test_every_exception_stands_beside_a_resource_and_gives_a_reason() -> None:
    found = list(exceptions(SOURCE))
    assert len(found) >= 20
    assert [entry for entry in found if not entry[1] or len(entry[2]) < 20] == []


@pytest.mark.slow
def test_checkov_finds_nothing() -> None:
    problems = [f"{check['check_id']} {check['resource']} {check['check_name']}" for check in checkov(SOURCE)]
    assert problems == []


@pytest.mark.slow
def test_no_exception_is_without_use(tmp_path: Path) -> None:
    copy = copy_modules(tmp_path / "terraform")
    for path in copy.rglob("*.tf"):
        path.write_text(
            "".join(line for line in path.read_text().splitlines(keepends=True) if not EXCEPTION.search(line))
        )
    failed = {
        (check["check_id"], re.sub(r"\[.*", "", ".".join(check["resource"].split(".")[-2:]))) for check in checkov(copy)
    }
    assert {(check, resource) for check, resource, _ in exceptions(SOURCE)} == failed
