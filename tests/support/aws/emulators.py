"""Where tests find AWS: moto in this process, or DynamoDB Local as one of its own."""

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import botocore.loaders
import botocore.session
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from multinode_control_plane.adapters.aws import clients
from tests.support.aws.dynamodb_local import shared_dynamodb_local

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    # Moto knows the plain host names only.
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
}


# Reading AWS's service models is nearly all of the time that a client takes to make: once is enough for a test run.
shared_loader = functools.cache(botocore.loaders.create_loader)


# AWS answers in milliseconds; DynamoDB Local, freshly started on a busy machine, may take seconds.
PATIENCE = {"CONNECT_TIMEOUT_S": 20, "DYNAMODB_READ_TIMEOUT_S": 60, "READ_TIMEOUT_S": 60}


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set the AWS variables, and hide all others of the developer's; wait longer for an endpoint that they name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    patience = PATIENCE if any(name.startswith("AWS_ENDPOINT_URL") for name in variables) else {}
    environ = patch.dict(os.environ, {**kept, **CREDENTIALS, **variables}, clear=True)
    with environ, patch("botocore.session.create_loader", shared_loader), patch.dict(vars(clients), patience):
        yield


@contextmanager
def moto_environment(**variables: str) -> Iterator[None]:
    """Answer every AWS client of this process by moto, one request at a time: its tables are no place for races.

    With an AWS_ENDPOINT_URL_<SERVICE> among `variables`, that service is where it says.
    """
    turn = threading.RLock()
    answer = BotocoreStubber.__call__

    def one_at_a_time(stubber: BotocoreStubber, *arguments: Any, **options: Any) -> Any:
        with turn:
            return answer(stubber, *arguments, **options)

    with _environment(**variables), mock_aws(), patch.object(BotocoreStubber, "__call__", one_at_a_time):
        yield


@contextmanager
def dynamodb_local_environment() -> Iterator[None]:
    """Point the DynamoDB clients of this process at DynamoDB Local, through the variables that AWS defines for it."""
    url = shared_dynamodb_local()
    with _environment(AWS_ENDPOINT_URL_DYNAMODB=url, AWS_ENDPOINT_URL_DYNAMODB_STREAMS=url):
        yield


def streams_client() -> Any:
    """Return a DynamoDB Streams client: the adapters need none, since Lambda reads the stream for them."""
    return botocore.session.get_session().create_client("dynamodbstreams")
