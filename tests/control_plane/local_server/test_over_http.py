"""Every route over real HTTP, and what only a real connection shows."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from multinode_control_plane.adapters.local.keychain import LocalKeychain
from multinode_control_plane.core.tokens import TokenScope, sign
from tests.support.http_client import SUCCESS, Client, started
from tests.support.waiting import until

pytestmark = pytest.mark.slow


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


# --- what only a real connection shows ------------------------------------------------------------------------------


def raw_answer(client: Client, data: bytes, *, hang_up: bool = False) -> bytes:
    """Return what the server answers to bytes as they are, up to the end of the connection.

    With `hang_up` the client says that it sends nothing more.
    """
    address = urlsplit(client.server.url)
    with socket.create_connection((address.hostname, address.port), timeout=300) as connection:
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
