"""Every route and every error over real HTTP, against a local server in a process of its own.

The workers that it launches are stand-ins that sleep: the tests speak for them.
"""

import http.client
import json
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from multinode_control_plane.adapters.local.keychain import LocalKeychain
from multinode_control_plane.adapters.local.process_tree import kill_all
from multinode_control_plane.adapters.local.workers import WorkerFolders
from multinode_control_plane.core.keys import project_key
from multinode_control_plane.core.tokens import TokenScope, sign
from multinode_protocol.failures import FAILURES, ErrorCode
from tests.api.client import FUNCTION
from tests.local.server import LocalServer, until
from tests.local.stub import make_bundle

pytestmark = pytest.mark.slow

SUCCESS = {"outcome": "SUCCEEDED", "final_output": "1"}
NOBODY = "inv-" + "f" * 32


class Client:
    """Speaks HTTP to the server without a library's help: what is sent is what the test says."""

    def __init__(self, server: LocalServer, code_dir: str, python: str) -> None:
        self.server = server
        self.bundle = {"code_dir": code_dir, "python": python}
        self.projects = 0

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
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


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("over-http")
    bundle = make_bundle(folder / "bundle", sys.executable)
    server = LocalServer(folder / "server")
    server.start()
    try:
        yield Client(server, bundle.code_dir, bundle.python)
    finally:
        server.kill()
        for worker in WorkerFolders(server.directory.workers).all():
            kill_all(worker.record.token, worker.process)


# --- every route ----------------------------------------------------------------------------------------------------


def test_health_and_deployment(client: Client) -> None:
    status, headers, body = client.raw("GET", "/")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {"status": "healthy", "backend": "local", "api_version": 1}
    deployment = client.ok("GET", "/deployment")
    assert deployment["data_dir"] == str(client.server.data_dir)


def test_projects_and_versions(client: Client) -> None:
    created = client.ok("PUT", "/projects/books")
    assert client.ok("GET", "/projects/books") == created
    assert created in client.ok("GET", "/projects")["projects"]
    version = client.deploy()
    project = version.split("/versions/")[0]
    info = client.ok("GET", version)
    assert client.ok("GET", f"{project}/versions/latest") == info
    assert client.ok("GET", f"{project}/versions")["versions"] == [
        {"version_id": info["version_id"], "creation_time": info["creation_time"]}
    ]
    assert client.ok("DELETE", "/projects/books")["deletion_request_time"] is not None
    until(lambda: client.call("GET", "/projects/books")[0] == 404, "the deletion of an empty project")


def test_an_invocation_from_start_to_end(client: Client) -> None:
    version = client.deploy()
    invocation = client.start(version, invocation_id="inv-" + "1" * 32)
    path = f"{version}/functions/f/invocations/{invocation['invocation_id']}"
    assert client.start(version, invocation_id="inv-" + "1" * 32)["invocation_id"] == invocation["invocation_id"]
    execution = client.execution(version, invocation["invocation_id"])
    assert client.ok("GET", execution)["input"] == "[[],{}]"
    assert 590 < client.ok("PUT", f"{execution}/start", {"worker_nonce": "n"})["remaining_s"] <= 600
    assert client.ok("PUT", f"{execution}/update", {"latest_output": "0", "sequence": 1})["output"] == "0"
    assert client.ok("PUT", f"{execution}/finish", SUCCESS)["outcome"] == "SUCCEEDED"
    short = client.ok("GET", f"/invocations/{invocation['invocation_id']}")
    assert (short["status"], short["result"]) == ("SUCCEEDED", "1")
    assert client.ok("GET", f"{version}/functions/f/invocations")["invocations"][0]["status"] == "SUCCEEDED"
    assert client.ok("GET", path)["invocation_id"] == short["invocation_id"]


def test_cancelling_by_either_path(client: Client) -> None:
    version = client.deploy()
    for base in (f"{version}/functions/f/invocations", "/invocations"):
        invocation_id = client.start(version)["invocation_id"]
        cancelled = client.ok("PUT", f"{base}/{invocation_id}/cancel")
        assert cancelled["cancellation_request_time"] is not None


def test_the_logs_of_an_execution_and_of_its_invocation(client: Client) -> None:
    version = client.deploy()
    invocation_id = client.start(version)["invocation_id"]
    execution = client.execution(version, invocation_id)
    until(lambda: client.ok("GET", f"{execution}/logs")["log_lines"], "the stand-in's first line")
    assert client.ok("GET", f"{execution}/logs")["log_lines"] == ["begun"]
    logs = client.ok("GET", f"/invocations/{invocation_id}/logs?wait_s=5")
    assert [(line["stream"], line["message"]) for line in logs["lines"]] == [("worker", "begun")]
    assert client.ok("GET", f"/invocations/{invocation_id}/logs?offset={logs['next_offset']}")["lines"] == []
    assert client.ok("GET", f"/invocations/{invocation_id}/logs?tail=1")["lines"] == logs["lines"]


