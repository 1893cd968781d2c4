"""Who may do what: API keys everything, an execution's token its own work and its children, others nothing."""

import hashlib
import hmac

import pytest

from multinode_control_plane.api.dispatch import ROUTES
from multinode_control_plane.core.tokens import TokenScope, sign
from tests.support.api_client import FUNCTION, KEY, Answer, Api, definition, event
from tests.support.fakes import FakeKeychain

MANY = {**FUNCTION, "resource_spec": {**FUNCTION["resource_spec"], "max_concurrency": 100}}
SUCCESS = {"outcome": "SUCCEEDED"}
PARAMETERS = {
    "<project_name>": "shop",
    "<version>": "latest",
    "<function_name>": "f",
    "<invocation_id>": "inv-" + "0" * 32,
    "<execution_id>": "exe-" + "0" * 32,
}


def everywhere(api: Api, authorization: str | None) -> list[Answer]:
    """Return the answer of every route that needs a key, called with this header."""
    answers = []
    for route in ROUTES:
        path = route.rule
        for name, value in PARAMETERS.items():
            path = path.replace(name, value)
        if path != "/":
            headers = {} if authorization is None else {"authorization": authorization}
            answers.append(api.send(event(route.method, path, body="{", headers=headers)))
    assert len(answers) == 21
    return answers


BAD_AUTHORIZATIONS = {
    "none": None,
    "empty": "",
    "a bare key": KEY,
    "Basic": "Basic dXNlcjpwYXNz",
    "an empty Bearer": "Bearer ",
    "Bearer alone": "Bearer",
    "an unknown key id": "Bearer mn_ffffffff_" + "k" * 43,
    "a known key id with another secret": "Bearer mn_00000001_" + "K" * 43,
    "the key cut short": f"Bearer {KEY[:-1]}",
    "the key and more": f"Bearer {KEY}k",
    "the key twice": f"Bearer {KEY},Bearer {KEY}",
    "two keys in one": f"Bearer {KEY} {KEY}",
    "the hash instead of the key": f"Bearer {hashlib.sha256(KEY.encode()).hexdigest()}",
    "64 kB": "Bearer mn_00000001_" + "k" * 65_536,
    "letters of another alphabet": "Bearer mn_00000001_" + "ｋ" * 43,
    "a lone surrogate": "Bearer mn_00000001_\ud800",
    "a NUL": f"Bearer {KEY}\0",
    "no token": "Bearer mnx_",
    "a token without a signature": "Bearer mnx_W10_" + "A" * 43,
    "a token of another deployment": "Bearer " + sign(b"o" * 32, TokenScope("shop", "v", "f", "i", "e")),
    "a token for what does not exist": "Bearer " + sign(b"s" * 32, TokenScope("shop", "v", "f", "i", "e")),
}


@pytest.mark.parametrize("name", BAD_AUTHORIZATIONS)
def test_without_a_valid_key_every_route_is_closed_whatever_else_is_sent(name: str) -> None:
    api = Api().deploy()
    answers = everywhere(api, BAD_AUTHORIZATIONS[name])
    reports = {index for index, route in enumerate(ROUTES[1:]) if route.access == "REPORTING"}
    for index, answer in enumerate(answers):
        if name == "a token for what does not exist" and index in reports:
            # It is told nothing but that there is no such thing.
            assert (answer.status, answer.code) == (404, "InvocationDoesNotExist")
            continue
        assert (answer.status, answer.code) == (403, "ApiKeyIsInvalid")
        assert answer.detail == "The API key is invalid"


def test_health_needs_no_key_and_tells_little() -> None:
    answer = Api().send(event("GET", "/", headers={}))
    assert (answer.status, answer.body) == (200, {"status": "healthy", "backend": "local", "api_version": 1})


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_written_in_any_case_and_so_may_the_header(scheme: str) -> None:
    api = Api()
    assert api.send(event("GET", "/projects", headers={"AUTHORIZATION": f"{scheme} {KEY}"})).status == 200


def test_of_two_active_secrets_of_a_key_both_open_and_a_revoked_one_does_not() -> None:
    api = Api()
    second = "mn_00000001_" + "z" * 43
    assert api.call("GET", "/projects", authorization=f"Bearer {second}").status == 403
    api.keychain.keys = (KEY, second)
    assert api.call("GET", "/projects", authorization=f"Bearer {second}").status == 200
    assert api.call("GET", "/projects", authorization=f"Bearer {KEY}").status == 200
    api.keychain.keys = (second,)
    assert api.call("GET", "/projects", authorization=f"Bearer {KEY}").status == 403


