"""What the whole suite shares: `@pytest.mark.requires(...)`, and an environment without the developer's own Multinode.

A test names what it needs beyond Python, as in ``@pytest.mark.requires("docker", "terraform")``; the marker `network`
stands for ``requires("registry")``. What is missing skips the test and says how to get it. MULTINODE_TESTS_REQUIRE
turns that into a failure: a list of names (``docker,java``), or ``all``: then nothing may be skipped but what no
installation could change (`linux`, `control_groups`, `unprivileged`), a plain `pytest.skip` included.
"""

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zoneinfo
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from multinode_protocol.schedules import zone_of

# A busy machine is slow; that is no fault of what is tested. `make check` takes the brief one.
unhurried = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("unhurried", unhurried)
hypothesis.settings.register_profile("brief", unhurried, max_examples=15)
hypothesis.settings.load_profile("unhurried")

pytest.register_assert_rewrite("tests.support.cli.journey")

REQUIRE = "MULTINODE_TESTS_REQUIRE"
OF_MULTINODE, OF_THE_TESTS = "MULTINODE_", "MULTINODE_TESTS_"


def on_path(program: str) -> Callable[[], bool]:
    return lambda: shutil.which(program) is not None


def succeeds(*command: str) -> Callable[[], bool]:
    def probe() -> bool:
        try:
            return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    return probe


def registry_answers() -> bool:
    """Return whether pip can fetch a small package: the only way to ask that names no host."""
    with tempfile.TemporaryDirectory() as folder:
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
        return succeeds(*pip, "download", "--quiet", "--no-deps", "--retries", "1", "--dest", folder, "cloudpickle")()


@functools.cache
def python_of_the_first_generation() -> str | None:
    """Return a Python on which `multinode` 1.0.1 is published to run, from the PATH or from pyenv; None without one."""
    pyenv = shutil.which("pyenv")
    asked = pyenv and subprocess.run([pyenv, "root"], capture_output=True, text=True, timeout=60, check=False)
    root = Path(asked.stdout.strip() if asked else os.devnull)
    names = ("python3.10", "python3.9", "python3.8", "python3.11")
    found = [path for name in names for path in (shutil.which(name), *map(str, root.glob(f"versions/*/bin/{name}")))]
    # pyenv puts a program on the PATH for each version that it knows, which may refuse to run.
    return next((path for path in found if path and succeeds(path, "-c", "import ensurepip, venv")()), None)


@dataclass(frozen=True)
class Requirement:
    """`present` is asked once per run; `otherwise` says what is missing and how to get it."""

    present: Callable[[], bool]
    otherwise: str
    obtainable: bool = True
    """False: a property of the machine or the user, which no installation changes."""


REQUIREMENTS = {
    "docker": Requirement(succeeds("docker", "info"), "no Docker Engine answers: start one (`docker info` must work)"),
    "docker-registry": Requirement(
        on_path("docker-registry"),
        "docker-registry is not on the PATH: on Debian and Ubuntu, apt install docker-registry",
    ),
    "debootstrap": Requirement(
        on_path("debootstrap"), "debootstrap is not on the PATH: on Debian and Ubuntu, apt install debootstrap"
    ),
    "terraform": Requirement(on_path("terraform"), "terraform is not on the PATH: install Terraform 1.11 or later"),
    "curl": Requirement(on_path("curl"), "curl is not on the PATH: on Debian and Ubuntu, apt install curl"),
    "java": Requirement(on_path("java"), "java is not on the PATH: install a Java runtime, 17 or later"),
    "registry": Requirement(registry_answers, "pip cannot fetch packages: check the network and pip's configuration"),
    "first_generation_python": Requirement(
        lambda: python_of_the_first_generation() is not None,
        "no Python 3.8 to 3.11 with the module venv is on the PATH or in pyenv: pyenv install 3.10",
    ),
    "linux": Requirement(lambda: sys.platform == "linux", "this system is not Linux", obtainable=False),
    "control_groups": Requirement(
        lambda: os.access("/sys/fs/cgroup/memory", os.W_OK),
        "this user may make no control groups of version 1 for memory",
        obtainable=False,
    ),
    "unprivileged": Requirement(lambda: os.geteuid() != 0, "root ignores file modes", obtainable=False),
}

MAY_BE_SKIPPED = pytest.StashKey[bool]()


@functools.cache
def is_present(name: str) -> bool:
    return REQUIREMENTS[name].present()


def required() -> frozenset[str]:
    return frozenset(name for name in os.environ.get(REQUIRE, "").split(",") if name)


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell has it ignored by what it starts in the background, `nohup` a closed terminal; and what is ignored
        # stays so for every program that a test starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    names = ", ".join(REQUIREMENTS)
    config.addinivalue_line("markers", f"requires(*names): what the test needs beyond Python; one or more of {names}")
    if unknown := required() - REQUIREMENTS.keys() - {"all"}:
        raise pytest.UsageError(f"{REQUIRE} names {', '.join(sorted(unknown))}; known are all, {names}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files first that say how long they take, the longest before all: run last, it would run alone."""
    takes_s: dict[Path, float] = {}
    for item in items:
        said = [float(marker.kwargs.get("about_s", 0)) for marker in item.iter_markers("slow")]
        takes_s[item.path] = max([takes_s.get(item.path, 0.0), *said])
    items.sort(key=lambda item: -takes_s[item.path])


def pytest_runtest_setup(item: pytest.Item) -> None:
    names = [name for marker in item.iter_markers("requires") for name in marker.args]
    if item.get_closest_marker("network"):
        names.append("registry")
    for name in names:
        if is_present(name):
            continue
        requirement = REQUIREMENTS[name]
        if requirement.obtainable and required() & {name, "all"}:
            pytest.fail(f"{requirement.otherwise} ({REQUIRE} asks for it)", pytrace=False)
        item.stash[MAY_BE_SKIPPED] = not requirement.obtainable
        pytest.skip(requirement.otherwise)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    expected = hasattr(report, "wasxfail") or item.stash.get(MAY_BE_SKIPPED, False)
    if report.skipped and not expected:
        fail_instead(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        fail_instead(report)
    return report


def fail_instead(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where all is required."""
    if "all" in required():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}: but {REQUIRE}=all lets nothing be skipped; name what is missing by `requires`"


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point Multinode at empty folders: no test may read or change the developer's profile or local deployment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(OF_MULTINODE) and not name.startswith(OF_THE_TESTS):
                patch.delenv(name)
        home = tmp_path_factory.mktemp("multinode")
        patch.setenv("MULTINODE_CONFIG_DIR", str(home / "config"))
        patch.setenv("MULTINODE_DATA_DIR", str(home / "data"))
        yield


@pytest.fixture(scope="session")
def first_generation_python() -> str:
    """The interpreter that ``requires("first_generation_python")`` asks for."""
    path = python_of_the_first_generation()
    assert path is not None
    return path


@pytest.fixture
def no_time_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which Python finds no time zone data."""

    def missing(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)
    zone_of.cache_clear()
    yield
    zone_of.cache_clear()
