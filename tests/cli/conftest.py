"""Commands as a user types them, in this process; and a control plane for them to talk to."""

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.backends.aws.account import Account
from multinode_cli.client import api
from multinode_cli.main import run
from tests.support.aws.emulators import moto_environment
from tests.support.cli.account import ACCOUNT_ID, REGION, EcrOfFakeDocker, TestAccount
from tests.support.cli.docker import FakeDocker
from tests.support.cli.terraform import FakeTerraform
from tests.support.control_plane import KEY, FakeControlPlane
from tests.support.faulty_server import serving


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


class Keyboard(io.TextIOWrapper):
    """An input that says of itself that it is a terminal."""

    def isatty(self) -> bool:
        return True


Multinode = Callable[..., Outcome]


@pytest.fixture
def config_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the profile, empty, and nothing of Multinode in the environment."""
    for name in ("MULTINODE_API_URL", "MULTINODE_API_KEY", "XDG_CONFIG_HOME", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "config"
    monkeypatch.setenv("MULTINODE_CONFIG_DIR", str(folder))
    return folder


@pytest.fixture
def multinode(config_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Multinode:
    """Run one command line: ``multinode("get", id, stdin="…")``; with `terminal`, somebody types that."""

    monkeypatch.setattr(api, "LOOPBACK_RETRY_FOR_S", 0.3)

    def call(*arguments: str, stdin: str = "", terminal: bool = False) -> Outcome:
        keys = io.BytesIO(stdin.encode())
        monkeypatch.setattr("sys.stdin", Keyboard(keys) if terminal else io.TextIOWrapper(keys))
        capsys.readouterr()
        code = run(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def unconnected_plane() -> Iterator[FakeControlPlane]:
    """A control plane that nothing points to."""
    with serving(FakeControlPlane()) as plane:
        yield plane


@pytest.fixture
def plane(unconnected_plane: FakeControlPlane, config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> FakeControlPlane:
    """A control plane that the commands of `multinode` use."""
    monkeypatch.setenv("MULTINODE_API_URL", unconnected_plane.url)
    monkeypatch.setenv("MULTINODE_API_KEY", KEY)
    return unconnected_plane


# --- an AWS account in memory, with a docker and a terraform that do as they are told ---

MAIN = '''
from multinode import Multinode

mn = Multinode()


@mn.function()
def add(a, b):
    """Add."""
    return a + b
'''


@pytest.fixture
def account() -> Iterator[TestAccount]:
    """An empty AWS account, which every client of this process talks to."""
    with moto_environment():
        yield TestAccount()


@pytest.fixture
def aws_plane(plane: FakeControlPlane, account: TestAccount) -> FakeControlPlane:
    """The control plane of the deployment ``main``, which is installed in the account."""
    plane.deployment |= {"backend": "ecs", "deployment_name": "main", "region": REGION, "account_id": ACCOUNT_ID}
    account.install("main", plane.url)
    return plane


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """The only docker on the PATH."""
    fake = FakeDocker(tmp_path / "docker")
    monkeypatch.setenv("PATH", f"{fake.folder}{os.pathsep}{os.environ['PATH']}")
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return fake


@pytest.fixture
def ecr(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> EcrOfFakeDocker:
    """The image repositories of the account hold what was pushed by the fake docker."""
    fake, real = EcrOfFakeDocker(docker), Account.client

    def client(account: Account, service: str) -> Any:
        return fake if service == "ecr" else real(account, service)

    monkeypatch.setattr(Account, "client", client)
    return fake


@pytest.fixture
def terraform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTerraform:
    """The only terraform on the PATH."""
    fake = FakeTerraform(tmp_path / "terraform")
    monkeypatch.setenv("PATH", f"{fake.folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return fake


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The folder of a project with one function."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    return folder
