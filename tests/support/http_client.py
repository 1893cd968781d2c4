"""The API over real HTTP: a client of a local server, and the steps that many tests begin with."""

import http.client
import json
from contextlib import closing
from typing import Any, cast

from tests.support.api_client import FUNCTION
from tests.support.local_server import LocalServer
from tests.support.waiting import until

SUCCESS = {"outcome": "SUCCEEDED", "final_output": "1"}


class Client:
    """Speaks HTTP to the server without a library's help: what is sent is what the test says."""

    def __init__(self, server: LocalServer, code_dir: str, python: str) -> None:
        self.server = server
        self.bundle = {"code_dir": code_dir, "python": python}
        self.projects = 0

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=300)
        with closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def call(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key or self.server.api_key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        status, _, text = self.raw(method, path, data, headers)
        return status, json.loads(text)

    def ok(self, method: str, path: str, body: object = None) -> Any:
        status, answer = self.call(method, path, body)
        assert status == 200, answer
        return answer

    def deploy(self, *functions: dict[str, Any]) -> str:
        """Register a version of a project of its own; return the path of its version."""
        self.projects += 1
        project = f"/projects/p{self.projects}"
        self.ok("PUT", project)
        body = {
            "default_docker_image": "local",
            "functions": list(functions or (FUNCTION,)),
            "local_bundle": self.bundle,
        }
        return f"{project}/versions/{self.ok('POST', f'{project}/versions', body)['version_id']}"

    def start(self, version: str, **fields: object) -> dict[str, Any]:
        body = self.ok("POST", f"{version}/functions/f/invocations", {"input": "[[],{}]", **fields})
        return cast(dict[str, Any], body)

    def execution(self, version: str, invocation_id: str) -> str:
        """Return the path of the invocation's first execution, once it has one."""
        path = f"{version}/functions/f/invocations/{invocation_id}"
        until(lambda: self.ok("GET", path)["executions"], "the first execution")
        return f"{path}/executions/{self.ok('GET', path)['executions'][0]['execution_id']}"


def started(client: Client) -> tuple[str, str, str]:
    """Return the paths of a version, an invocation of it, and its execution, whose code runs."""
    version = client.deploy()
    invocation_id = client.start(version)["invocation_id"]
    execution = client.execution(version, invocation_id)
    client.ok("PUT", f"{execution}/start", {"worker_nonce": "n"})
    return version, f"/invocations/{invocation_id}", execution