def test_the_keychain_is_asked_by_id_and_unknown_ids_are_compared_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[str, str]] = []
    compare = hmac.compare_digest

    def noting(one, other):  # type: ignore[no-untyped-def]
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    unknown = "mn_ffffffff_" + "k" * 43
    for key in (KEY, unknown):
        Api().call("GET", "/projects", authorization=f"Bearer {key}")
    known_hash = FakeKeychain().key_hashes("00000001")[0]
    assert compared == [
        (known_hash, known_hash),
        (hashlib.sha256(unknown.encode()).hexdigest(), "0" * 64),
    ]


# --- an execution's token -------------------------------------------------------------------------------------------


def test_an_execution_reports_its_own_start_progress_and_end() -> None:
    api = Api().deploy()
    invocation_id = api.start()
    worker = api.with_token(invocation_id)
    path = api.execution_path(invocation_id)
    assert worker.get(path).status == 200
    assert worker.put(f"{path}/start").status == 200
    assert worker.put(f"{path}/update", {"latest_output": "1"}).status == 200
    assert worker.put(f"{path}/finish", SUCCESS).status == 200


def test_an_execution_may_not_speak_for_another_of_any_kind() -> None:
    api = Api().deploy(MANY)
    first, second = api.running(), api.running()
    child = api.start(parent=first)
    worker = api.with_token(first)
    for path, code in (
        (api.execution_path(second), "InvocationDoesNotExist"),
        (api.execution_path(child), "InvocationDoesNotExist"),
        (f"{api.path(first)}/executions/exe-{'f' * 32}", "ExecutionDoesNotExist"),
        (api.execution_path(first).replace("/shop/", "/p/"), "ProjectDoesNotExist"),
    ):
        for answer in (
            worker.get(path),
            worker.put(f"{path}/start"),
            worker.put(f"{path}/update", {"latest_output": "1"}),
            worker.put(f"{path}/finish", SUCCESS),
        ):
            assert (answer.status, answer.code) == (404, code)
    assert api.world.get(second).status == "RUNNING"


def test_the_token_of_an_earlier_attempt_reports_nothing_for_a_later_one() -> None:
    api = Api().deploy({**MANY, "execution_spec": {"max_retries": 1, "timeout_seconds": 600}})
    invocation_id = api.running()
    zombie = api.with_token(invocation_id)
    first = api.execution_path(invocation_id)
    api.world.container_ends(invocation_id, code=1)
    api.world.react()
    api.put(f"{api.execution_path(invocation_id)}/start")
    for path, code, status in (
        (first, "ExecutionIsAlreadyTerminated", 409),
        (api.execution_path(invocation_id), "ExecutionDoesNotExist", 404),
    ):
        answer = zombie.put(f"{path}/finish", SUCCESS)
        assert (answer.status, answer.code) == (status, code)
    assert api.get(f"/invocations/{invocation_id}").body["status"] == "RUNNING"


def test_a_token_ends_with_its_execution() -> None:
    api = Api().deploy()
    parent = api.running()
    child = api.start(parent=parent)
    worker = api.with_token(parent)
    path = api.execution_path(parent)
    worker.put(f"{path}/finish", SUCCESS)
    assert worker.get(f"/invocations/{child}").status == 200
    api.world.container_ends(parent)
    for answer in (
        worker.get(path),
        worker.get(f"/invocations/{child}"),
        worker.put(f"/invocations/{child}/cancel"),
        worker.get(f"/invocations/{child}/logs"),
        worker.get(api.path()),
        worker.post(api.path(), {"input": "[]"}),
        worker.get("/projects/shop/versions/latest"),
    ):
        assert (answer.status, answer.code) == (403, "ApiKeyIsInvalid")
    # Its reports are answered with what it needs to know to give up.
    answer = worker.put(f"{path}/update", {"latest_output": "1"})
    assert (answer.status, answer.code) == (409, "ExecutionHasAlreadyFinished")
    assert worker.put(f"{path}/finish", SUCCESS).status == 200
    assert worker.put(f"{path}/finish", {"outcome": "ABORTED"}).code == "ExecutionHasAlreadyFinished"


