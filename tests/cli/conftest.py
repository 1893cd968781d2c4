"""Commands as a user types them, in this process; and a control plane for them to talk to."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from multinode_cli.client import api
from multinode_cli.main import run
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
