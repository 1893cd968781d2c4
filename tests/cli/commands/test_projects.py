"""list and describe."""

import json

import pytest

from tests.cli.conftest import Multinode
from tests.support.bodies import CREATED, execution, function_info, invocation_id, version_id
from tests.support.control_plane import FakeControlPlane


@pytest.fixture
def tsp(plane: FakeControlPlane) -> FakeControlPlane:
    """A control plane with the project ``tsp``, of two versions and two functions."""
    plane.add_project("tsp", function_info("solve", ["n", "rounds="]), function_info("anneal"), versions=2)
    return plane


def test_no_projects_yet_says_how_to_create_one(multinode: Multinode, plane: FakeControlPlane) -> None:
    outcome = multinode("list")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "No projects yet. Create one: multinode deploy CODE_PATH --project-name NAME\n"


def test_projects_are_listed(multinode: Multinode, tsp: FakeControlPlane) -> None:
    tsp.add_project("old", versions=0, deleted_at=CREATED + 5)
    lines = multinode("list").out.splitlines()
    assert lines[0].split() == ["PROJECT", "CREATED", "STATE"]
    assert lines[1].startswith("old")
    assert lines[1].endswith("being deleted")
    assert lines[2].startswith("tsp")
    assert lines[2].endswith("ready")


def test_projects_as_json(multinode: Multinode, tsp: FakeControlPlane) -> None:
    assert json.loads(multinode("list", "--json").out) == {
        "projects": [{"project_name": "tsp", "creation_time": CREATED, "deletion_request_time": None}]
    }


@pytest.mark.parametrize("arguments", [("tsp",), ("--project-name", "tsp")])
def test_the_versions_of_a_project(multinode: Multinode, tsp: FakeControlPlane, arguments: tuple[str, ...]) -> None:
    assert json.loads(multinode("list", *arguments, "--json").out) == {
        "project_name": "tsp",
        "versions": [
            {"version_id": version_id(2), "creation_time": CREATED + 2},
            {"version_id": version_id(1), "creation_time": CREATED + 1},
        ],
    }
    assert multinode("list", *arguments).out.splitlines()[1].endswith(", latest")


@pytest.mark.parametrize(
    "arguments",
    [("tsp", "solve"), ("--project-name", "tsp", "--function-name", "solve"), ("--function-name", "solve", "tsp")],
)
def test_the_invocations_of_a_function_newest_first(
    multinode: Multinode, tsp: FakeControlPlane, arguments: tuple[str, ...]
) -> None:
    tsp.add_invocation(1, "tsp", "solve", "FAILED", status_reason="ValueError: no")
    tsp.add_invocation(2, "tsp", "solve", "RUNNING")
    listed = json.loads(multinode("list", *arguments, "--json").out)
    assert [each["invocation_id"] for each in listed["invocations"]] == [invocation_id(2), invocation_id(1)]
    assert listed["invocations"][1] == {
        "invocation_id": invocation_id(1),
        "parent": None,
        "status": "FAILED",
        "status_reason": "ValueError: no",
        "num_failed_attempts": 1,
        "creation_time_ms": CREATED * 1000,
        "finish_time_ms": CREATED * 1000 + 2500,
    }
    assert listed["more"] is False
    assert multinode("list", *arguments).out.splitlines()[2].endswith("ValueError: no")


def test_a_listing_goes_on_over_pages_up_to_its_limit(multinode: Multinode, tsp: FakeControlPlane) -> None:
    for number in range(1, 131):
        tsp.add_invocation(number, "tsp", "solve")
    listed = json.loads(multinode("list", "tsp", "solve", "--limit", "120", "--json").out)
    assert [each["invocation_id"] for each in listed["invocations"]] == [invocation_id(n) for n in range(130, 10, -1)]
    assert listed["more"] is True
    assert "There are more; see them with --limit 500" in multinode("list", "tsp", "solve").err


def test_a_listing_by_status(multinode: Multinode, tsp: FakeControlPlane) -> None:
    tsp.add_invocation(1, "tsp", "solve", "FAILED")
    tsp.add_invocation(2, "tsp", "solve", "RUNNING")
    listed = json.loads(multinode("list", "tsp", "solve", "--status", "failed", "--json").out)
    assert [each["invocation_id"] for each in listed["invocations"]] == [invocation_id(1)]


@pytest.mark.parametrize("arguments", [("--version-id", "latest"), ("--status", "FAILED"), ("--function-name", "f")])
def test_a_function_or_version_without_its_project_is_asked_for_it(
    multinode: Multinode, plane: FakeControlPlane, arguments: tuple[str, ...]
) -> None:
    outcome = multinode("list", *arguments)
    assert (outcome.code, outcome.err) == (2, "error: which project? Give --project-name\n")


