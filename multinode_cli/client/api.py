"""The control plane's routes, typed for the commands; a failure is one line and an exit code."""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from multinode.config import ENVIRONMENT, Connection, connection
from multinode.errors import (
    ApiError,
    ApiKeyIsInvalid,
    ControlPlaneNotConfiguredError,
    ControlPlaneUnreachableError,
)
from multinode.transport import Transport, path
from multinode_cli.errors import ControlPlaneFailure, UsageFailure
from multinode_protocol import env_vars, messages
from multinode_protocol.error_codes import is_temporary

RETRY_FOR_S = 5.0
"""Long enough for a brief network failure; whoever waits at a terminal wants to hear of a longer one."""
LOOPBACK_RETRY_FOR_S = 1.5
"""No network is involved that could fail."""
LOGIN = "login"
"""The `source` of a connection that is being tried before it is saved."""


class ControlPlaneAway(ControlPlaneFailure):
    """No answer, or a fault on the other side: another try may succeed."""


def connect() -> "Api":
    """Return the control plane that the environment or the profile names. Raises ControlPlaneFailure."""
    try:
        return Api(connection())
    except ControlPlaneNotConfiguredError as error:
        raise ControlPlaneFailure(str(error)) from error


def failure_of(error: ApiError) -> UsageFailure | ControlPlaneFailure:
    """Return how a command fails on a refusal that it does not explain better itself."""
    if is_temporary(error.status):
        request = f" (request {error.request_id})" if error.request_id else ""
        return ControlPlaneAway(f"{error.detail}{request}")
    return UsageFailure(f"{error.detail}. {error.hint}" if error.hint else error.detail)


