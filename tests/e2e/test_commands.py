"""The tests of the commands that the local control plane passes, against AWS."""

import pytest

from tests.e2e.world import World
from tests.support.cli.journey import *  # noqa: F403 - the tests that every control plane passes
from tests.support.cli.journey import ENV_FILE, MAIN, User

pytestmark = [pytest.mark.e2e, pytest.mark.requires("docker", "linux", "terraform"), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def user(world: World) -> User:
    """A user who is logged in from AWS, and whose deployment has the project ``zoo``."""
    folder = world.folder / "zoo"
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    (folder / ".env").write_text(ENV_FILE)
    world.deploy(folder, "zoo")
    return User(world.folder, world.environment, world.board)
