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


@pytest.mark.parametrize(("timeout_s", "pauses"), [(0.0, []), (0.2, [0.2]), (20.0, [1.0])])
def test_a_request_is_held_for_a_second_at_most(timeout_s: float, pauses: list[float]) -> None:
    slept: list[float] = []
    asked: list[str] = []

    def changed() -> bool:
        asked.append("changed?")
        return False

    PollingWaiter(sleep=slept.append).wait("inv-1", changed, timeout_s)
    assert (slept, len(asked)) == (pauses, 1)


def test_what_has_changed_already_is_answered_at_once() -> None:
    slept: list[float] = []
    PollingWaiter(sleep=slept.append).wait("inv-1", lambda: True, 20)
    assert slept == []
