"""Whatever is sent, the answer is JSON with the fitting status: never a stack trace, and bad input has no effect."""

import importlib
import json
import logging
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.keys import project_key
from multinode_control_plane.handlers import api as api_handler
from multinode_control_plane.ports import StoreUnavailable
from multinode_protocol.failures import FAILURES, ErrorCode
from tests.api.client import FUNCTION, KEY, Answer, Api, base64_text, definition, event
from tests.fakes import FakeKeychain, FakeWaiter

BEARER = {"authorization": f"Bearer {KEY}"}


def raising(error: Exception) -> Callable[..., Any]:
    def raise_it(*_: object, **__: object) -> Any:
        raise error

    return raise_it


# --- paths and methods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/nope",
        "//",
        "/projects/",
        "/projects/a/b",
        "/projects/a/b/c/d",
        "/projects/../deployment",
        "/projects/shop/versions/",
        "/invocations",
        "/invocations/x/start",
        "/Projects",
        "/projects\n",
        "/\0",
        "/\U0001f600",
        "/\ud800",
        "projects",
        "/" + "a/" * 5000,
    ],
)
def test_a_path_that_does_not_exist_is_not_found_with_or_without_a_key(path: str) -> None:
    api = Api()
    for headers in (BEARER, {}):
        for method in ("GET", "PUT", "POST", "DELETE", "PATCH"):
            answer = api.send(event(method, path, headers=headers))
            assert (answer.status, answer.code) == (404, "RouteDoesNotExist")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/", "GET"),
        ("HEAD", "/", "GET"),
        ("OPTIONS", "/projects", "GET"),
        ("POST", "/projects/shop", "DELETE, GET, PUT"),
        ("PATCH", "/projects/shop/versions", "GET, POST"),
        ("DELETE", "/invocations/x", "GET"),
        ("GET", "/invocations/x/cancel", "PUT"),
        ("POST", "/projects/p/versions/v/functions/f/invocations/i/executions/e/finish", "PUT"),
        ("get ", "/projects", "GET"),
        ("", "/projects", "GET"),
        ("X" * 1000, "/projects", "GET"),
    ],
)
def test_another_method_on_a_path_is_refused_with_those_that_are_allowed(method: str, path: str, allow: str) -> None:
    answer = Api().send(event(method, path, headers=BEARER))
    assert (answer.status, answer.code, answer.headers["allow"]) == (405, "MethodIsNotAllowed", allow)
    assert answer.detail == f"This method is not allowed on this path: use {allow.replace(', ', ' or ')}"


def test_a_stage_in_the_path_is_left_out() -> None:
    assert Api().send(event("GET", "/prod/projects", headers=BEARER, stage="prod")).status == 200


# --- names and ids in paths -----------------------------------------------------------------------------------------