def test_a_waiting_request_is_answered_by_the_change_it_waits_for(client: Client) -> None:
    version = client.deploy()
    invocation = client.start(version)
    path = f"/invocations/{invocation['invocation_id']}"
    # Each answer shows something newer than the last, until the container is there.
    seen = {invocation["revision"]}
    while not invocation["executions"] or invocation["executions"][0]["worker_details"] is None:
        invocation = client.ok("GET", f"{path}?wait_s=20&since={invocation['revision']}")
        assert invocation["revision"] not in seen
        seen.add(invocation["revision"])


def test_pages_and_filters_in_the_query(client: Client) -> None:
    version = client.deploy()
    parent = client.start(version)["invocation_id"]
    reference = {"function_name": "f", "invocation_id": parent}
    children = [client.start(version, parent_invocation=reference)["invocation_id"] for _ in range(3)]
    listing = f"{version}/functions/f/invocations"
    first = client.ok("GET", f"{listing}?max_results=2")
    rest = client.ok("GET", f"{listing}?max_results=2&initial_offset={first['next_offset']}")
    found = [one["invocation_id"] for one in (*first["invocations"], *rest["invocations"])]
    assert (found, rest["next_offset"]) == ([*children[::-1], parent], None)
    by_parent = client.ok("GET", f"{listing}?parent_function_name=f&parent_invocation_id={parent}")
    assert [one["invocation_id"] for one in by_parent["invocations"]] == children[::-1]
    assert client.ok("GET", f"{listing}?status=SUCCEEDED")["invocations"] == []


# --- every error ----------------------------------------------------------------------------------------------------


def started(client: Client) -> tuple[str, str, str]:
    """Return the paths of a version, an invocation of it, and its execution, whose code runs."""
    version = client.deploy()
    invocation_id = client.start(version)["invocation_id"]
    execution = client.execution(version, invocation_id)
    client.ok("PUT", f"{execution}/start", {"worker_nonce": "n"})
    return version, f"/invocations/{invocation_id}", execution


def with_a_wrong_key(client: Client) -> tuple[int, Any]:
    return client.call("GET", "/projects", key="mn_00000000_" + "x" * 43)


def offset_of_garbage(client: Client) -> tuple[int, Any]:
    return client.call("GET", f"{client.deploy()}/functions/f/invocations?initial_offset=garbage")


def parent_without_name(client: Client) -> tuple[int, Any]:
    return client.call("GET", f"{client.deploy()}/functions/f/invocations?parent_invocation_id={NOBODY}")


def parent_without_id(client: Client) -> tuple[int, Any]:
    return client.call("GET", f"{client.deploy()}/functions/f/invocations?parent_function_name=f")


def child_of_nobody(client: Client) -> tuple[int, Any]:
    body = {"input": "[]", "parent_invocation": {"function_name": "f", "invocation_id": NOBODY}}
    return client.call("POST", f"{client.deploy()}/functions/f/invocations", body)


def child_of_the_finished(client: Client) -> tuple[int, Any]:
    version, invocation, _ = started(client)
    client.ok("PUT", f"{invocation}/cancel")
    reference = {"function_name": "f", "invocation_id": invocation.removeprefix("/invocations/")}
    body = {"input": "[]", "parent_invocation": reference}
    return client.call("POST", f"{version}/functions/f/invocations", body)


def project_named_too_long(client: Client) -> tuple[int, Any]:
    return client.call("PUT", f"/projects/{'a' * 65}")


def start_while_deleting(client: Client) -> tuple[int, Any]:
    # The stand-in that runs holds the deletion up.
    version, _, _ = started(client)
    client.ok("DELETE", version.split("/versions/")[0])
    return client.call("POST", f"{version}/functions/f/invocations", {"input": "[]"})


def too_deep_a_tree(client: Client) -> tuple[int, Any]:
    version = client.deploy()
    body: dict[str, Any] = {"input": "[]"}
    for _ in range(21):
        parent = client.ok("POST", f"{version}/functions/f/invocations", body)["invocation_id"]
        body = {"input": "[]", "parent_invocation": {"function_name": "f", "invocation_id": parent}}
    return client.call("POST", f"{version}/functions/f/invocations", body)


def same_id_other_input(client: Client) -> tuple[int, Any]:
    version = client.deploy()
    invocation_id = client.start(version)["invocation_id"]
    body = {"input": "[[2],{}]", "invocation_id": invocation_id}
    return client.call("POST", f"{version}/functions/f/invocations", body)


