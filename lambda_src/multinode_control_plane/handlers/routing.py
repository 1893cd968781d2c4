"""② Which endpoint a path and method mean, by the HTTP resolver of aws-lambda-powertools.

The resolver keeps the request that it works on in attributes of its class, so threads of one process (the local server)
would see each other's. Therefore it only matches, under a lock and in microseconds; the endpoint is called outside. It
sees paths percent-encoded, so that its patterns, made for the characters of URLs, match whatever a client sends.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast
from urllib.parse import quote, unquote

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.handlers.api_ports import ApiPorts
from multinode_control_plane.handlers.http import Request
from multinode_control_plane.services.access import Caller
from multinode_control_plane.services.context import Context
from multinode_protocol.failures import ErrorCode

__all__ = ["Access", "Call", "Endpoint", "Match", "MethodNotAllowed", "Route", "Router"]


class Access(StrEnum):
    """Who may call a route at all; what they may see there, the endpoint asks `services.access`."""

    ANYONE = "ANYONE"
    KEY = "KEY"
    """Holders of an API key."""
    LIVING = "LIVING"
    """They, and executions that are not TERMINATED."""
    REPORTING = "REPORTING"
    """They, and any execution: one that is TERMINATED is told so, and changes nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an endpoint."""

    ports: ApiPorts
    request: Request
    parameters: Mapping[str, str]
    caller: Caller

    @property
    def context(self) -> Context:
        return self.ports.context

    def __getitem__(self, name: str) -> str:
        """Return a part of the path by its name in the route."""
        return self.parameters[name]


Endpoint = Callable[[Call], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Route:
    """`rule` names the parts of the path in angle brackets: ``/projects/<project_name>``."""

    method: str
    rule: str
    access: Access
    endpoint: Callable[[Call], Any]


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    parameters: Mapping[str, str]


class MethodNotAllowed(Refused):
    """The path exists, but not with this method; `allowed` are those with which it does."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(ErrorCode.METHOD_IS_NOT_ALLOWED, f"use {' or '.join(allowed)}")
        self.allowed = allowed


class Router:
    """Finds routes; safe to share between threads."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._resolver = APIGatewayHttpResolver(debug=False)
        self._lock = threading.Lock()
        self._found: Match | None = None
        self._methods = sorted({route.method for route in routes})
        for route in routes:
            self._register(route)
        self._resolver.not_found(self._nothing)

    def match(self, request: Request, stage: str) -> Match:
        """Return the route of a request. Raises Refused(ROUTE_DOES_NOT_EXIST), MethodNotAllowed."""
        found = self._resolve(request.method, request.path, stage)
        if found is not None:
            return found
        allowed = [method for method in self._methods if self._resolve(method, request.path, stage)]
        if allowed:
            raise MethodNotAllowed(allowed)
        raise Refused(ErrorCode.ROUTE_DOES_NOT_EXIST)

    def _register(self, route: Route) -> None:
        def matched(**parameters: str) -> Response[str]:
            self._found = Match(route, {name: _decoded(value) for name, value in parameters.items()})
            return Response(200, body="")

        self._resolver.route(route.rule, method=route.method)(matched)

    def _nothing(self, _: Exception) -> Response[str]:
        return Response(404, body="")

    def _resolve(self, method: str, path: str, stage: str) -> Match | None:
        encoded = quote(path, safe="/", errors="surrogatepass")
        event = {
            "version": "2.0",
            "rawPath": encoded,
            "headers": {},
            "requestContext": {"stage": stage, "http": {"method": method, "path": encoded}},
        }
        with self._lock:
            self._found = None
            self._resolver.resolve(event, cast(Any, None))
            return self._found


def _decoded(part: str) -> str:
    """Return a part of the path as the client meant it.

    API Gateway decodes percent-encoding before it makes the event, other servers do not. No name and no id has a % in
    it, so decoding once more makes them alike and can only turn what would not be found into what may be.
    """
    return unquote(unquote(part, errors="surrogatepass"), errors="surrogateescape")