def test_what_an_execution_starts_is_its_child_whether_it_says_so_or_not() -> None:
    api = Api().deploy(MANY)
    parent = api.running()
    worker = api.with_token(parent)
    reference = {"function_name": "f", "invocation_id": parent}
    for body in ({"input": "[]"}, {"input": "[]", "parent_invocation": reference}):
        child = worker.post(api.path(), body).body
        assert child["parent_invocation"]["invocation_id"] == parent
    for foreign in (
        {"function_name": "g", "invocation_id": parent},
        {"function_name": "f", "invocation_id": api.running()},
    ):
        answer = worker.post(api.path(), {"input": "[]", "parent_invocation": foreign})
        assert (answer.status, answer.code) == (400, "ParentInvocationDoesNotExist")


def test_an_execution_reads_lists_cancels_and_follows_its_own_children_alone() -> None:
    api = Api().deploy(MANY)
    parent = api.running()
    child, stranger = api.running(parent=parent), api.running()
    grandchild = api.start(parent=child)
    api.world.logs.write(api.execution(child), "line")
    worker = api.with_token(parent)
    assert worker.get(api.path(child)).status == 200
    assert worker.get(f"/invocations/{child}", "wait_s=1").status == 200
    assert worker.get(f"/invocations/{child}/logs").body["lines"][0]["message"] == "line"
    assert worker.get(f"{api.execution_path(child)}/logs").body["log_lines"] == ["line"]
    assert [one["invocation_id"] for one in worker.get(api.path()).body["invocations"]] == [child]
    for other in (stranger, grandchild, parent):
        for answer in (
            worker.get(api.path(other)),
            worker.get(f"/invocations/{other}"),
            worker.get(f"/invocations/{other}/logs"),
            worker.get(f"{api.path(other)}/executions/{api.execution(other).execution_id}/logs"),
            worker.put(f"{api.path(other)}/cancel"),
            worker.put(f"/invocations/{other}/cancel"),
        ):
            assert (answer.status, answer.code) == (404, "InvocationDoesNotExist")
    query = f"parent_function_name=f&parent_invocation_id={child}"
    assert worker.get(api.path(), query).code == "ParentInvocationDoesNotExist"
    cancelled = worker.put(f"{api.path(child)}/cancel").body
    assert cancelled["status_reason"] == "stopping: cancelled by its parent"
    assert api.world.get(stranger).cancellation_requested_at is None


def test_an_execution_reads_its_projects_versions_without_their_code_paths() -> None:
    api = Api()
    api.put("/projects/shop")
    bundle = {"code_dir": "/code", "python": "/python", "env_file": "/secret"}
    body = {**definition(MANY), "local_bundle": bundle, "task_definition": "arn"}
    api.version_id = api.post("/projects/shop/versions", body).body["version_id"]
    worker = api.with_token(api.running())
    for reference in (api.version_id, "latest"):
        version = worker.get(f"/projects/shop/versions/{reference}").body
        assert version["functions"][0]["function_name"] == "f"
        assert "local_bundle" not in version
        assert "task_definition" not in version
    answer = worker.get("/projects/p/versions/ver-1")
    assert (answer.status, answer.code) == (404, "ProjectDoesNotExist")


def test_everything_else_is_closed_to_an_execution() -> None:
    api = Api().deploy(MANY)
    worker = api.with_token(api.running())
    for answer in (
        worker.get("/deployment"),
        worker.get("/container_repository_credentials"),
        worker.get("/projects"),
        worker.get("/projects/shop"),
        worker.put("/projects/new"),
        worker.call("DELETE", "/projects/shop"),
        worker.get("/projects/shop/versions"),
        worker.post("/projects/shop/versions", definition()),
    ):
        assert (answer.status, answer.code) == (403, "ApiKeyIsInvalid")
    foreign = Api(api.world).deploy(project="other")
    assert worker.post(foreign.path(project="other"), {"input": "[]"}).code == "ProjectDoesNotExist"
    assert worker.get(foreign.path(project="other")).code == "ProjectDoesNotExist"


def test_an_execution_of_a_deleted_invocation_is_nobody() -> None:
    from multinode_control_plane.core.keys import invocation_key
    from multinode_control_plane.ports import Delete

    api = Api().deploy()
    invocation_id = api.running()
    worker = api.with_token(invocation_id)
    stored = api.world.store.get(invocation_key(invocation_id))
    assert stored is not None
    api.world.store.commit([Delete(invocation_key(invocation_id), stored.version)])
    assert worker.get("/projects/shop/versions/latest").status == 403
