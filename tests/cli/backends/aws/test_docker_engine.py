"""The image with a real engine and a real registry: what is in it, what is not, and what stays the same."""

import hashlib
import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.backends.aws.docker import Docker, Image, Registry
from multinode_cli.backends.aws.dockerfile import read_image_spec, write_context
from multinode_cli.console.terminal import Style, Terminal
from multinode_cli.errors import CliFailure, ControlPlaneFailure, UsageFailure
from multinode_cli.project.bundle import collect, store
from multinode_cli.project.env_file import read_env_file
from multinode_cli.project.requirements import read_requirements
from tests.e2e import registry as real_registry
from tests.e2e.base_image import debian_image
from tests.e2e.engine import Engine

pytestmark = [pytest.mark.slow(about_s=60), pytest.mark.requires("docker", "debootstrap"), pytest.mark.timeout(900)]

NAME = "multinode-test/project:latest"
SECRET = "k9-only-in-dot-env-and-in-the-running-container"
MAIN = '''
import os

import demo
from multinode import Multinode

mn = Multinode()
assert os.environ["TOKEN"], "importing it needs the value of .env"


@mn.function(cpu=0.5, memory="1 GiB")
def answer():
    """What demo says."""
    return demo.VALUE
'''
FRAGMENT = """
RUN echo prepared > /prepared.txt
ENV PREPARED=yes
"""