def cancel_of_the_finished(client: Client) -> tuple[int, Any]:
    _, invocation, execution = started(client)
    client.ok("PUT", f"{execution}/finish", SUCCESS)
    return client.call("PUT", f"{invocation}/cancel")


def project_twice(client: Client) -> tuple[int, Any]:
    client.call("PUT", "/projects/twice")
    return client.call("PUT", "/projects/twice")


def start_by_another(client: Client) -> tuple[int, Any]:
    return client.call("PUT", f"{started(client)[2]}/start", {"worker_nonce": "another"})


def finish_before_start(client: Client) -> tuple[int, Any]:
    version = client.deploy()
    execution = client.execution(version, client.start(version)["invocation_id"])
    return client.call("PUT", f"{execution}/finish", SUCCESS)


def update_after_finish(client: Client) -> tuple[int, Any]:
    execution = started(client)[2]
    client.ok("PUT", f"{execution}/finish", SUCCESS)
    return client.call("PUT", f"{execution}/update", {"latest_output": "1"})


def start_after_cancel(client: Client) -> tuple[int, Any]:
    version = client.deploy()
    invocation_id = client.start(version)["invocation_id"]
    execution = client.execution(version, invocation_id)
    client.ok("PUT", f"/invocations/{invocation_id}/cancel")
    return client.call("PUT", f"{execution}/start")


def unreadable_record(client: Client) -> tuple[int, Any]:
    """A row of the database that nothing can read: a fault of ours."""
    client.call("PUT", "/projects/broken")
    key = project_key("broken")
    with closing(sqlite3.connect(client.server.directory.state)) as connection, connection:
        changed = connection.execute("UPDATE items SET body = '{}' WHERE partition = ?", (key.partition,)).rowcount
    assert changed == 1
    try:
        return client.call("GET", "/projects/broken")
    finally:
        with closing(sqlite3.connect(client.server.directory.state)) as connection, connection:
            connection.execute("DELETE FROM items WHERE partition = ?", (key.partition,))


