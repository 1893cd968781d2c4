"""The real API handler on fakes, driven with the events that API Gateway would send."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from multinode_control_plane.api.dispatch import build
from multinode_control_plane.api.ports import ApiPorts
from multinode_control_plane.core.records import Execution
from multinode_control_plane.core.tokens import TokenScope, sign
from multinode_control_plane.handlers.api import answer_event
from multinode_protocol.messages import DeploymentInfo
from tests.support.fakes import FakeKeychain, FakeWaiter
from tests.support.world import World

KEY = "mn_00000001_" + "k" * 43
FUNCTION: dict[str, Any] = {
    "function_name": "f",
    "resource_spec": {"virtual_cpus": 0.1, "memory_gbs": 0.25, "max_concurrency": 2},
    "execution_spec": {"max_retries": 0, "timeout_seconds": 600},
}
DEPLOYMENT = DeploymentInfo(backend="local", api_version=1, multinode_version="2.0.0", data_dir="/data")


def definition(*functions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a VersionDefinition of these functions; of `f` alone without any."""
    return {"default_docker_image": "image", "functions": list(functions or (FUNCTION,))}


def event(
    method: str,
    path: str,
    *,
    body: str | None = None,
    base64_encoded: bool = False,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    stage: str = "$default",
) -> dict[str, Any]:
    """Return an event of an HTTP API, payload format 2.0, as AWS documents it."""
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": dict(headers or {}),
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "request-1",
            "stage": stage,
        },
        "isBase64Encoded": base64_encoded,
    }
    if query:
        made["queryStringParameters"] = dict(parse_qsl(query, keep_blank_values=True))
    if body is not None:
        made["body"] = body
    return made


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The error's code; "" of a success."""
        return str(self.body.get("code", ""))

    @property
    def detail(self) -> str:
        return str(self.body["detail"])


@dataclass
class Api:
    """A world with an API in front, called with `key` unless a test says otherwise."""

    world: World = field(default_factory=World)
    waiter: FakeWaiter = field(default_factory=FakeWaiter)
    key: str = KEY
    version_id: str = ""

    def __post_init__(self) -> None:
        self.keychain = FakeKeychain()
        self.ports = ApiPorts(self.world.context, self.keychain, self.world.logs, self.waiter, DEPLOYMENT)
        self.handler = build(self.ports)

    def answer_event(self, made: dict[str, Any], context: object = None) -> Any:
        """Return what API Gateway is given for an event, as it is."""
        return answer_event(self.handler, made, context)

    def send(self, made: dict[str, Any]) -> Answer:
        """Return the answer to an event."""
        result = self.answer_event(made)
        assert result["isBase64Encoded"] is False
        return Answer(result["statusCode"], result["headers"], result["body"])

    def call(
        self, method: str, path: str, body: object = None, *, query: str = "", authorization: str | None = None
    ) -> Answer:
        """Return the answer to a request with a JSON body."""
        text = None if body is None else json.dumps(body)
        headers = {"authorization": f"Bearer {self.key}" if authorization is None else authorization}
        return self.send(event(method, path, body=text, query=query, headers=headers))

    def get(self, path: str, query: str = "") -> Answer:
        return self.call("GET", path, query=query)

    def put(self, path: str, body: object = None) -> Answer:
        return self.call("PUT", path, body)

    def post(self, path: str, body: object) -> Answer:
        return self.call("POST", path, body)

    # --- steps that many tests begin with ---

    def deploy(self, *functions: Mapping[str, Any], project: str = "shop") -> "Api":
        """Create the project if need be, and its next version."""
        self.put(f"/projects/{project}")
        answer = self.post(f"/projects/{project}/versions", definition(*functions))
        assert answer.status == 200, answer.text
        self.version_id = answer.body["version_id"]
        return self

    def path(self, invocation_id: str = "", *, function: str = "f", project: str = "shop") -> str:
        """Return the path of a function's invocations, or of one of them."""
        base = f"/projects/{project}/versions/{self.version_id}/functions/{function}/invocations"
        return f"{base}/{invocation_id}" if invocation_id else base

    def execution_path(self, invocation_id: str, *, function: str = "f") -> str:
        return f"{self.path(invocation_id, function=function)}/executions/{self.execution(invocation_id).execution_id}"

    def start(self, text: str = "[[],{}]", *, function: str = "f", parent: str | None = None) -> str:
        """Start an invocation and return its id; its container is launched, its code has not begun."""
        body: dict[str, Any] = {"input": text}
        if parent is not None:
            body["parent_invocation"] = {
                "function_name": self.world.get(parent).function_name,
                "invocation_id": parent,
            }
        answer = self.post(self.path(function=function), body)
        assert answer.status == 200, answer.text
        self.world.react()
        invocation_id = answer.body["invocation_id"]
        assert isinstance(invocation_id, str)
        return invocation_id

    def running(self, text: str = "[[],{}]", *, function: str = "f", parent: str | None = None) -> str:
        """Start an invocation whose code runs, and return its id."""
        invocation_id = self.start(text, function=function, parent=parent)
        answer = self.put(f"{self.execution_path(invocation_id, function=function)}/start", {"worker_nonce": "n"})
        assert answer.status == 200, answer.text
        self.world.react()
        return invocation_id

    def execution(self, invocation_id: str) -> Execution:
        """Return the newest execution."""
        return self.world.get(invocation_id).executions[-1]

    def token(self, invocation_id: str) -> str:
        """Return the token of the newest execution."""
        invocation = self.world.get(invocation_id)
        scope = TokenScope(
            invocation.project_name,
            invocation.version_id,
            invocation.function_name,
            invocation_id,
            invocation.executions[-1].execution_id,
        )
        return sign(self.keychain.secret, scope)

    def with_token(self, invocation_id: str) -> "Api":
        """Return the same API, called with the token of an invocation's newest execution."""
        return Api(self.world, self.waiter, self.token(invocation_id), self.version_id)


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()
