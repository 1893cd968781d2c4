"""One copy of the modules for all tests of this folder, and one mocked apply of it."""

import pytest

from tests.terraform.mirror import Planned, Terraform, initialised_copy, planned


@pytest.fixture(scope="session")
def module(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    return initialised_copy(tmp_path_factory.mktemp("module"))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """What the module makes with its defaults."""
    return planned(initialised_copy(tmp_path_factory.mktemp("made")))
