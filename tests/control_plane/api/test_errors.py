"""Whatever goes wrong, the answer is JSON with the fitting status and in one shape: never a stack trace."""

import json
import logging
import os
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from multinode_control_plane.api.dispatch import build
from multinode_control_plane.api.ports import ApiPorts
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.keys import project_key
from multinode_control_plane.ports import StoreUnavailable
from multinode_protocol.error_codes import ERRORS, ErrorCode
from tests.support.api_client import FUNCTION, KEY, Api, definition
from tests.support.fakes import FakeKeychain, FakeWaiter


def raising(error: Exception) -> Callable[..., Any]:
    def raise_it(*_: object, **__: object) -> Any:
        raise error

    return raise_it


# --- faults of ours -------------------------------------------------------------------------------------------------


def test_a_store_that_does_not_answer_is_a_busy_control_plane() -> None:
    api = Api()
    api.world.store.fail_next("get", StoreUnavailable("throttled"))
    answer = api.get("/projects/shop")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "ControlPlaneIsBusy", "1")
    assert answer.body == {
        "detail": "The control plane is busy; send the request again",
        "code": "ControlPlaneIsBusy",
        "request_id": "request-1",
    }


def test_a_fault_of_ours_tells_the_request_id_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    api = Api()
    api.world.store.fail_next("get", RuntimeError("secret detail"))
    with caplog.at_level(logging.ERROR):
        answer = api.get("/projects/shop")
    assert answer.status == 500
    assert answer.body == {
        "detail": "The control plane failed: quote the request id request-1 when you report it",
        "code": "InternalError",
        "request_id": "request-1",
    }
    assert "secret detail" in caplog.text
    assert "request-1" in caplog.text
    assert KEY not in caplog.text


def test_a_record_that_cannot_be_read_is_a_fault_of_ours() -> None:
    api = Api()
    api.put("/projects/shop")
    key = project_key("shop")
    from_the_future: Any = {"type": "FromTheFuture"}
    api.world.store.items[key.partition, key.sort] = (1, from_the_future)
    assert (api.get("/projects/shop").status, api.get("/projects/shop").code) == (500, "InternalError")


@pytest.mark.parametrize(
    ("made", "context", "expected"),
    [
        ({"requestContext": {"requestId": "r", "http": {}}}, None, "r"),
        ({}, types.SimpleNamespace(aws_request_id="lambda-1"), "lambda-1"),
        ({"requestContext": None}, None, "unknown"),
        ({"requestContext": "x", "headers": None, "body": 5}, object(), "unknown"),
    ],
)
def test_even_an_event_of_no_form_is_answered(made: dict[str, Any], context: object, expected: str) -> None:
    api = Api()
    result = api.answer_event(made, context)
    assert result["statusCode"] == 404
    api.handler = build(
        ApiPorts(api.world.context, FakeKeychain(), api.world.logs, FakeWaiter(), None)  # type: ignore[arg-type]
    )
    broken = api.answer_event({**made, "rawPath": "/", "requestContext": _get(made)}, context)
    assert broken["statusCode"] == 500
    assert json.loads(broken["body"])["request_id"] == expected


def _get(made: dict[str, Any]) -> dict[str, Any]:
    given = made.get("requestContext")
    return {**(given if isinstance(given, dict) else {}), "http": {"method": "GET"}}


def test_text_that_no_utf_8_can_carry_is_replaced_in_an_answer() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    api.world.logs.write(api.execution(invocation_id), "a\ud800b")
    answer = api.get(f"/invocations/{invocation_id}/logs")
    assert answer.body["lines"][0]["message"] == "a?b"


# --- all answers ----------------------------------------------------------------------------------------------------