def locked_database(client: Client) -> tuple[int, Any]:
    """Another process holds the database's lock for longer than the server waits for it."""
    with closing(sqlite3.connect(client.server.directory.state, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        return client.call("PUT", "/projects/busy")


CASES: dict[ErrorCode, Callable[[Client], tuple[int, Any]]] = {
    ErrorCode.API_KEY_IS_INVALID: with_a_wrong_key,
    ErrorCode.OFFSET_IS_INVALID: offset_of_garbage,
    ErrorCode.PARENT_FUNCTION_NAME_IS_MISSING: parent_without_name,
    ErrorCode.PARENT_INVOCATION_ID_IS_MISSING: parent_without_id,
    ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST: child_of_nobody,
    ErrorCode.PARENT_INVOCATION_HAS_ENDED: child_of_the_finished,
    ErrorCode.PROJECT_NAME_IS_TOO_LONG: project_named_too_long,
    ErrorCode.PROJECT_IS_BEING_DELETED: start_while_deleting,
    ErrorCode.PROJECT_DOES_NOT_EXIST: lambda client: client.call("GET", "/projects/nope"),
    ErrorCode.VERSION_DOES_NOT_EXIST: lambda client: client.call("GET", client.deploy()[:-4] + "ffff"),
    ErrorCode.FUNCTION_DOES_NOT_EXIST: lambda client: client.call(
        "GET", f"{client.deploy()}/functions/nope/invocations"
    ),
    ErrorCode.INVOCATION_DOES_NOT_EXIST: lambda client: client.call("GET", f"/invocations/{NOBODY}"),
    ErrorCode.EXECUTION_DOES_NOT_EXIST: lambda client: client.call("GET", started(client)[2][:-4] + "ffff"),
    ErrorCode.PROJECT_ALREADY_EXISTS: project_twice,
    ErrorCode.INVOCATION_ALREADY_EXISTS: same_id_other_input,
    ErrorCode.INVOCATION_IS_ALREADY_TERMINATED: cancel_of_the_finished,
    ErrorCode.EXECUTION_HAS_ALREADY_STARTED: start_by_another,
    ErrorCode.EXECUTION_HAS_NOT_STARTED: finish_before_start,
    ErrorCode.EXECUTION_HAS_ALREADY_FINISHED: update_after_finish,
    ErrorCode.EXECUTION_IS_ALREADY_TERMINATED: start_after_cancel,
    ErrorCode.LIMIT_IS_REACHED: too_deep_a_tree,
    ErrorCode.REQUEST_IS_INVALID: lambda client: client.call("PUT", "/projects/-x"),
    ErrorCode.REQUEST_IS_MALFORMED: lambda client: client.call("POST", "/projects/p1/versions", [1]),
    ErrorCode.REQUEST_IS_TOO_LARGE: lambda client: client.call("POST", "/projects/p1/versions", "x" * 1_000_001),
    ErrorCode.ROUTE_DOES_NOT_EXIST: lambda client: client.call("GET", "/nope"),
    ErrorCode.METHOD_IS_NOT_ALLOWED: lambda client: client.call("PATCH", "/projects"),
    ErrorCode.NOT_SUPPORTED_BY_BACKEND: lambda client: client.call("GET", "/container_repository_credentials"),
    ErrorCode.CONTROL_PLANE_IS_BUSY: locked_database,
    ErrorCode.INTERNAL_ERROR: unreadable_record,
}


def test_the_table_has_every_code() -> None:
    assert set(CASES) == set(ErrorCode)


@pytest.mark.parametrize("code", CASES)
def test_every_error_has_its_status_code_and_message(client: Client, code: ErrorCode) -> None:
    status, body = CASES[code](client)
    failure = FAILURES[code]
    assert (status, body["code"]) == (failure.status, code)
    assert body["detail"].startswith(failure.message)
    assert body["detail"] == failure.message or not failure.fixed
    assert body.keys() == {"detail", "code", *(["request_id"] if status >= 500 else [])}
    assert "Traceback" not in body["detail"]


# --- what only a real connection shows ------------------------------------------------------------------------------


def raw_answer(client: Client, data: bytes, *, hang_up: bool = False) -> bytes:
    """Return what the server answers to bytes as they are, up to the end of the connection.

    With `hang_up` the client says that it sends nothing more.
    """
    address = urlsplit(client.server.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(data)
        if hang_up:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
        return received


def test_a_key_sent_twice_or_in_64_kilobytes_is_no_key(client: Client) -> None:
    key = client.server.api_key
    twice = (
        f"GET /projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Authorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    )
    assert raw_answer(client, twice.encode()).startswith(b"HTTP/1.1 403 ")
    long = twice.replace(key, "k" * 65_536)
    assert raw_answer(client, long.encode()).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /projects/p1/versions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{}",
    ],
)
def test_what_is_no_request_gets_no_answer_of_success_and_harms_nobody(client: Client, data: bytes) -> None:
    assert not raw_answer(client, data, hang_up=True).startswith(b"HTTP/1.1 2")
    assert client.raw("GET", "/")[0] == 200


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/projects/%2e%2e%2fdeployment", "ProjectDoesNotExist"),
        ("/projects/..%2f..%2fetc", "ProjectDoesNotExist"),
        ("/projects/../deployment", "RouteDoesNotExist"),
        ("/projects/%00", "ProjectDoesNotExist"),
        ("/projects/a%0Ab", "ProjectDoesNotExist"),
        ("/projects/%F0%9F%98%80", "ProjectDoesNotExist"),
        ("/projects/%ff", "ProjectDoesNotExist"),
        ("/invocations/%2e%2e%2f", "InvocationDoesNotExist"),
    ],
)
def test_awkward_paths_are_not_found(client: Client, path: str, code: str) -> None:
    status, body = client.call("GET", path)
    assert (status, body["code"]) == (404, code)


def test_a_gzipped_body_is_malformed_not_unpacked(client: Client) -> None:
    headers = {"Authorization": f"Bearer {client.server.api_key}", "Content-Encoding": "gzip"}
    status, _, text = client.raw("POST", "/projects/p1/versions", b"\x1f\x8b" + b"\0" * 1000, headers)
    assert (status, json.loads(text)["code"]) == (400, "RequestIsMalformed")


def test_an_input_in_every_alphabet_comes_back_as_it_was_sent(client: Client) -> None:
    text = "\0\x1b\u202e\U0001f600é\\\"'\r\n中"
    invocation = client.start(client.deploy(), input=text)
    assert client.ok("GET", f"/invocations/{invocation['invocation_id']}")["input"] == text


def test_a_token_made_for_a_worker_opens_its_own_execution_alone(client: Client) -> None:
    version, _, execution = started(client)
    invocation = client.ok("GET", execution)
    names = ("project_name", "version_id", "function_name", "invocation_id", "execution_id")
    token = sign(
        LocalKeychain(client.server.directory.keys).token_secret(), TokenScope(*(invocation[name] for name in names))
    )
    assert client.call("GET", execution, key=token)[0] == 200
    assert client.call("PUT", f"{execution}/update", {"latest_output": "7"}, key=token)[1]["output"] == "7"
    assert client.call("GET", f"{version}/functions/f/invocations", key=token)[1]["invocations"] == []
    assert client.call("GET", "/projects", key=token)[0] == 403
    other = started(client)[2]
    assert client.call("GET", other, key=token)[0] == 404
