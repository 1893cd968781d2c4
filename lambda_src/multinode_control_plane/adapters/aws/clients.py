"""The one place that creates AWS clients: each when it is first used, all with the same time-outs.

botocore itself reads ``AWS_ENDPOINT_URL``, ``AWS_ENDPOINT_URL_<SERVICE>``, the region and the credentials; a test
checks that for every service. It is used without boto3, whose resource layer would only lengthen each cold start.
"""

import threading
from typing import TYPE_CHECKING, cast

import botocore.session
from botocore import exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_ssm import SSMClient

NO_ANSWER = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.IncompleteReadError,
    ResponseParserError,
)
"""What a client raises if it got no complete answer: whether the request was carried out is unknown."""

CONNECT_TIMEOUT_S = 1
DYNAMODB_READ_TIMEOUT_S = 3
READ_TIMEOUT_S = 7
TRIES = 3
"""All tries together take less than a handler's time-out: the API's Lambda has 29 seconds."""
POOL = 40
"""Connections that each client keeps open: some more than the reactor has threads."""


class Clients:
    """AWS clients by service. Safe to use from any thread."""

    def __init__(self, *, region: str | None = None) -> None:
        """`region`: None leaves it to the environment, as on Lambda."""
        self._session = botocore.session.get_session()
        self._region = region
        self._made: dict[tuple[str, int], BaseClient] = {}
        # Threads may share a client, but not a session that is creating one.
        self._making = threading.Lock()

    @property
    def dynamodb(self) -> "DynamoDBClient":
        """Sends each request once: the store repeats them itself, because only it knows which ones may be repeated."""
        return cast("DynamoDBClient", self._client("dynamodb", tries=1, read_timeout_s=DYNAMODB_READ_TIMEOUT_S))

    @property
    def ecs(self) -> "ECSClient":
        return cast("ECSClient", self._client("ecs"))

    @property
    def ecs_launches(self) -> "ECSClient":
        """Sends each request once: `ecs.py` paces and repeats launches, and keeps to the account's limits."""
        return cast("ECSClient", self._client("ecs", tries=1))

    @property
    def logs(self) -> "CloudWatchLogsClient":
        return cast("CloudWatchLogsClient", self._client("logs"))

    @property
    def events(self) -> "EventBridgeClient":
        return cast("EventBridgeClient", self._client("events"))

    @property
    def ecr(self) -> "ECRClient":
        return cast("ECRClient", self._client("ecr"))

    @property
    def ssm(self) -> "SSMClient":
        return cast("SSMClient", self._client("ssm"))

    def _client(self, service: str, *, tries: int = TRIES, read_timeout_s: int = READ_TIMEOUT_S) -> "BaseClient":
        key = (service, tries)
        made = self._made.get(key)
        if made is not None:
            return made
        with self._making:
            if key not in self._made:
                self._made[key] = self._session.create_client(
                    service,
                    region_name=self._region,
                    config=Config(
                        connect_timeout=CONNECT_TIMEOUT_S,
                        read_timeout=read_timeout_s,
                        retries={"total_max_attempts": tries, "mode": "standard"},
                        max_pool_connections=POOL,
                        tcp_keepalive=True,
                    ),
                )
            return self._made[key]