def test_every_code_has_its_status_and_the_message_of_the_table() -> None:
    assert {code: ERRORS[code].status for code in ERRORS if ERRORS[code].fixed} == {
        ErrorCode.API_KEY_IS_INVALID: 403,
        ErrorCode.OFFSET_IS_INVALID: 400,
        ErrorCode.PARENT_FUNCTION_NAME_IS_MISSING: 400,
        ErrorCode.PARENT_INVOCATION_ID_IS_MISSING: 400,
        ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST: 400,
        ErrorCode.PARENT_INVOCATION_HAS_ENDED: 409,
        ErrorCode.PROJECT_NAME_IS_TOO_LONG: 400,
        ErrorCode.PROJECT_IS_BEING_DELETED: 400,
        ErrorCode.PROJECT_DOES_NOT_EXIST: 404,
        ErrorCode.VERSION_DOES_NOT_EXIST: 404,
        ErrorCode.FUNCTION_DOES_NOT_EXIST: 404,
        ErrorCode.INVOCATION_DOES_NOT_EXIST: 404,
        ErrorCode.EXECUTION_DOES_NOT_EXIST: 404,
        ErrorCode.PROJECT_ALREADY_EXISTS: 409,
        ErrorCode.INVOCATION_ALREADY_EXISTS: 409,
        ErrorCode.INVOCATION_IS_ALREADY_TERMINATED: 409,
        ErrorCode.EXECUTION_HAS_ALREADY_STARTED: 409,
        ErrorCode.EXECUTION_HAS_NOT_STARTED: 409,
        ErrorCode.EXECUTION_HAS_ALREADY_FINISHED: 409,
        ErrorCode.EXECUTION_IS_ALREADY_TERMINATED: 409,
    }


@pytest.mark.parametrize("code", ErrorCode)
def test_every_refusal_is_answered_in_the_same_shape(code: ErrorCode) -> None:
    api = Api()
    api.world.store.fail_next("get", Refused(code, "with a detail"))
    answer = api.get("/projects/shop")
    failure = ERRORS[code]
    assert (answer.status, answer.code) == (failure.status, code)
    assert answer.detail == failure.message if failure.fixed else f"{failure.message}: with a detail"
    assert answer.body.keys() == {"detail", "code", *(["request_id"] if failure.status >= 500 else [])}
    assert answer.headers["content-type"] == "application/json"


def test_answers_are_not_to_be_cached_and_need_no_base64() -> None:
    answer = Api().get("/projects")
    assert answer.headers == {"content-type": "application/json", "cache-control": "no-store"}


def test_the_deployment_is_described_and_has_no_repository_of_containers_when_local() -> None:
    api = Api()
    assert api.get("/deployment").body == {
        "backend": "local",
        "api_version": 1,
        "multinode_version": "2.0.0",
        "data_dir": "/data",
    }
    answer = api.get("/container_repository_credentials")
    assert (answer.status, answer.code) == (404, "NotSupportedByBackend")
    assert "the backend local has no container repository" in answer.detail


def test_where_there_is_a_repository_its_credentials_are_given() -> None:
    credentials = {"repository_name": "r", "username": "AWS", "password": "p", "endpoint_url": "https://e"}
    api = Api()
    api.handler = build(
        ApiPorts(
            api.world.context,
            FakeKeychain(),
            api.world.logs,
            FakeWaiter(),
            api.ports.deployment,
            lambda: credentials,
        )
    )
    assert api.get("/container_repository_credentials").body == credentials


def test_unknown_fields_and_parameters_are_ignored() -> None:
    api = Api()
    api.put("/projects/shop")
    body = {**definition({**FUNCTION, "colour": "red"}), "more": [1, 2, 3]}
    assert api.call("POST", "/projects/shop/versions", body, query="pretty=1").status == 200


@pytest.mark.slow
def test_the_handler_imports_nothing_heavy_and_nothing_that_unpickles() -> None:
    code = (
        "import sys; import multinode_control_plane.api.dispatch; "
        "print(','.join(sorted({'boto3', 'botocore.session', 'pydantic', 'pickle', 'cloudpickle', 'multinode', "
        "'urllib3', 'uvicorn', 'sqlite3'} & set(sys.modules))))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == ""
