"""Credentials of the image repository, and the moment for which a Lambda holds a waiting request."""

import base64

import pytest
from botocore.stub import Stubber

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.ecr import EcrCredentials
from multinode_control_plane.adapters.aws.waiter import PollingWaiter


def test_the_credentials_are_those_of_the_one_repository(clients: Clients) -> None:
    endpoint = "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    token = base64.b64encode(b"AWS:pass:word").decode()
    credentials = EcrCredentials(clients, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/multinode-main")
    with Stubber(clients.ecr) as stub:
        data = {"authorizationToken": token, "proxyEndpoint": endpoint}
        stub.add_response("get_authorization_token", {"authorizationData": [data]})
        assert credentials() == {
            "repository_name": "multinode-main",
            "username": "AWS",
            "password": "pass:word",
            "endpoint_url": endpoint,
        }


class Time:
    def __init__(self) -> None:
        self.now = 50.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(round(seconds, 6))
        self.now += seconds


@pytest.mark.parametrize(
    ("timeout_s", "pauses"),
    [
        (0.0, []),
        # 0.15, 0.3, 0.4 s: 0.85 s; what is left of the second.
        (20.0, [0.15, 0.3, 0.4, 0.15]),
        (0.2, [0.15, 0.05]),
    ],
)
def test_a_request_is_held_for_a_second_at_most(timeout_s: float, pauses: list[float]) -> None:
    time, asked = Time(), []
    waiter = PollingWaiter(sleep=time.sleep, monotonic=lambda: time.now)
    waiter.wait("inv-1", lambda: bool(asked.append(time.now)), timeout_s)
    assert time.pauses == pauses
    assert len(asked) == len(pauses) + 1


def test_a_change_ends_the_wait_at_once() -> None:
    time = Time()
    waiter = PollingWaiter(sleep=time.sleep, monotonic=lambda: time.now)
    waiter.wait("inv-1", lambda: len(time.pauses) == 2, 20)
    assert time.pauses == [0.15, 0.3]
