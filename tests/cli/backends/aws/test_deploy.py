"""deploy to AWS: what is made and in which order, what a dry run shows, and all of it or nothing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.backends.aws import target
from multinode_protocol.error_codes import ErrorCode
from tests.cli.conftest import Multinode
from tests.support.cli.account import REGISTRY, TestAccount
from tests.support.cli.deploys import changes, deploys
from tests.support.cli.docker import DIGEST, FUNCTION, REPORT, FakeDocker
from tests.support.control_plane import FakeControlPlane
from tests.support.faulty_server import refuses

pytestmark = [pytest.mark.slow(about_s=30), pytest.mark.usefixtures("ecr")]

REPOSITORY = f"{REGISTRY}/multinode-main"


@pytest.fixture
def deploy(multinode: Multinode, code: Path) -> Any:
    return deploys(multinode, code)


def registered(plane: FakeControlPlane) -> list[dict[str, Any]]:
    """Return the bodies of the versions that were registered."""
    return [body for body in plane.bodies if "functions" in body]


# --- a deploy that goes well ---


def test_an_image_is_pushed_a_task_definition_made_and_the_version_registered_last(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount, docker: FakeDocker
) -> None:
    done = deploy()
    assert done.code == 0, done.err
    assert changes(aws_plane) == [("PUT", "/projects/sums"), ("POST", "/projects/sums/versions")]
    (version,) = registered(aws_plane)
    assert version["default_docker_image"] == f"{REPOSITORY}@{DIGEST}"
    assert version["task_definition"].endswith(":task-definition/multinode-main_sums:1")
    assert version["functions"] == [FUNCTION]
    assert "✓ Pushed the image (sha256:dddddddddddd)" in done.err
    # In this order: nothing is pushed before the functions are known to be good.
    assert [call["subcommand"] for call in docker.calls()] == [
        *("version", "build", "image", "create", "start", "cp", "rm", "tag", "context", "login", "push"),
    ]


def test_the_task_definition_says_how_fargate_runs_the_worker(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount, docker: FakeDocker
) -> None:
    docker.builds(architecture="arm64")
    assert deploy().code == 0
    definition = account.client("ecs").describe_task_definition(taskDefinition="multinode-main_sums")["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    assert definition["runtimePlatform"] == {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}
    assert definition["executionRoleArn"] == "arn:aws:iam::123456789012:role/multinode-main-eu-west-1-execution"
    assert definition["taskRoleArn"] == "arn:aws:iam::123456789012:role/multinode-main-eu-west-1-task"
    assert (definition["networkMode"], definition["requiresCompatibilities"]) == ("awsvpc", ["FARGATE"])
    assert (container["name"], container["stopTimeout"], container["image"]) == (
        "worker",
        120,
        f"{REPOSITORY}@{DIGEST}",
    )
    assert container["linuxParameters"] == {"initProcessEnabled": True}
    assert container["logConfiguration"]["options"]["awslogs-group"] == "/multinode/main/workers"
    assert container["logConfiguration"]["options"]["mode"] == "non-blocking"


def test_values_of_env_are_stored_encrypted_and_only_their_names_go_elsewhere(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount, docker: FakeDocker, code: Path
) -> None:
    (code / ".env").write_text("TOKEN=s3cret-value\nEMPTY=\n")
    done = deploy()
    assert done.code == 0, done.err
    stored = account.parameters("/multinode/main/projects/sums/env/")
    ((name, value),) = stored.items()
    assert value == "s3cret-value"
    assert name.endswith("/TOKEN")
    (described,) = account.client("ssm").get_parameters(Names=[name])["Parameters"]
    assert described["Type"] == "SecureString"
    definition = account.client("ecs").describe_task_definition(taskDefinition="multinode-main_sums")["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    assert container["secrets"] == [{"name": "TOKEN", "valueFrom": name}]
    assert container["environment"] == [{"name": "EMPTY", "value": ""}]
    # Discovery is given the values, by the environment of `docker create`; no argument and no file has them.
    (created,) = docker.calls("create")
    assert created["environment"] == {"TOKEN": "s3cret-value", "EMPTY": ""}
    assert not any("s3cret-value" in word for call in docker.calls() for word in call["arguments"])
    (built,) = docker.calls("build")
    assert not [file for file in built["files"] if file.endswith(".env")]
    assert "s3cret-value" not in json.dumps([aws_plane.bodies, done.out, done.err])


def test_the_same_env_is_stored_once_and_a_changed_one_beside_it(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount, code: Path
) -> None:
    for value in ("one", "one", "two"):
        (code / ".env").write_text(f"TOKEN={value}\n")
        assert deploy().code == 0
    assert sorted(account.parameters("/multinode/main/projects/sums/env/").values()) == ["one", "two"]
    assert len(account.task_definitions()) == 3


def test_an_image_that_the_registry_has_is_not_pushed_again(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
) -> None:
    assert deploy().code == 0
    again = deploy()
    assert again.code == 0
    assert len(docker.calls("push")) == 1
    assert "The registry already has this image" in again.err
    assert len(registered(aws_plane)) == 2


def test_the_registrys_password_goes_by_stdin_into_a_configuration_that_is_gone(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
) -> None:
    assert deploy().code == 0
    (login,) = docker.calls("login")
    assert login["stdin"] == "password-for-twelve-hours"
    assert login["arguments"][-1] == REGISTRY
    (push,) = docker.calls("push")
    option, folder = push["config"]
    assert option == "--config"
    assert login["config"] == [option, folder]
    assert not os.path.exists(folder)


def test_the_image_is_built_from_what_the_user_says(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
) -> None:
    assert deploy("--base-image", "registry.example/base:1").code == 0
    (built,) = docker.calls("build")
    assert "FROM registry.example/base:1\n" in built["dockerfile"]


def test_everyone_may_read_what_is_in_the_image_whatever_the_mask(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, code: Path
) -> None:
    (code / "data").mkdir()
    (code / "data" / "table.csv").write_text("1\n")
    (code / "run.sh").write_text("#!/bin/sh\n")
    (code / "run.sh").chmod(0o700)
    before = os.umask(0o077)
    try:
        assert deploy().code == 0
    finally:
        os.umask(before)
    (built,) = docker.calls("build")
    files = built["files"]
    assert (files["code/data"], files["code/data/table.csv"], files["code/run.sh"]) == ("0o755", "0o644", "0o755")
    assert set(files.values()) == {"0o755", "0o644"}


def test_another_python_in_the_image_is_a_warning(deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker) -> None:
    docker.finds(REPORT | {"python": "3.99.1"})
    done = deploy()
    assert done.code == 0
    assert "warning: the image has Python 3.99.1, this machine" in done.err


# --- dry run ---


def test_a_dry_run_prints_dockerfile_and_task_definition_and_changes_nothing(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount, docker: FakeDocker, code: Path
) -> None:
    (code / ".env").write_text("TOKEN=s3cret-value\n")
    before = account.parameters()
    done = deploy("--dry-run")
    assert done.code == 0, done.err
    assert 'ENTRYPOINT ["/multinode/venv/bin/python", "-P", "-m", "multinode.worker"]' in done.out
    assert '"family": "multinode-main_sums"' in done.out
    assert f'"image": "{REPOSITORY}:sums.1111111111111111"' in done.out
    assert '"valueFrom": "/multinode/main/projects/sums/env/DIGEST/TOKEN"' in done.out
    assert "s3cret-value" not in done.out + done.err
    assert changes(aws_plane) == []
    assert docker.calls("push") == []
    assert account.task_definitions() == []
    assert account.parameters() == before


def test_a_dry_run_as_json_has_both_too(deploy: Any, aws_plane: FakeControlPlane) -> None:
    done = json.loads(deploy("--dry-run", "--json").out)
    assert done["dockerfile"].startswith("# Rendered by multinode")
    assert done["task_definition"]["cpu"] == "256"
    assert done["functions"][0]["function_name"] == "add"


# --- all or nothing ---


def test_a_version_that_is_refused_leaves_no_project_behind(deploy: Any, aws_plane: FakeControlPlane) -> None:
    too_large = refuses(ErrorCode.REQUEST_IS_INVALID, "functions[0].resource_spec: too large")
    aws_plane.on("POST", "/versions", before=lambda _: too_large)
    done = deploy()
    assert (done.code, done.err.splitlines()[-1]) == (2, "error: functions[0].resource_spec: too large")
    assert changes(aws_plane)[-1] == ("DELETE", "/projects/sums")


def test_an_interrupted_deploy_goes_on_where_it_was_when_it_is_run_again(
    deploy: Any,
    aws_plane: FakeControlPlane,
    account: TestAccount,
    docker: FakeDocker,
    code: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (code / ".env").write_text("A=1\nB=2\n")

    def interrupted(*_: Any, **__: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(target, "task_definition", _first_time_then(interrupted))
        done = deploy()
    assert done.code == 130
    assert changes(aws_plane) == []
    stored = account.parameters("/multinode/main/projects/sums/")
    assert len(stored) == 3  # two values, and the key of their digest
    again = deploy()
    assert again.code == 0, again.err
    assert len(docker.calls("push")) == 1
    assert account.parameters("/multinode/main/projects/sums/") == stored
    assert account.task_definitions() == ["multinode-main_sums:1"]
    assert len(registered(aws_plane)) == 1


def _first_time_then(second: Any) -> Any:
    """Return a `task_definition` that works for what `prepare` shows, and then does what `second` does."""
    from multinode_cli.backends.aws.task_definition import task_definition

    calls: list[Any] = [task_definition]

    def call(*arguments: Any, **options: Any) -> Any:
        return (calls.pop() if calls else second)(*arguments, **options)

    return call
