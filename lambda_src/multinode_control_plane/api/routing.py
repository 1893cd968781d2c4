"""Finding the endpoint for a path and method.

A path is compared part by part, without a library: the resolver of aws-lambda-powertools made up a third of what the
API's Lambda loads in every cold start. It also keeps its request in attributes of its class, which the threads of the
local server share.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from multinode_control_plane.api.http import Request
from multinode_control_plane.api.ports import ApiPorts
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.services.access import Caller
from multinode_control_plane.services.context import Context
from multinode_protocol.error_codes import ErrorCode


class Access(StrEnum):
    """Who may call a route at all. For what they may see there, the endpoint asks `services.access`."""

    ANYONE = "ANYONE"
    KEY = "KEY"
    """Holders of an API key."""
    LIVING = "LIVING"
    """Holders of an API key, and executions that are not TERMINATED."""
    REPORTING = "REPORTING"
    """Holders of an API key, and any execution. One that is TERMINATED is told so, and changes nothing."""


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
    """The path exists, but not with this method; `allowed` lists the methods that it has."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(ErrorCode.METHOD_IS_NOT_ALLOWED, f"use {' or '.join(allowed)}")
        self.allowed = allowed


class Router:
    """Finds the route of a request: the first of `routes` that matches."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(route, route.rule.split("/")) for route in routes]

    def match(self, request: Request) -> Match:
        """Return the route of a request. Raises Refused(ROUTE_DOES_NOT_EXIST), MethodNotAllowed."""
        parts = request.path.split("/")
        fitting = [
            Match(route, found) for route, rule in self._routes if (found := _parameters(rule, parts)) is not None
        ]
        if not fitting:
            raise Refused(ErrorCode.ROUTE_DOES_NOT_EXIST)
        for match in fitting:
            if match.route.method == request.method:
                return match
        raise MethodNotAllowed(sorted({match.route.method for match in fitting}))


def _parameters(rule: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    """Return the parts of a path by their names in a rule, or None if the path does not match the rule."""
    if len(rule) != len(parts):
        return None
    found: dict[str, str] = {}
    for named, part in zip(rule, parts, strict=True):
        if named.startswith("<") and part:
            found[named[1:-1]] = _decoded(part)
        elif named != part:
            return None
    return found


def _decoded(part: str) -> str:
    """Return a part of the path as the client meant it.

    API Gateway decodes percent-encoding before it makes the event; other servers do not. Decoding once more is safe,
    because no name or id contains a %.
    """
    return unquote(part, errors="surrogateescape")
