"""The tests import this checkout's own sources, or the installed wheel where there are none (`make test-wheel`)."""

import importlib
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "multinode": ROOT / "runtime",
    "multinode_protocol": ROOT / "runtime",
    "multinode_control_plane": ROOT / "lambda_src",
    "multinode_cli": ROOT,
}


@pytest.mark.parametrize("package", SOURCES)
def test_a_package_comes_from_this_checkout_or_from_the_installed_wheel(package: str) -> None:
    in_checkout = SOURCES[package]
    installed = Path(sysconfig.get_path("purelib"))
    expected = in_checkout if (in_checkout / package).exists() else installed
    imported = importlib.import_module(package)
    assert [Path(folder) for folder in imported.__path__] == [expected / package]


def test_all_packages_come_from_the_same_side() -> None:
    assert len({(folder / package).exists() for package, folder in SOURCES.items()}) == 1
