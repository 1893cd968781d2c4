"""Whatever is sent, by path, name, id or body, the answer has the fitting status, and bad input has no effect."""

import json

import pytest

from tests.support.api_client import KEY, Answer, Api, base64_text, definition, event

BEARER = {"authorization": f"Bearer {KEY}"}


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
