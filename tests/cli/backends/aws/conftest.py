"""Commands against an AWS account in memory, with a docker that does as it is told."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.backends.aws.account import Account
from tests.support.aws.emulators import moto_environment
from tests.support.cli.account import ACCOUNT_ID, REGION, EcrOfFakeDocker, TestAccount
from tests.support.cli.docker import FakeDocker
from tests.support.cli.terraform import FakeTerraform
from tests.support.control_plane import FakeControlPlane

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
