"""The Dockerfile: what it says for which project, and that nothing of the user's gets into a shell line unchecked."""

import re
import stat
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from multinode_cli.backends.aws.account import MAX_NAME_CHARS, NAME_PATTERN
from multinode_cli.backends.aws.dockerfile import ImageSpec, default_base_image, read_image_spec, render, write_context
from multinode_cli.backends.aws.task_definition import task_definition
from multinode_cli.errors import UsageFailure
from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.wiring import aws
from multinode_protocol.ecs_task import CONTAINER_NAME
from tests.support.cli.account import deployment_values

ROOT = Path(__file__).parents[4]


def instructions(text: str) -> list[str]:
    """Return the first words of the Dockerfile's instructions, with what `COPY` copies."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if re.match(r"[A-Z]+ ", line)]
    return [" ".join(line.split()[: 2 if line.startswith(("COPY", "FROM", "USER")) else 1]) for line in lines]


def test_without_anything_special_the_code_comes_last_and_the_user_is_not_root() -> None:
    text = render(ImageSpec("python:3.11-slim"))
    assert instructions(text) == [
        *("FROM python:3.11-slim", "USER root", "RUN", "ENV", "RUN", "COPY runtime/", "COPY fallback/", "RUN"),
        *("ENV", "LABEL", "WORKDIR", "COPY code/", "USER 10001:10001", "ENTRYPOINT"),
    ]
    assert f'LABEL dev.multinode.version="{version("multinode")}"' in text


def test_requirements_are_a_layer_before_the_code() -> None:
    found = instructions(render(ImageSpec("base", has_requirements=True)))
    assert found.index("COPY requirements/") < found.index("COPY runtime/") < found.index("COPY code/")


def test_packages_and_fragment_come_before_python_s_environment() -> None:
    text = render(ImageSpec("base", ("libgl1", "ffmpeg"), "RUN make model\nUSER nobody"))
    assert "apt-get install --yes --no-install-recommends libgl1 ffmpeg \\\n" in text
    order = [text.index(part) for part in ("libgl1", "RUN make model", "USER nobody", '"-m", "venv"', "COPY code/")]
    assert order == sorted(order)
    # Whatever user the fragment ends with, what follows is root's.
    assert text.index("USER root", text.index("USER nobody")) < text.index('"-m", "venv"')


def test_a_fragment_is_text_and_no_template() -> None:
    assert "RUN echo {{ base_image }} {% raw %}" in render(ImageSpec("base", (), "RUN echo {{ base_image }} {% raw %}"))


def test_the_base_image_is_that_of_the_python_that_runs_the_command() -> None:
    assert default_base_image() == f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


@pytest.mark.parametrize(
    "name",
    ["python:3.12", "registry.example:5000/team/base@sha256:" + "a" * 64, "public.ecr.aws/docker/library/python"],
)
def test_names_of_images_are_taken(tmp_path: Path, name: str) -> None:
    assert read_image_spec(tmp_path, base_image=name, has_requirements=False).base_image == name


def test_packages_are_read_whatever_the_line_endings_each_once(tmp_path: Path) -> None:
    (tmp_path / "packages.txt").write_bytes(b"\xef\xbb\xbflibgl1\r\n# a comment\r\n\r\ng++  # compiler\r\nlibgl1\r\n")
    assert read_image_spec(tmp_path, base_image=None, has_requirements=False).apt_packages == ("libgl1", "g++")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile.fragment").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageFailure, match=r"Dockerfile\.fragment is not UTF-8 text"):
        read_image_spec(tmp_path, base_image=None, has_requirements=False)


def test_the_context_holds_the_runtime_of_this_command_with_its_version(tmp_path: Path) -> None:
    code, context = tmp_path / "code", tmp_path / "context"
    for folder in (code, context):
        folder.mkdir()
    (code / "main.py").write_text("")
    write_context(context, ImageSpec("base"), code, None)
    files = {path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file()}
    assert {
        "Dockerfile",
        "code/main.py",
        "runtime/multinode/worker/__main__.py",
        "fallback/cloudpickle/__init__.py",
    } <= files
    assert f"runtime/multinode-{version('multinode')}.dist-info/METADATA" in files
    assert {stat.S_IMODE(path.stat().st_mode) for path in context.rglob("*")} == {0o755, 0o644}


# --- agreement with what others know ---


def test_the_container_has_the_name_under_which_launches_and_events_know_it() -> None:
    definition = task_definition(
        deployment_values("main", "https://api.example"),
        project_name="sums",
        image="image@sha256:0",
        architecture="amd64",
        secrets={},
    )
    assert [container["name"] for container in definition["containerDefinitions"]] == [CONTAINER_NAME]


def test_the_names_of_deployments_are_those_that_terraform_takes() -> None:
    text = (ROOT / "terraform" / "variables.tf").read_text()
    assert f'regex("^{NAME_PATTERN}$", var.name)' in text
    assert f"length(var.name) <= {MAX_NAME_CHARS}" in text


def test_the_control_plane_tells_the_cli_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    values = deployment_values("main", "https://api.example")
    monkeypatch.setattr(aws, "deployment", lambda: aws.AwsDeployment(settings(values["cluster"]), Clients()))
    info = aws.api_ports().deployment
    assert (info["backend"], info["deployment_name"]) == ("ecs", "main")
    assert (info["region"], info["account_id"]) == ("eu-west-1", "123456789012")


def settings(cluster: str) -> aws.Settings:
    variables = {
        "DEPLOYMENT": "main",
        "TABLE": "multinode-main",
        "CLUSTER": cluster,
        "SUBNETS": "subnet-1",
        "SECURITY_GROUPS": "sg-1",
        "ASSIGN_PUBLIC_IP": "ENABLED",
        "CAPACITY_PROVIDERS": "FARGATE=1",
        "EVENT_BUS": "default",
        "LOG_GROUP": "/multinode/main/workers",
        "API_KEY_PARAMETER": "/multinode/main/api_key",
        "TOKEN_SECRET_PARAMETER": "/multinode/main/token_secret",
        "API_URL": "https://api.example",
        "RETENTION_DAYS": "30",
        "REPOSITORY_URL": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/multinode-main",
    }
    return aws.Settings.read({f"MULTINODE_{name}": value for name, value in variables.items()})
