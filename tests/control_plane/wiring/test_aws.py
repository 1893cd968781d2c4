"""The deployment from its environment: every variable is needed, and a wrong one is named."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from multinode_control_plane.adapters.aws.ecs import EcsSettings
from multinode_control_plane.wiring.aws import Settings
from multinode_control_plane.wiring.settings import SettingIsInvalid
from multinode_control_plane.wiring.start_up import at_start
from tests.support.aws.records import ENVIRONMENT


def test_the_settings_are_read_from_the_environment() -> None:
    assert Settings.read(ENVIRONMENT) == Settings(
        deployment="main",
        table="multinode-main",
        ecs=EcsSettings(
            cluster="arn:aws:ecs:eu-west-1:123456789012:cluster/multinode-main",
            subnets=("subnet-1", "subnet-2"),
            security_groups=("sg-1",),
            assign_public_ip=True,
            capacity_providers={"FARGATE": 1, "FARGATE_SPOT": 3},
        ),
        event_bus="default",
        log_group="/multinode/main/workers",
        api_key_parameter="/multinode/main/api_key",
        token_secret_parameter="/multinode/main/token_secret",
        api_url="https://api.example",
        repository_url="123456789012.dkr.ecr.eu-west-1.amazonaws.com/multinode-main",
        retention=timedelta(days=30),
    )


@pytest.mark.parametrize("name", ENVIRONMENT)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_variable_is_named(name: str, value: str | None) -> None:
    environ = {key: text for key, text in ENVIRONMENT.items() if key != name}
    with pytest.raises(SettingIsInvalid, match=f"^{name} is not set"):
        Settings.read(environ if value is None else {**environ, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MULTINODE_RETENTION_DAYS", "a month"),
        ("MULTINODE_RETENTION_DAYS", "-1"),
        ("MULTINODE_CAPACITY_PROVIDERS", "FARGATE"),
        ("MULTINODE_CAPACITY_PROVIDERS", "FARGATE=0"),
        ("MULTINODE_CAPACITY_PROVIDERS", "FARGATE=much"),
        ("MULTINODE_CAPACITY_PROVIDERS", "=1"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingIsInvalid, match=f"^{name}"):
        Settings.read({**ENVIRONMENT, name: value})


def test_zero_days_of_retention_keep_invocations_for_ever() -> None:
    assert Settings.read({**ENVIRONMENT, "MULTINODE_RETENTION_DAYS": "0"}).retention is None


def test_no_public_address_is_given_unless_enabled() -> None:
    settings = Settings.read({**ENVIRONMENT, "MULTINODE_ASSIGN_PUBLIC_IP": "DISABLED"})
    assert settings.ecs.assign_public_ip is False


def test_what_is_built_at_the_start_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    built: list[int] = []

    def build() -> int:
        built.append(1)
        return len(built)

    made = at_start(build)
    assert built == []
    assert (made(), made(), built) == (1, 1, [1])


def test_on_lambda_it_is_built_before_the_first_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "multinode-main-changes")
    built: list[int] = []
    at_start(lambda: built.append(1))
    assert built == [1]


@pytest.mark.slow
@pytest.mark.parametrize("handler", ["changes", "task_events", "sweep"])
def test_a_lambda_without_its_settings_says_so_as_it_starts(handler: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MULTINODE_")}
    started = subprocess.run(
        [sys.executable, "-c", f"import multinode_control_plane.handlers.{handler}"],
        env={**environ, "AWS_LAMBDA_FUNCTION_NAME": "f", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 1
    assert "MULTINODE_RETENTION_DAYS is not set: apply the deployment's Terraform again" in started.stderr
