"""What the hosted workflows and the templates call exists here, and agrees with pyproject.toml."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github").rglob("*.yml"))
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / ".github/workflows").iterdir()
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
CI = WORKFLOWS["ci.yml"]["jobs"]


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for file, workflow in WORKFLOWS.items():
        for name, job in workflow["jobs"].items():
            yield f"{file}: {name}", job


def steps() -> Iterator[dict[str, Any]]:
    for _, job in jobs():
        yield from job["steps"]


def commands() -> list[str]:
    return [line for step in steps() for line in step.get("run", "").splitlines()]


def test_the_workflows_run_what_ci_runs_and_the_tests_of_the_wheel() -> None:
    assert any(line.endswith(" .ci/run") for line in commands())
    assert "make wheel" in commands()
    assert "scripts/test_wheel.sh python dist/*.whl" in commands()


def test_every_script_and_make_target_that_a_workflow_calls_exists() -> None:
    makefiles = [ROOT / "Makefile", *ROOT.glob("*/*.mk")]
    targets = {name for file in makefiles for name in re.findall(r"^([a-z-]+):", file.read_text(), re.MULTILINE)}
    called = {name for line in commands() for name in re.findall(r"\bmake ([a-z-]+)", line)}
    assert called
    assert called - targets == set()
    scripts = {name for line in commands() for name in re.findall(r"(?:scripts|\.ci)/[\w.]+", line)}
    assert scripts == {".ci/run", "scripts/test_wheel.sh", "scripts/release.py"}
    for line in commands():
        for script in re.findall(r"(?<!python )(?:scripts|\.ci)/[\w.]+", line):
            assert os.access(ROOT / script, os.X_OK), script
    assert (ROOT / "scripts/release.py").exists()


def test_every_file_that_the_test_of_the_wheel_names_exists() -> None:
    text = (ROOT / "scripts" / "test_wheel.sh").read_text(encoding="utf-8")
    named = {*re.findall(r"\$root/([\w./-]+)", text), *re.findall(r"\b(tests/[\w./]+\.py)", text)}
    assert named >= {"requirements-dev.lock", "pyproject.toml", "examples/tsp/requirements.txt"}
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_wheel_is_tested_on_every_python_that_the_package_names() -> None:
    matrix = CI["installed"]["strategy"]["matrix"]
    assert matrix["python"] == PYTHONS == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos"}


def test_every_step_that_sets_up_python_names_a_supported_one_and_a_lock() -> None:
    found = [step["with"] for step in steps() if step.get("uses", "").startswith("actions/setup-python@")]
    assert len(found) == len(list(jobs()))
    for inputs in found:
        assert inputs["python-version"] in {*PYTHONS, "${{ matrix.python }}"}
        assert (ROOT / inputs.get("cache-dependency-path", "requirements-dev.lock")).exists()


def test_actions_are_pinned_to_a_major_version_or_a_digest() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", name)] == []


def test_workflows_may_read_the_code_and_only_the_upload_may_prove_who_it_is() -> None:
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}, name
        assert workflow["concurrency"]["group"], name
    granted = {name: job["permissions"] for name, job in jobs() if "permissions" in job}
    assert granted == {"release.yml: upload": {"contents": "read", "id-token": "write"}}
    for step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize(("name", "job"), list(jobs()))
def test_every_job_is_bounded_in_time(name: str, job: dict[str, Any]) -> None:
    assert 0 < job["timeout-minutes"] <= 90


def test_every_artifact_that_a_job_downloads_comes_from_a_job_that_it_needs() -> None:
    for file, workflow in WORKFLOWS.items():
        for name, job in workflow["jobs"].items():
            wanted = artifacts(job, "download")
            assert wanted <= (artifacts(workflow["jobs"][job["needs"]], "upload") if wanted else set()), (file, name)


def artifacts(job: dict[str, Any], direction: str) -> set[str]:
    uses = f"actions/{direction}-artifact@"
    return {step["with"]["name"] for step in job["steps"] if step.get("uses", "").startswith(uses)}


@pytest.mark.parametrize("path", [*FILES, ROOT / ".pre-commit-config.yaml"], ids=lambda path: path.name)
def test_no_address_is_named(path: Path) -> None:
    assert re.findall(r"\w+://|\bwww\.|[\w-]+@[\w-]+\.\w+", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").iterdir()), ids=lambda path: path.name)
def test_an_issue_form_has_what_github_asks_of_it(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form.keys() >= {"name", "description", "body"}
    assert {field["type"] for field in form["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    inputs = [field for field in form["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in inputs)
    ids = [field["id"] for field in inputs]
    assert len(ids) == len(set(ids)) > 0