def test_a_project_is_described(multinode: Multinode, tsp: FakeControlPlane) -> None:
    described = json.loads(multinode("describe", "--project-name", "tsp", "--json").out)
    assert described["project_name"] == "tsp"
    assert [version["version_id"] for version in described["versions"]] == [version_id(2), version_id(1)]
    assert [function["function_name"] for function in described["latest"]["functions"]] == ["solve", "anneal"]
    text = multinode("describe", "--project-name", "tsp").out
    assert "solve(n, rounds=...)" in text
    assert version_id(1) in text


def test_a_version_is_described(multinode: Multinode, tsp: FakeControlPlane) -> None:
    described = json.loads(multinode("describe", "tsp", "--version-id", version_id(1), "--json").out)
    assert described["version_id"] == version_id(1)
    assert described["functions"][0] == {
        "function_name": "solve",
        "signature": ["n", "rounds="],
        "description": "What solve does.",
        "virtual_cpus": 0.1,
        "memory_gbs": 0.25,
        "max_concurrency": 10,
        "timeout_seconds": 3600,
        "max_retries": 0,
        "max_queue_seconds": None,
        "retry": {"initial_delay_s": 0.0, "backoff": 2.0, "max_delay_s": 300.0, "jitter": 0.0, "retry_on": None},
        "schedule": None,
        "next_run_time": None,
    }
    assert "256 MiB" in multinode("describe", "tsp", "--version-id", version_id(1)).out


def test_a_function_is_described_with_its_newest_invocations(multinode: Multinode, tsp: FakeControlPlane) -> None:
    tsp.add_invocation(1, "tsp", "solve")
    described = json.loads(multinode("describe", "tsp", "--function-name", "solve", "--json").out)
    assert described["version_id"] == version_id(2)
    assert [each["invocation_id"] for each in described["invocations"]] == [invocation_id(1)]
    assert "at most 10 at a time" in multinode("describe", "tsp", "solve").out
    assert multinode("describe", "tsp", "anneal").err == "\nIt has not been invoked yet\n"


def test_an_invocation_and_an_execution_are_described_by_id_alone(multinode: Multinode, tsp: FakeControlPlane) -> None:
    identifier = tsp.add_invocation(1, "tsp", "solve", executions=[execution(1)])
    assert multinode("describe", "--invocation-id", identifier).out == multinode("get", identifier).out
    described = json.loads(multinode("describe", "--invocation-id", identifier, "--execution-id", "1", "--json").out)
    assert described["attempt"] == 1


def test_describe_without_anything_asks_what(multinode: Multinode, plane: FakeControlPlane) -> None:
    outcome = multinode("describe")
    assert (outcome.code, outcome.err.startswith("error: describe what?")) == (2, True)


WRONG_NAMES = {
    ("describe", "tps"): "there is no project named 'tps'. Did you mean 'tsp'?\n  multinode describe tsp\n",
    ("list", "--project-name=tps"): (
        "there is no project named 'tps'. Did you mean 'tsp'?\n  multinode list --project-name=tsp\n"
    ),
    ("list", "tsp", "slove"): (
        "there is no function in project tsp named 'slove'. Did you mean 'solve'?\n  multinode list tsp solve\n"
    ),
    ("describe", "tsp", "--version-id", "ver-1"): (
        f"project tsp has no version 'ver-1'. The newest is {version_id(2)}, "
    ),
    ("describe", "tsp", "--version-id", "0" * 31 + "2"): (
        f"there is no version of project tsp '{'0' * 31}2'. Did you mean '{version_id(2)}'?\n"
        f"  multinode describe tsp --version-id {version_id(2)}\n"
    ),
    ("describe", "tsp", "--version-id", invocation_id(1)): (
        f"{invocation_id(1)} is the id of an invocation; give the id of a version: ver-…\n"
    ),
    ("describe", "zebra"): "there is no project named 'zebra'. Existing: tsp\n",
    ("describe", ".."): "there is no project named '..'. Existing: tsp\n",
    ("describe", ""): "there is no project named ''. Existing: tsp\n",
}


@pytest.mark.parametrize(("arguments", "message"), WRONG_NAMES.items(), ids=map(" ".join, WRONG_NAMES))
def test_a_wrong_name_gets_the_whole_corrected_command(
    multinode: Multinode, tsp: FakeControlPlane, arguments: tuple[str, ...], message: str
) -> None:
    outcome = multinode(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {message}")


def test_a_project_without_versions_says_how_to_add_one(multinode: Multinode, plane: FakeControlPlane) -> None:
    plane.add_project("empty", versions=0)
    assert "multinode deploy CODE_PATH --project-name empty" in multinode("describe", "empty").err
    outcome = multinode("describe", "empty", "f")
    assert outcome.code == 2
    assert outcome.err.startswith("error: project empty has no version yet. Deploy one: multinode deploy")
