"""What the API handler is given: the ports it may use, and what it says about the deployment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from multinode_control_plane.ports import Keychain, Logs, Waiter
from multinode_control_plane.services.context import Context
from multinode_protocol.limits import MAX_WAIT_S
from multinode_protocol.messages import DeploymentInfo

API_VERSION = 1
"""The version of the REST API, which `GET /deployment` returns."""


@dataclass(frozen=True, slots=True)
class ApiPorts:
    """`repository_credentials` is None if the backend has no container repository.

    `longest_log_wait_s`: how long a request may wait for log lines, checking once a second; 0 if a check costs money.
    """

    context: Context
    keychain: Keychain
    logs: Logs
    waiter: Waiter
    deployment: DeploymentInfo
    repository_credentials: Callable[[], Mapping[str, str]] | None = None
    longest_log_wait_s: float = MAX_WAIT_S
