"""Every error over real HTTP, with its status, code and message."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from multinode_control_plane.core.keys import project_key
from multinode_protocol.error_codes import ERRORS, ErrorCode
from tests.support.http_client import SUCCESS, Client, started

pytestmark = pytest.mark.slow

NOBODY = "inv-" + "f" * 32


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
    failure = ERRORS[code]
    assert (status, body["code"]) == (failure.status, code)
    assert body["detail"].startswith(failure.message)
    assert body["detail"] == failure.message or not failure.fixed
    assert body.keys() == {"detail", "code", *(["request_id"] if status >= 500 else [])}
    assert "Traceback" not in body["detail"]