BAD_NAMES = ["..", "-x", "--help", "x;rm -rf", "$(id)", "{{7*7}}", "%s%n", "a\n", "a\x1b[2J", "a\0", "a\u202e", "a b"]
BAD_NAMES += [
    "\U0001f600",
    "e\u0301",
    "\u00e9",
    "%2e%2e%2f",
    "%2E%2E%2Fp",
    "a%00",
    "\ud800",
    "'",
    '"',
    "<p>",
    "a#b",
    "a?b",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_makes_no_project_and_finds_none(name: str) -> None:
    api = Api()
    created = api.put(f"/projects/{name}")
    assert (created.status, created.code) == (422, "RequestIsInvalid")
    assert "`project_name` is" in created.detail
    assert created.detail.isascii()
    assert created.detail.isprintable()
    for answer in (
        api.get(f"/projects/{name}"),
        api.call("DELETE", f"/projects/{name}"),
        api.post(f"/projects/{name}/versions", definition()),
    ):
        assert (answer.status, answer.code) == (404, "ProjectDoesNotExist")
    assert [project["project_name"] for project in api.get("/projects").body["projects"]] == ["p"]


def test_a_percent_encoded_name_is_the_name_it_stands_for() -> None:
    # Servers differ in whether the path of an event is decoded already.
    api = Api()
    assert api.put("/projects/a%2Db").body["project_name"] == "a-b"
    assert api.get("/projects/a-b").status == 200


@pytest.mark.parametrize("text", [*BAD_NAMES, "latest", "INV#x", "inv-" + "F" * 32, "ver-" + "0" * 32])
def test_a_bad_id_finds_nothing_in_any_place(text: str) -> None:
    api = Api().deploy()
    good = api.running()
    invocation, execution = api.path(good), api.execution(good).execution_id
    cases = {
        f"/invocations/{text}": "InvocationDoesNotExist",
        f"{api.path()}/{text}": "InvocationDoesNotExist",
        f"{invocation}/executions/{text}": "ExecutionDoesNotExist",
        f"{api.path(function=text)}/{good}": "FunctionDoesNotExist",
        f"/projects/{text}/versions/{api.version_id}/functions/f/invocations/{good}": "ProjectDoesNotExist",
    }
    if text != "latest":
        cases[f"/projects/shop/versions/{text}/functions/f/invocations/{good}"] = "VersionDoesNotExist"
        cases[f"/projects/shop/versions/{text}"] = "VersionDoesNotExist"
    for path, code in cases.items():
        answer = api.get(path)
        assert (answer.status, answer.code) == (404, code)
    assert api.get(f"{invocation}/executions/{execution}").status == 200


# --- bodies ---------------------------------------------------------------------------------------------------------


def send_body(
    api: Api, body: str | None, *, base64_encoded: bool = False, headers: dict[str, str] | None = None
) -> Answer:
    made = event(
        "POST",
        "/projects/shop/versions",
        body=body,
        base64_encoded=base64_encoded,
        headers={**BEARER, **(headers or {})},
    )
    return api.send(made)


BAD_BODIES: dict[str, tuple[str | None, int, str]] = {
    "none": (None, 422, "RequestIsInvalid"),
    "empty": ("", 422, "RequestIsInvalid"),
    "not JSON": ("hello", 400, "RequestIsMalformed"),
    "a form": ("functions=1&x=2", 400, "RequestIsMalformed"),
    "an array": ("[]", 400, "RequestIsMalformed"),
    "a string": ('"x"', 400, "RequestIsMalformed"),
    "null": ("null", 400, "RequestIsMalformed"),
    "a key twice": ('{"functions": [], "functions": []}', 400, "RequestIsMalformed"),
    "NaN": ('{"functions": NaN}', 400, "RequestIsMalformed"),
    "Infinity": ('{"functions": Infinity}', 400, "RequestIsMalformed"),
    "1e309": ('{"functions": 1e309}', 422, "RequestIsInvalid"),
    "10,000 levels": ("[" * 10_000, 400, "RequestIsMalformed"),
    "a byte order mark": ("\ufeff{}", 400, "RequestIsMalformed"),
    "a lone surrogate": ('{"functions": "\ud800"}', 400, "RequestIsMalformed"),
    "an escaped lone surrogate": ('{"default_docker_image": "\\ud800", "functions": [1]}', 422, "RequestIsInvalid"),
    "a NUL": ("\0", 400, "RequestIsMalformed"),
    "one byte over the limit": ("x" * 1_000_001, 413, "RequestIsTooLarge"),
    "10 MB": ("x" * 10_000_000, 413, "RequestIsTooLarge"),
    "a million bytes in half as many characters": ("é" * 500_001, 413, "RequestIsTooLarge"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_is_refused_and_changes_nothing(name: str) -> None:
    text, status, code = BAD_BODIES[name]
    api = Api()
    api.put("/projects/shop")
    commits = api.world.store.commits
    answer = send_body(api, text)
    assert (answer.status, answer.code) == (status, code)
    assert api.world.store.commits == commits
    if text is not None:
        encoded = text.encode("utf-8", "surrogatepass")
        again = send_body(api, base64_text(encoded), base64_encoded=True)
        assert (again.status, again.code) == (status, code)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x1f\x8b\x08\x00" + b"\0" * 100, "not UTF-8"),
        (b"\xff\xfe{\0}\0", "not UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_malformed(data: bytes, words: str) -> None:
    api = Api()
    answer = send_body(api, base64_text(data), base64_encoded=True)
    assert (answer.status, answer.code) == (400, "RequestIsMalformed")
    assert words in answer.detail


def test_a_body_that_is_not_base64_as_announced_is_malformed() -> None:
    for text in ("not base64!", "a", "é"):
        answer = send_body(Api(), text, base64_encoded=True)
        assert (answer.status, answer.code) == (400, "RequestIsMalformed")


def test_a_body_in_base64_is_read_like_any_other() -> None:
    api = Api()
    api.put("/projects/shop")
    body = base64_text(json.dumps(definition()).encode())
    assert send_body(api, body, base64_encoded=True).status == 200


def test_a_compressed_body_is_refused_by_its_header() -> None:
    api = Api()
    answer = send_body(api, "{}", headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (400, "RequestIsMalformed")
    assert "Content-Encoding" in answer.detail
    api.put("/projects/shop")
    assert send_body(api, json.dumps(definition()), headers={"content-encoding": "identity"}).status == 200


def test_a_body_where_none_is_wanted_is_not_looked_at() -> None:
    api = Api()
    assert api.send(event("PUT", "/projects/shop", body="[[[", headers=BEARER)).status == 200


# --- faults of ours -------------------------------------------------------------------------------------------------


def test_a_store_that_does_not_answer_is_a_busy_control_plane() -> None:
    api = Api()
    api.world.store.get = raising(StoreUnavailable("throttled"))  # type: ignore[method-assign]
    answer = api.get("/projects/shop")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "ControlPlaneIsBusy", "1")
    assert answer.body == {
        "detail": "The control plane is busy; send the request again",
        "code": "ControlPlaneIsBusy",
        "request_id": "request-1",
    }


def test_a_fault_of_ours_tells_the_request_id_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    api = Api()
    api.world.store.get = raising(RuntimeError("secret detail"))  # type: ignore[method-assign]
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
    api.world.store.items[key.partition, key.sort] = (1, {"type": "FromTheFuture"})
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
    result: Any = api.handler(made, context)
    assert result["statusCode"] == 404
    api.handler = api_handler.build(
        api_handler.ApiPorts(api.world.context, FakeKeychain(), api.world.logs, FakeWaiter(), None)  # type: ignore[arg-type]
    )
    broken: Any = api.handler({**made, "rawPath": "/", "requestContext": _get(made)}, context)
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
    assert {code: FAILURES[code].status for code in FAILURES if FAILURES[code].fixed} == {
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
    api.world.store.get = raising(Refused(code, "with a detail"))  # type: ignore[method-assign]
    answer = api.get("/projects/shop")
    failure = FAILURES[code]
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
    api.handler = api_handler.build(
        api_handler.ApiPorts(
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


# --- the Lambda function's entry ------------------------------------------------------------------------------------


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Put fakes in the place of AWS; one entry for each time that they are asked for."""
    api = Api()
    built: list[int] = []

    def api_ports() -> api_handler.ApiPorts:
        built.append(1)
        return api.ports

    wiring = types.ModuleType("multinode_control_plane.wiring.aws")
    wiring.api_ports = api_ports  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "multinode_control_plane.wiring.aws", wiring)
    monkeypatch.setattr("multinode_control_plane.wiring.aws", wiring, raising=False)
    api_handler._on_aws.cache_clear()
    yield built
    monkeypatch.undo()
    importlib.reload(api_handler)


def test_the_lambda_entry_builds_its_handler_at_the_first_event_and_once(built: list[int]) -> None:
    assert built == []
    for _ in range(2):
        assert api_handler.handler(event("GET", "/"), None)["statusCode"] == 200
    assert built == [1]


def test_on_lambda_the_handler_is_built_while_the_function_starts(
    built: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "api")
    importlib.reload(api_handler)
    assert built == [1]


@pytest.mark.slow
def test_the_handler_imports_nothing_heavy_and_nothing_that_unpickles() -> None:
    code = (
        "import sys; import multinode_control_plane.handlers.api; "
        "print(','.join(sorted({'boto3', 'botocore.session', 'pydantic', 'pickle', 'cloudpickle', 'multinode', "
        "'urllib3', 'uvicorn', 'sqlite3'} & set(sys.modules))))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == ""
