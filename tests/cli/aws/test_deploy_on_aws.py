"""deploy to AWS: what is made and in which order, what is refused before anything is changed, what a failure leaves."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from multinode_cli import aws_target
from multinode_protocol.failures import ErrorCode
from tests.cli.aws.account import REGISTRY, EcrOfFakeDocker, TestAccount
from tests.cli.aws.fake_docker import DIGEST, FUNCTION, REPORT, FakeDocker, Said
from tests.cli.conftest import Multinode, Outcome
from tests.cli.fake_control_plane import FakeControlPlane, Refusal

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ecr")]

REPOSITORY = f"{REGISTRY}/multinode-main"


@pytest.fixture
def deploy(multinode: Multinode, code: Path) -> Any:
    def call(*options: str, project: str = "sums") -> Outcome:
        return multinode("deploy", str(code), "--project-name", project, *options)

    return call


def registered(plane: FakeControlPlane) -> list[dict[str, Any]]:
    """Return the bodies of the versions that were registered."""
    return [body for body in plane.bodies if "functions" in body]


def changes(plane: FakeControlPlane) -> list[tuple[str, str]]:
    return [request for request in plane.requests if request[0] != "GET"]


# --- a deploy that goes well ---


def test_an_image_is_pushed_a_task_definition_made_and_the_version_registered_last(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount, docker: FakeDocker
):
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
):
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


def test_the_values_of_env_are_stored_encrypted_and_only_their_names_go_anywhere_else(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount, docker: FakeDocker, code: Path
):
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
):
    for value in ("one", "one", "two"):
        (code / ".env").write_text(f"TOKEN={value}\n")
        assert deploy().code == 0
    assert sorted(account.parameters("/multinode/main/projects/sums/env/").values()) == ["one", "two"]
    assert len(account.task_definitions()) == 3


def test_an_image_that_the_registry_has_is_not_pushed_again(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
):
    assert deploy().code == 0
    again = deploy()
    assert again.code == 0
    assert len(docker.calls("push")) == 1
    assert "The registry has this image already" in again.err
    assert len(registered(aws_plane)) == 2


def test_the_registry_s_password_is_read_from_stdin_into_a_configuration_that_is_gone(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
):
    assert deploy().code == 0
    (login,) = docker.calls("login")
    assert login["stdin"] == "password-for-twelve-hours"
    assert login["arguments"][-1] == REGISTRY
    (push,) = docker.calls("push")
    option, folder = push["config"]
    assert option == "--config"
    assert login["config"] == [option, folder]
    assert not os.path.exists(folder)


def test_the_image_is_built_from_what_the_user_says(deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker):
    assert deploy("--base-image", "registry.example/base:1").code == 0
    (built,) = docker.calls("build")
    assert "FROM registry.example/base:1\n" in built["dockerfile"]


def test_everyone_may_read_what_is_in_the_image_whatever_the_mask(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, code: Path
):
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


def test_another_python_in_the_image_is_a_warning(deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker):
    docker.finds(REPORT | {"python": "3.99.1"})
    done = deploy()
    assert done.code == 0
    assert "warning: the image has Python 3.99.1, this machine" in done.err


# --- dry run ---


def test_a_dry_run_prints_dockerfile_and_task_definition_and_changes_nothing(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount, docker: FakeDocker, code: Path
):
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


def test_a_dry_run_as_json_has_both_too(deploy: Any, aws_plane: FakeControlPlane):
    done = json.loads(deploy("--dry-run", "--json").out)
    assert done["dockerfile"].startswith("# Rendered by multinode")
    assert done["task_definition"]["cpu"] == "256"
    assert done["functions"][0]["function_name"] == "add"


# --- what is wrong with the project: found before anything is changed ---


def test_a_size_that_fargate_has_not_is_refused_with_the_nearest_one(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
):
    spec = {"virtual_cpus": 1, "memory_gbs": 300, "max_concurrency": 1}
    docker.finds(REPORT | {"functions": [FUNCTION | {"resource_spec": spec}]})
    done = deploy()
    assert done.code == 2
    # 32 vCPU with 244 GiB is the largest that there is.
    assert "function add: no Fargate size has 1 vCPU with 300 GiB; the nearest is 32 vCPU with 244 GiB" in done.err
    assert 'ask for at most cpu=32, memory="244 GiB"' in done.err
    assert changes(aws_plane) == []
    assert docker.calls("push") == []


def test_a_value_of_env_that_no_parameter_can_hold_is_refused_before_anything_is_built(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, code: Path
):
    # 4096 bytes fit; é has two in UTF-8.
    (code / ".env").write_text("FITS=" + "é" * 2048 + "\nLONG=" + "é" * 2049 + "\n")
    done = deploy()
    assert done.code == 2
    assert "LONG in .env has 4,098 bytes; on AWS a value may have 4,096" in done.err
    assert docker.calls() == []


def test_an_import_that_fails_shows_the_user_s_own_file(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, code: Path
):
    trace = 'Traceback:\n  File "/multinode/code/main.py", line 1\nNameError: nope'
    docker.finds({"error": {"kind": "import_failed", "message": "main.py cannot be imported", "traceback": trace}})
    done = deploy()
    assert done.code == 2
    assert f'File "{code}/main.py", line 1' in done.err
    assert changes(aws_plane) == []


def test_an_import_that_ends_the_process_shows_what_it_printed(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
):
    docker.finds(None)
    docker.says(start=Said(["exec /multinode/venv/bin/python: exec format error"], 1))
    done = deploy()
    assert done.code == 2
    assert "importing main.py inside the image ended the whole process (exit code 1)" in done.err
    assert "exec format error" in done.err
    assert [call["arguments"] for call in docker.calls("rm")] == [["rm", "--force", "c0ffee"]]


def test_an_image_for_a_platform_that_fargate_has_not_is_refused(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
):
    docker.builds(architecture="riscv64")
    done = deploy()
    assert done.code == 2
    assert "riscv64, which Fargate does not run" in done.err


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("packages.txt", "libgl1\n$(id)\n", "packages.txt, line 2: '$(id)' is not the name of a Debian package"),
        ("packages.txt", "x; rm -rf /\n", "packages.txt, line 1: 'x; rm -rf /' is not the name of a Debian package"),
        ("Dockerfile.fragment", "RUN true\nFROM other\n", "Dockerfile.fragment, line 2: FROM is Multinode's own"),
        ("Dockerfile.fragment", "entrypoint sh\n", "Dockerfile.fragment, line 1: entrypoint is Multinode's own"),
        ("Dockerfile.fragment", "# x\n" * 6000 + "#", "has 24,001 characters; at most 20,000"),
    ],
)
def test_what_stands_beside_main_is_checked(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, code: Path, file: str, text: str, message: str
):
    (code / file).write_text(text)
    done = deploy()
    assert (done.code, message in done.err) == (2, True), done.err
    assert docker.calls("build") == []


@pytest.mark.parametrize("image", ["", "a b", "x\nRUN id", "--platform=x", "$(id)", "a" * 300])
def test_a_base_image_that_is_no_name_is_refused(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, image: str
):
    done = deploy("--base-image", image) if image != "--platform=x" else deploy(f"--base-image={image}")
    assert done.code == 2
    assert "is not the name of an image, such as python:3.11-slim" in done.err
    assert docker.calls("build") == []


def test_the_local_control_plane_takes_no_base_image(multinode: Multinode, plane: FakeControlPlane, code: Path):
    done = multinode("deploy", str(code), "--project-name", "sums", "--base-image", "python:3.11-slim")
    assert done.code == 2
    assert "--base-image is for deployments on AWS" in done.err


# --- the engine ---


def test_without_docker_it_says_what_to_install(
    deploy: Any, aws_plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    done = deploy()
    assert done.code == 3
    assert "there is no `docker` on the PATH. Install Docker Engine or Docker Desktop" in done.err


def test_an_engine_that_does_not_run_is_to_be_started(deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker):
    text = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    docker.says(version=Said([text], 1))
    done = deploy()
    assert done.code == 3
    assert f"Docker does not answer: {text}" in done.err
    assert "sudo systemctl start docker" in done.err


@pytest.mark.parametrize(
    ("line", "exit_code", "advice"),
    [
        ("write /app/x: no space left on device", 3, "The disk of the Docker engine is full"),
        ("ERROR: Cannot connect to the Docker daemon at unix:///x.sock.", 3, "The Docker engine went away"),
        (
            "pull access denied for nope, repository does not exist or may require 'docker login'",
            2,
            "The base image was not found: check its name (--base-image)",
        ),
        ("manifest for python:9.9-slim not found: manifest unknown", 2, "The base image was not found"),
        ("ERROR: failed to resolve source metadata for docker.io/library/nope:1: not found", 2, "base image was not"),
        ("dial tcp: lookup registry-1.docker.io: no such host", 3, "The network was not reached"),
        ("invalid reference format: repository name must be lowercase", 2, "not the name of an image"),
        ('exec: "python3": stat python3: no such file', 2, "The base image has no python3"),
        ("The virtual environment was not created successfully because ensurepip is not available.", 2, "python3-venv"),
        ("The command '/bin/sh -c false' returned a non-zero code: 1", 2, "could not be built (exit code 1)"),
        # What the user's own instruction says of permissions has nothing to do with a registry.
        ("mkdir: cannot create directory '/x': Permission denied", 2, "could not be built (exit code 1)"),
    ],
)
def test_a_build_that_fails_shows_its_lines_and_what_to_do(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, line: str, exit_code: int, advice: str
):
    docker.says(build=Said(["Step 1/14 : FROM base", line], 1))
    done = deploy()
    assert done.code == exit_code, done.err
    assert line in done.err
    assert advice in done.err
    assert "registry does not allow" not in done.err
    assert changes(aws_plane) == []


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            Said(["denied: User: arn:aws:iam::1:user/x is not authorized to perform: ecr:InitiateLayerUpload"], 1),
            "PutImage",
        ),
        (Said(["unauthorized: authentication required"], 1), "The registry does not allow it"),
        (Said(["error parsing HTTP 403 response body: 403 Forbidden"], 1), "The registry does not allow it"),
        (Said(["write: no space left on device"], 1), "The disk of the Docker engine is full"),
        (Said(["dial tcp: i/o timeout"], 1), "The network was not reached"),
        # An error is one whatever the exit code, and so is a push that names no digest.
        (Said(["Pushing", "error: unexpected EOF", f"tag: digest: {DIGEST} size: 1"], 0), "could not be pushed"),
        (Said(["5f70bf18a086: Pushed"], 0), "could not be pushed (exit code 0)"),
    ],
)
def test_a_push_that_fails_leaves_the_old_version_serving(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount, docker: FakeDocker, said: Said, advice: str
):
    docker.says(push=said)
    done = deploy()
    assert done.code == 3, done.err
    assert said.lines[-1] in done.err
    assert advice in done.err
    assert changes(aws_plane) == []
    assert account.task_definitions() == []


def test_a_login_that_the_registry_refuses_is_said(deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker):
    docker.says(login=Said(["Error response from daemon: login attempt failed with status: 400"], 1))
    done = deploy()
    assert done.code == 3
    assert f"the registry {REGISTRY} refused the login" in done.err


def test_a_digest_that_the_registry_does_not_have_is_noticed(
    deploy: Any, aws_plane: FakeControlPlane, ecr: EcrOfFakeDocker
):
    ecr.lies[DIGEST] = "sha256:" + "e" * 64
    done = deploy()
    assert done.code == 3
    assert "was pushed: deploy again" in done.err
    assert changes(aws_plane) == []


# --- all or nothing ---


def test_a_version_that_is_refused_leaves_no_project_behind(
    deploy: Any, aws_plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_arguments: object) -> dict[str, object]:
        raise Refusal(ErrorCode.REQUEST_IS_INVALID, "functions[0].resource_spec: too large")

    monkeypatch.setattr(aws_plane, "_create_version", refuse)
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
):
    (code / ".env").write_text("A=1\nB=2\n")

    def interrupted(*_: Any, **__: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(aws_target, "task_definition", _first_time_then(interrupted))
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
    from multinode_cli.task_definition import task_definition

    calls: list[Any] = [task_definition]

    def call(*arguments: Any, **options: Any) -> Any:
        return (calls.pop() if calls else second)(*arguments, **options)

    return call


# --- the account ---


def test_credentials_of_another_account_are_noticed_before_anything_is_built(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
):
    aws_plane.deployment["account_id"] = "999999999999"
    done = deploy()
    assert done.code == 3
    assert "is in the AWS account 999999999999, but the AWS credentials are for 123456789012" in done.err
    assert docker.calls() == []


def test_a_deployment_whose_parameter_lacks_something_is_to_be_applied_again(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount
):
    account.client("ssm").put_parameter(
        Name="/multinode/main/deployment", Value='{"name": "main"}', Type="String", Overwrite=True
    )
    done = deploy()
    assert done.code == 3
    assert "was installed by another version of Multinode (it says nothing of region, api_url," in done.err
