"""undeploy: says, asks, waits, removes."""

from pathlib import Path

import pytest

from multinode_cli.commands import undeploy as undeploy_module
from multinode_control_plane.core.records import LocalBundle
from tests.cli.conftest import Multinode
from tests.support.bodies import function_info
from tests.support.control_plane import FakeControlPlane


@pytest.fixture
def tsp(plane: FakeControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeControlPlane:
    """A local control plane with the project ``tsp``, two of whose three invocations are unfinished."""
    monkeypatch.setattr(undeploy_module, "ASK_EVERY_S", 0.01)
    plane.deployment["data_dir"] = str(tmp_path / "data")
    (tmp_path / "data" / "secrets" / "tsp").mkdir(parents=True)
    (tmp_path / "data" / "secrets" / "tsp" / "x.json").write_text("{}")
    (tmp_path / "data" / "secrets" / "web").mkdir()
    plane.add_project("tsp", function_info("solve"))
    plane.add_project("web", function_info("f"))
    plane.add_invocation(1, "tsp", "solve", "SUCCEEDED")
    plane.add_invocation(2, "tsp", "solve", "RUNNING")
    plane.add_invocation(3, "tsp", "solve", "PENDING")
    return plane


@pytest.mark.parametrize("name", [("tsp",), ("--project-name", "tsp")])
def test_it_says_what_will_stop_waits_until_all_is_gone_and_removes_the_secrets(
    multinode: Multinode, tsp: FakeControlPlane, tmp_path: Path, name: tuple[str, ...]
) -> None:
    outcome = multinode("undeploy", *name, "--yes")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.splitlines() == [
        "This will delete project tsp: 1 version, 2 unfinished invocations to cancel, all results and logs.",
        "Deleting project tsp: 2 left to stop",
        "✓ Project tsp is gone",
    ]
    assert "tsp" not in tsp.projects
    assert [path.name for path in (tmp_path / "data" / "secrets").iterdir()] == ["web"]


def test_where_nobody_can_be_asked_nothing_is_deleted(multinode: Multinode, tsp: FakeControlPlane) -> None:
    outcome = multinode("undeploy", "tsp")
    assert outcome.code == 2
    assert outcome.err.endswith("error: cannot ask for confirmation here; to delete project tsp, add --yes\n")
    assert tsp.projects["tsp"]["deletion_request_time"] is None


@pytest.mark.parametrize(("answer", "code", "deleted"), [("y", 0, True), ("n", 130, False), ("", 130, False)])
def test_on_a_terminal_it_asks(
    multinode: Multinode, tsp: FakeControlPlane, answer: str, code: int, deleted: bool
) -> None:
    assert multinode("undeploy", "tsp", stdin=f"{answer}\n", terminal=True).code == code
    assert ("tsp" not in tsp.projects) is deleted


def test_a_project_that_is_being_deleted_already_is_waited_for_without_asking(
    multinode: Multinode, tsp: FakeControlPlane
) -> None:
    tsp.delete_project("tsp")
    assert multinode("undeploy", "tsp").code == 0
    assert "tsp" not in tsp.projects


def test_a_wrong_name_deletes_nothing(multinode: Multinode, tsp: FakeControlPlane) -> None:
    outcome = multinode("undeploy", "tps", "--yes")
    assert outcome.code == 2
    assert outcome.err.endswith("\n  multinode undeploy tsp --yes\n")
    assert "DELETE" not in [method for method, _ in tsp.asked]


def test_secrets_of_a_project_that_does_not_exist_are_leftovers(
    multinode: Multinode, tsp: FakeControlPlane, tmp_path: Path
) -> None:
    tsp.forget_project("tsp")
    assert multinode("undeploy", "tsp").code == 2
    assert (tmp_path / "data" / "secrets" / "tsp").is_dir()
    outcome = multinode("undeploy", "tsp", "--yes")
    assert outcome.code == 0, outcome.err
    assert "There is no project tsp, but an interrupted deploy or undeploy of it left its secrets." in outcome.err
    assert [path.name for path in (tmp_path / "data" / "secrets").iterdir()] == ["web"]


def test_of_very_many_invocations_only_so_many_are_counted(multinode: Multinode, tsp: FakeControlPlane) -> None:
    for number in range(10, 310):
        tsp.add_invocation(number, "tsp", "solve", "PENDING")
    outcome = multinode("undeploy", "tsp", "--yes")
    assert "1 version, 200 or more unfinished invocations to cancel" in outcome.err


def test_environments_that_no_version_uses_are_removed_unless_they_are_young(
    multinode: Multinode, tsp: FakeControlPlane, tmp_path: Path
) -> None:
    import os

    environments = tmp_path / "data" / "environments"
    for name, age in (("used", 1), ("unused", 1), ("young", None)):
        (environments / name / "venv" / "bin").mkdir(parents=True)
        (environments / name / "complete").touch()
        if age is not None:
            os.utime(environments / name / "complete", (age, age))
    (environments / "unused.lock").touch()
    python = str(environments / "used" / "venv" / "bin" / "python")
    tsp.add_project("web", function_info("f"), local_bundle=LocalBundle("/x/code", python))
    assert multinode("undeploy", "tsp", "--yes").code == 0
    assert sorted(path.name for path in environments.iterdir()) == ["unused.lock", "used", "young"]


def test_when_it_cannot_be_told_what_is_in_use_nothing_is_removed(
    multinode: Multinode, tsp: FakeControlPlane, tmp_path: Path
) -> None:
    (tmp_path / "data" / "environments" / "old").mkdir(parents=True)
    (version,) = tsp.versions("web")
    assert version.get("local_bundle") is None
    assert multinode("undeploy", "tsp", "--yes").code == 0
    assert (tmp_path / "data" / "environments" / "old").is_dir()