class Api:
    """Every method raises ControlPlaneAway and ControlPlaneFailure, and the ApiErrors of its route that a caller can
    explain better than the control plane: of status 400, 404, 409, 413 and 422."""

    def __init__(self, connection: Connection, *, retry_for_s: float | None = None) -> None:
        """`retry_for_s`: how long a request is retried; by default what suits somebody who waits at a terminal."""
        self.connection = connection
        if retry_for_s is None:
            retry_for_s = LOOPBACK_RETRY_FOR_S if is_loopback(connection.api_url) else RETRY_FOR_S
        self._transport = Transport(connection, retry_for_s=retry_for_s)

    def deployment(self) -> messages.DeploymentInfo:
        return cast("messages.DeploymentInfo", self._send("GET", "/deployment"))

    def projects(self) -> list[messages.ProjectInfo]:
        return cast("messages.ProjectsList", self._send("GET", "/projects"))["projects"]

    def project(self, project_name: str) -> messages.ProjectInfo:
        return cast("messages.ProjectInfo", self._send("GET", path("projects", project_name)))

    def create_project(self, project_name: str) -> messages.ProjectInfo:
        return cast("messages.ProjectInfo", self._send("PUT", path("projects", project_name)))

    def delete_project(self, project_name: str) -> messages.ProjectInfo:
        return cast("messages.ProjectInfo", self._send("DELETE", path("projects", project_name)))

    def versions(self, project_name: str) -> list[messages.VersionListing]:
        """Return a project's versions, newest first."""
        answer = self._send("GET", path("projects", project_name, "versions"))
        return cast("messages.VersionsList", answer)["versions"]

    def version(self, project_name: str, version_id: str) -> messages.VersionInfo:
        """Return one version; `version_id` may be ``latest``."""
        return cast("messages.VersionInfo", self._send("GET", path("projects", project_name, "versions", version_id)))

    def create_version(self, project_name: str, definition: messages.VersionDefinition) -> messages.VersionInfo:
        answer = self._send("POST", path("projects", project_name, "versions"), body=definition)
        return cast("messages.VersionInfo", answer)

    def start(
        self, project_name: str, version_id: str, function_name: str, definition: messages.InvocationDefinition
    ) -> messages.InvocationInfo:
        """Create an invocation; idempotent for the same id."""
        route = path("projects", project_name, "versions", version_id, "functions", function_name, "invocations")
        return cast("messages.InvocationInfo", self._send("POST", route, body=definition))

    def invocations(
        self,
        project_name: str,
        version_id: str,
        function_name: str,
        *,
        status: str | None = None,
        limit: int = 50,
        offset: str | None = None,
    ) -> messages.InvocationsList:
        """Return one page of a function's invocations, newest first."""
        query: dict[str, str | int] = {"max_results": limit}
        if status:
            query["status"] = status
        if offset:
            query["initial_offset"] = offset
        route = path("projects", project_name, "versions", version_id, "functions", function_name, "invocations")
        return cast("messages.InvocationsList", self._send("GET", route, query=query))

    def invocation(
        self, invocation_id: str, *, wait_s: float = 0, since: str | None = None, until_finished: bool = False
    ) -> messages.InvocationInfo:
        """Return an invocation; with `wait_s`, once it differs from revision `since`, is final, or the time is over."""
        query: dict[str, str | int] = {}
        if since:
            query["since"] = since
        if until_finished:
            query["until"] = "finished"
        answer = self._send("GET", path("invocations", invocation_id), query=query, wait_s=wait_s)
        return cast("messages.InvocationInfo", answer)

    def cancel(self, invocation_id: str) -> messages.InvocationInfo:
        return cast("messages.InvocationInfo", self._send("PUT", path("invocations", invocation_id, "cancel")))

    def logs(
        self,
        invocation_id: str,
        *,
        offset: str | None = None,
        tail: int | None = None,
        since_ms: int | None = None,
        execution_id: str | None = None,
        wait_s: float = 0,
    ) -> messages.InvocationLogs:
        """Return one page of log lines, oldest first."""
        given = {"offset": offset, "tail": tail, "since_ms": since_ms, "execution_id": execution_id}
        query = {name: value for name, value in given.items() if value is not None}
        answer = self._send("GET", path("invocations", invocation_id, "logs"), query=query, wait_s=wait_s)
        return cast("messages.InvocationLogs", answer)

    def _send(
        self,
        method: str,
        route: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        wait_s: float = 0,
    ) -> dict[str, Any]:
        try:
            return self._transport.request(method, route, query=query, body=body, wait_s=wait_s)
        except ControlPlaneUnreachableError as error:
            raise ControlPlaneAway(self._away(error)) from error
        except ApiKeyIsInvalid as error:
            raise ControlPlaneFailure(self._key_refused()) from error
        except ApiError as error:
            if is_temporary(error.status):
                raise failure_of(error) from error
            raise

    def _away(self, error: ControlPlaneUnreachableError) -> str:
        url, source = self.connection.api_url, self.connection.source
        why = _reason(error.__cause__)
        if why is None:
            return str(error)
        origin = env_vars.API_URL if source == ENVIRONMENT else source
        whence = "" if source == LOGIN else f" (from {origin})"
        advice = ""
        if is_loopback(url):
            advice = ". If it is the local control plane of this machine, start it: multinode local start"
        return f"the control plane at {url}{whence} cannot be reached: {why}{advice}"

    def _key_refused(self) -> str:
        url = self.connection.api_url
        if self.connection.source == LOGIN:
            return f"the control plane at {url} refuses this key; nothing was saved"
        if self.connection.source == ENVIRONMENT:
            return f"the control plane at {url} refuses the key in MULTINODE_API_KEY; set the key of this deployment"
        return (
            f"the control plane at {url} refuses the key in {self.connection.source}: it was revoked, or another "
            "deployment answers there now. Log in again with `multinode login`"
        )


def _reason(error: BaseException | None) -> str | None:
    """Return in a few words why there was no answer; None where the SDK's own message is better."""
    from urllib3 import exceptions

    match error:
        case exceptions.NameResolutionError():
            return "unknown host name"
        case exceptions.NewConnectionError():
            return str(error).rpartition("] ")[2].lower()
        case exceptions.TimeoutError():
            return "it did not answer in time"
        case exceptions.ProtocolError():
            return "it closed the connection"
    return None


def is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in {"127.0.0.1", "localhost", "::1"}
