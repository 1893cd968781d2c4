"""The clients: one of each, with time-outs, and all of them at the endpoints that the standard variables name."""

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from multinode_control_plane.adapters.aws.clients import Clients

SERVICES = {
    "dynamodb": "DYNAMODB",
    "ecs": "ECS",
    "ecs_launches": "ECS",
    "logs": "CLOUDWATCH_LOGS",
    "events": "EVENTBRIDGE",
    "ssm": "SSM",
    "ecr": "ECR",
}


@pytest.mark.parametrize("name", SERVICES)
def test_one_variable_moves_every_client(moto: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert getattr(Clients(), name).meta.endpoint_url == "http://127.0.0.1:4566"


@pytest.mark.parametrize(("name", "service"), SERVICES.items())
def test_a_services_own_variable_moves_its_clients_before_all(
    moto: None, monkeypatch: pytest.MonkeyPatch, name: str, service: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", "http://127.0.0.1:8000")
    assert getattr(Clients(), name).meta.endpoint_url == "http://127.0.0.1:8000"


def test_without_the_variables_the_regions_own_endpoints_are_used(clients: Clients) -> None:
    assert clients.ecs.meta.endpoint_url == "https://ecs.eu-west-1.amazonaws.com"


def test_a_region_may_be_named(moto: None) -> None:
    assert Clients(region="us-east-2").ecs.meta.region_name == "us-east-2"


@pytest.mark.parametrize("name", SERVICES)
def test_no_client_waits_for_ever(clients: Clients, name: str) -> None:
    config: Any = getattr(clients, name).meta.config
    # The API's Lambda has 29 seconds; the store sends a request up to 5 times.
    tries = 5 if name == "dynamodb" else config.retries["total_max_attempts"]
    assert tries * (config.connect_timeout + config.read_timeout) < 29


@pytest.mark.parametrize(("name", "tries"), [("dynamodb", 1), ("ecs_launches", 1), ("ecs", 3), ("logs", 3)])
def test_requests_that_need_their_senders_judgement_are_sent_once(clients: Clients, name: str, tries: int) -> None:
    config: Any = getattr(clients, name).meta.config
    assert config.retries["total_max_attempts"] == tries


def test_each_client_is_made_once_whoever_asks(clients: Clients) -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(clients.ssm)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len({id(client) for client in found})) == (8, 1)


def test_no_two_kinds_of_ecs_client_are_mixed_up(clients: Clients) -> None:
    assert clients.ecs is not clients.ecs_launches


def test_a_refusal_is_raised_as_it_is(clients: Clients) -> None:
    with pytest.raises(ClientError, match="ParameterNotFound"):
        clients.ssm.get_parameter(Name="/nothing")
