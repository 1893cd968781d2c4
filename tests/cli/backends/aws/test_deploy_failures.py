"""deploy to AWS: what is refused before anything is changed, and what a failure of the engine leaves."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Multinode
from tests.support.cli.account import REGISTRY, EcrOfFakeDocker, TestAccount
from tests.support.cli.deploys import changes, deploys
from tests.support.cli.docker import DIGEST, FUNCTION, REPORT, FakeDocker, Said
from tests.support.control_plane import FakeControlPlane

pytestmark = [pytest.mark.slow(about_s=40), pytest.mark.usefixtures("ecr")]


@pytest.fixture
def deploy(multinode: Multinode, code: Path) -> Any:
    return deploys(multinode, code)


# --- what is wrong with the project: found before anything is changed ---


def test_a_size_that_fargate_has_not_is_refused_with_the_nearest_one(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
) -> None:
    spec = {"virtual_cpus": 1, "memory_gbs": 300, "max_concurrency": 1}
    docker.finds(REPORT | {"functions": [FUNCTION | {"resource_spec": spec}]})
    done = deploy()
    assert done.code == 2
    # 32 vCPU with 244 GiB is the largest that there is.
    assert "function add: no Fargate size has 1 vCPU with 300 GiB; the nearest is 32 vCPU with 244 GiB" in done.err
    assert 'ask for at most cpu=32, memory="244 GiB"' in done.err
    assert changes(aws_plane) == []
    assert docker.calls("push") == []


def test_a_value_of_env_too_long_for_a_parameter_is_refused_before_the_build(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, code: Path
) -> None:
    # 4096 bytes fit; é has two in UTF-8.
    (code / ".env").write_text("FITS=" + "é" * 2048 + "\nLONG=" + "é" * 2049 + "\n")
    done = deploy()
    assert done.code == 2
    assert "LONG in .env has 4,098 bytes; on AWS a value may have at most 4,096" in done.err
    assert docker.calls() == []


def test_an_import_that_fails_shows_the_user_s_own_file(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, code: Path
) -> None:
    trace = 'Traceback:\n  File "/multinode/code/main.py", line 1\nNameError: nope'
    docker.finds({"error": {"kind": "import_failed", "message": "main.py cannot be imported", "traceback": trace}})
    done = deploy()
    assert done.code == 2
    assert f'File "{code}/main.py", line 1' in done.err
    assert changes(aws_plane) == []


def test_an_import_that_ends_the_process_shows_what_it_printed(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
) -> None:
    docker.finds(None)
    docker.says(start=Said(["exec /multinode/venv/bin/python: exec format error"], 1))
    done = deploy()
    assert done.code == 2
    assert "importing main.py inside the image ended the whole process (exit code 1)" in done.err
    assert "exec format error" in done.err
    assert [call["arguments"] for call in docker.calls("rm")] == [["rm", "--force", "c0ffee"]]


def test_an_image_for_a_platform_that_fargate_has_not_is_refused(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
) -> None:
    docker.builds(architecture="riscv64")
    done = deploy()
    assert done.code == 2
    assert "riscv64, which Fargate does not run" in done.err


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("packages.txt", "libgl1\n$(id)\n", "packages.txt, line 2: '$(id)' is not the name of a Debian package"),
        ("packages.txt", "x; rm -rf /\n", "packages.txt, line 1: 'x; rm -rf /' is not the name of a Debian package"),
        ("Dockerfile.fragment", "RUN true\nFROM other\n", "Dockerfile.fragment, line 2: FROM is set by Multinode"),
        ("Dockerfile.fragment", "entrypoint sh\n", "Dockerfile.fragment, line 1: entrypoint is set by Multinode"),
        ("Dockerfile.fragment", "# x\n" * 6000 + "#", "has 24,001 characters; at most 20,000"),
    ],
)
def test_what_stands_beside_main_is_checked(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, code: Path, file: str, text: str, message: str
) -> None:
    (code / file).write_text(text)
    done = deploy()
    assert (done.code, message in done.err) == (2, True), done.err
    assert docker.calls("build") == []


@pytest.mark.parametrize("image", ["", "a b", "x\nRUN id", "--platform=x", "$(id)", "a" * 300])
def test_a_base_image_that_is_no_name_is_refused(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker, image: str
) -> None:
    done = deploy("--base-image", image) if image != "--platform=x" else deploy(f"--base-image={image}")
    assert done.code == 2
    assert "is not the name of an image, such as python:3.11-slim" in done.err
    assert docker.calls("build") == []


def test_the_local_control_plane_takes_no_base_image(multinode: Multinode, plane: FakeControlPlane, code: Path) -> None:
    done = multinode("deploy", str(code), "--project-name", "sums", "--base-image", "python:3.11-slim")
    assert done.code == 2
    assert "--base-image is for deployments on AWS" in done.err


# --- the engine ---


def test_without_docker_it_says_what_to_install(
    deploy: Any, aws_plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    done = deploy()
    assert done.code == 3
    assert "there is no `docker` on the PATH. Install Docker Engine or Docker Desktop" in done.err


def test_an_engine_that_does_not_run_is_to_be_started(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
) -> None:
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
        ("ERROR: Cannot connect to the Docker daemon at unix:///x.sock.", 3, "The Docker engine stopped"),
        (
            "pull access denied for nope, repository does not exist or may require 'docker login'",
            2,
            "The base image was not found: check its name (--base-image)",
        ),
        ("manifest for python:9.9-slim not found: manifest unknown", 2, "The base image was not found"),
        ("ERROR: failed to resolve source metadata for docker.io/library/nope:1: not found", 2, "base image was not"),
        ("dial tcp: lookup registry-1.docker.io: no such host", 3, "The network could not be reached"),
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
) -> None:
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
        (Said(["dial tcp: i/o timeout"], 1), "The network could not be reached"),
        # An error is one whatever the exit code, and so is a push that names no digest.
        (Said(["Pushing", "error: unexpected EOF", f"tag: digest: {DIGEST} size: 1"], 0), "could not be pushed"),
        (Said(["5f70bf18a086: Pushed"], 0), "could not be pushed (exit code 0)"),
    ],
)
def test_a_push_that_fails_leaves_the_old_version_serving(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount, docker: FakeDocker, said: Said, advice: str
) -> None:
    docker.says(push=said)
    done = deploy()
    assert done.code == 3, done.err
    assert said.lines[-1] in done.err
    assert advice in done.err
    assert changes(aws_plane) == []
    assert account.task_definitions() == []


def test_a_login_that_the_registry_refuses_is_said(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
) -> None:
    docker.says(login=Said(["Error response from daemon: login attempt failed with status: 400"], 1))
    done = deploy()
    assert done.code == 3
    assert f"the registry {REGISTRY} refused the login" in done.err


def test_a_digest_that_the_registry_does_not_have_is_noticed(
    deploy: Any, aws_plane: FakeControlPlane, ecr: EcrOfFakeDocker
) -> None:
    ecr.lies[DIGEST] = "sha256:" + "e" * 64
    done = deploy()
    assert done.code == 3
    assert "was pushed: deploy again" in done.err
    assert changes(aws_plane) == []


# --- the account ---


def test_credentials_of_another_account_are_noticed_before_anything_is_built(
    deploy: Any, aws_plane: FakeControlPlane, docker: FakeDocker
) -> None:
    aws_plane.deployment["account_id"] = "999999999999"
    done = deploy()
    assert done.code == 3
    assert "is in the AWS account 999999999999, but the AWS credentials are for 123456789012" in done.err
    assert docker.calls() == []


def test_a_deployment_whose_parameter_lacks_something_is_to_be_applied_again(
    deploy: Any, aws_plane: FakeControlPlane, account: TestAccount
) -> None:
    account.client("ssm").put_parameter(
        Name="/multinode/main/deployment", Value='{"name": "main"}', Type="String", Overwrite=True
    )
    done = deploy()
    assert done.code == 3
    assert "was installed by another version of Multinode (its parameter lacks region, api_url," in done.err