@pytest.fixture(scope="module")
def base_image() -> str:
    return debian_image(Engine())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a package of its own folder, a Dockerfile.fragment, a secret, and what stays behind."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "main.py").write_text(MAIN)
    (folder / ".env").write_text(f"TOKEN={SECRET}\n")
    (folder / "sub").mkdir()
    (folder / "sub" / ".env").write_text(f"TOKEN={SECRET}\n")
    (folder / "Dockerfile.fragment").write_text(FRAGMENT)
    (folder / "requirements.txt").write_text("./demo-1.0-py3-none-any.whl\n")
    with zipfile.ZipFile(folder / "demo-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("demo.py", "VALUE = 42\n")
        wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("demo-1.0.dist-info/RECORD", "demo.py,,\n")
    return folder


def silent() -> Terminal:
    return Terminal(io.StringIO(), io.StringIO(), Style(), Style(), animated=False)


def build(project: Path, base_image: str, scratch: Path) -> Image:
    """Build the image as `deploy` does."""
    bundle = store(collect(project), scratch / "bundles")
    requirements = read_requirements(bundle.code_dir)
    spec = read_image_spec(bundle.code_dir, base_image=base_image, has_requirements=requirements is not None)
    context = scratch / "context"
    context.mkdir()
    write_context(context, spec, bundle.code_dir, requirements)
    return Docker.found(silent()).build(context)


@pytest.fixture(scope="module")
def image(project: Path, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    image = build(project, base_image, tmp_path_factory.mktemp("build"))
    docker("tag", image.image_id, NAME)
    yield image
    docker("image", "rm", NAME)


def docker(*arguments: str) -> bytes:
    """Return what ``docker arguments`` printed."""
    return subprocess.run(["docker", *arguments], capture_output=True, check=True, timeout=120).stdout


def run(image: Image, *command: str, entry_point: str) -> str:
    said = docker("run", "--rm", "--network", "none", "--entrypoint", entry_point, image.image_id, *command)
    return said.decode().strip()


def layers(image: Image) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file of every layer, and of the image's own records."""
    with tarfile.open(fileobj=io.BytesIO(docker("save", image.image_id))) as archive:
        for name, content in files_of(archive):
            if not name.endswith("layer.tar") and "blobs/" not in name:
                yield name, content
                continue
            try:
                with tarfile.open(fileobj=io.BytesIO(content)) as layer:
                    yield from files_of(layer)
            except tarfile.ReadError:
                yield name, content


def files_of(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive.getmembers():
        file = archive.extractfile(member) if member.isfile() else None
        yield member.name, b"" if file is None else file.read()


def test_functions_are_found_in_the_image_with_env_values_and_a_known_version(image: Image, project: Path) -> None:
    findings = Docker.found(silent()).discover(image, read_env_file(project))
    assert findings.report is not None, findings.printed
    assert findings.report.get("error") is None
    (function,) = findings.report["functions"]
    assert function["function_name"] == "answer"
    assert function["resource_spec"]["virtual_cpus"] == 0.5
    assert findings.report["multinode"] == version("multinode")


def test_no_container_of_the_discovery_is_left(image: Image, project: Path) -> None:
    Docker.found(silent()).discover(image, read_env_file(project))
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={image.image_id}") == b""


def test_nothing_of_env_is_in_any_layer(image: Image) -> None:
    names: list[str] = []
    leaks: list[str] = []
    for name, content in layers(image):
        names.append(name)
        if SECRET.encode() in content:
            leaks.append(name)
    assert leaks == []
    assert any(name.endswith("multinode/code/main.py") for name in names)
    assert [name for name in names if name.rpartition("/")[2] == ".env"] == []


def test_the_worker_is_no_root_and_can_change_neither_code_nor_environment(image: Image) -> None:
    assert run(image, "-u", entry_point="id") == "10001"
    script = "for path in /multinode/code/main.py /multinode/venv/bin/python /multinode/runtime/multinode; do "
    script += 'test -w "$path" && echo "$path"; done; touch /multinode/home/own /tmp/own && echo "$HOME"'
    assert run(image, "-c", script, entry_point="sh") == "/multinode/home"


def test_requirements_fragment_and_runtime_are_in_it(image: Image) -> None:
    program = "import demo, multinode, cloudpickle, os; print(demo.VALUE, multinode.__file__, os.environ['PREPARED'])"
    found = run(image, "-P", "-c", program, entry_point="/multinode/venv/bin/python")
    assert found == "42 /multinode/runtime/multinode/__init__.py yes"
    assert run(image, "/prepared.txt", entry_point="cat") == "prepared"


def test_the_entry_point_is_the_worker(image: Image) -> None:
    inspected = docker("image", "inspect", image.image_id)
    configuration = json.loads(inspected)[0]["Config"]
    assert configuration["Entrypoint"] == ["/multinode/venv/bin/python", "-P", "-m", "multinode.worker"]
    assert configuration["User"] == "10001:10001"
    assert configuration["Labels"]["dev.multinode.version"] == version("multinode")


def test_built_again_it_is_the_same_image(image: Image, project: Path, base_image: str, tmp_path: Path) -> None:
    assert build(project, base_image, tmp_path) == image


def test_changed_code_changes_the_last_layer_alone(
    image: Image, project: Path, base_image: str, tmp_path: Path
) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in project.iterdir():
        if path.is_file():
            (changed / path.name).write_bytes(path.read_bytes())
    (changed / "requirements.txt").write_text("# none of the folder's own files\n")
    first = build_in(changed, base_image, tmp_path / "one")
    (changed / "main.py").write_text(MAIN + "\n# changed\n")
    second = build_in(changed, base_image, tmp_path / "two")
    before, after = layer_digests(first), layer_digests(second)
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def build_in(project: Path, base_image: str, scratch: Path) -> Image:
    scratch.mkdir()
    return build(project, base_image, scratch)


def layer_digests(image: Image) -> list[str]:
    inspected = docker("image", "inspect", image.image_id)
    found: list[str] = json.loads(inspected)[0]["RootFS"]["Layers"]
    return found


@pytest.mark.parametrize(
    ("fragment", "kind", "said"),
    [
        ("RUN echo about to fail && exit 7", UsageFailure, "returned a non-zero code: 7"),
        ("RUN rm /usr/bin/python3*", UsageFailure, "The base image has no python3"),
        ("COPY nothing /nothing", UsageFailure, "could not be built"),
    ],
)
def test_an_instruction_that_fails_is_shown(
    base_image: str, tmp_path: Path, fragment: str, kind: type[CliFailure], said: str
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text("")
    (project / "Dockerfile.fragment").write_text(fragment)
    terminal = silent()
    bundle = store(collect(project), tmp_path / "bundles")
    context = tmp_path / "context"
    context.mkdir()
    spec = read_image_spec(bundle.code_dir, base_image=base_image, has_requirements=False)
    write_context(context, spec, bundle.code_dir, None)
    with pytest.raises(kind) as caught:
        Docker.found(terminal).build(context)
    assert isinstance(terminal.err, io.StringIO)
    assert said in terminal.err.getvalue() + caught.value.message


# --- the registry ---


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real_registry.Registry]:
    found = real_registry.Registry(tmp_path_factory.mktemp("registry") / "registry")
    try:
        yield found
    finally:
        found.process.stop()


@pytest.mark.requires("docker-registry")
def test_what_is_pushed_has_the_digest_that_the_registry_gives_it(
    image: Image, registry: real_registry.Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "docker"
    own.mkdir()
    (own / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(own))
    reference = f"{registry.host}/multinode-main:sums.1"
    login = Registry(registry.host, real_registry.USER, real_registry.PASSWORD)
    digest = Docker.found(silent()).push(image, reference, login)
    assert digest == registry.digest("multinode-main", "sums.1")
    manifest = manifest_of(registry, digest)
    assert f"sha256:{hashlib.sha256(manifest).hexdigest()}" == digest
    assert json.loads((own / "config.json").read_text()) == {}  # the password is in no configuration of the user's
    docker("image", "rm", reference)


def manifest_of(registry: real_registry.Registry, digest: str) -> bytes:
    """Return the manifest as the registry has it."""
    call: Any = registry._call
    _headers, body = call("GET", f"/v2/multinode-main/manifests/{digest}")
    return bytes(body)


@pytest.mark.requires("docker-registry")
def test_a_wrong_password_is_refused(image: Image, registry: real_registry.Registry) -> None:
    with pytest.raises(ControlPlaneFailure, match=f"the registry {registry.host} refused the login"):
        Docker.found(silent()).push(
            image, f"{registry.host}/multinode-main:x", Registry(registry.host, real_registry.USER, "wrong")
        )
