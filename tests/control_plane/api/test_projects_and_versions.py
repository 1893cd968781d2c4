"""Projects and versions over the API."""

from collections.abc import Sequence
from math import inf
from typing import Any

from multinode_control_plane.core.keys import project_key
from multinode_control_plane.ports import Check, Conflict, Delete, Write
from tests.support.api_client import FUNCTION, Answer, Api, definition

AT = 1767225600
"""2026-01-01T00:00:00Z, where the fake clock begins, in seconds since the epoch."""


def test_a_project_is_created_read_and_listed_by_name() -> None:
    api = Api()
    shop = {"project_name": "shop", "deletion_request_time": None, "creation_time": AT}
    assert api.put("/projects/shop").body == shop
    api.put("/projects/books")
    assert api.get("/projects/shop").body == shop
    # `p` is the world's own.
    assert [project["project_name"] for project in api.get("/projects").body["projects"]] == ["books", "p", "shop"]


def test_every_project_is_listed_however_many_there_are() -> None:
    api = Api()
    for number in range(205):
        api.put(f"/projects/n{number:03}")
    names = [project["project_name"] for project in api.get("/projects").body["projects"]]
    assert names == [*(f"n{number:03}" for number in range(205)), "p"]


def test_creating_a_project_twice_is_refused() -> None:
    api = Api()
    api.put("/projects/shop")
    answer = api.put("/projects/shop")
    assert (answer.status, answer.code) == (409, "ProjectAlreadyExists")
    assert answer.detail == "A project with this name already exists."


def test_a_name_of_64_characters_is_a_name_and_of_65_too_long() -> None:
    api = Api()
    assert api.put(f"/projects/{'a' * 64}").status == 200
    answer = api.put(f"/projects/{'a' * 65}")
    assert (answer.status, answer.code, answer.detail) == (400, "ProjectNameIsTooLong", "The project name is too long")


def test_deleting_marks_the_project_and_deleting_again_changes_nothing() -> None:
    api = Api()
    api.put("/projects/shop")
    api.world.advance(5)
    marked = {"project_name": "shop", "deletion_request_time": AT + 5, "creation_time": AT}
    assert api.call("DELETE", "/projects/shop").body == marked
    api.world.advance(5)
    commits = api.world.store.commits
    assert api.call("DELETE", "/projects/shop").body == marked
    assert api.world.store.commits == commits
    assert api.get("/projects/shop").body == marked


def test_a_project_that_is_being_deleted_takes_nothing_new() -> None:
    api = Api().deploy()
    api.call("DELETE", "/projects/shop")
    for answer in (
        api.put("/projects/shop"),
        api.post("/projects/shop/versions", definition()),
        api.post(api.path(), {"input": "[]"}),
    ):
        assert (answer.status, answer.code) == (400, "ProjectIsBeingDeleted")
        assert answer.detail == "The project is being deleted"
    assert api.get(f"/projects/shop/versions/{api.version_id}").status == 200


def test_a_project_that_does_not_exist_is_not_found() -> None:
    api = Api()
    for answer in (
        api.get("/projects/shop"),
        api.call("DELETE", "/projects/shop"),
        api.get("/projects/shop/versions"),
        api.get("/projects/shop/versions/latest"),
        api.get("/projects/shop/versions/ver-" + "0" * 32),
        api.post("/projects/shop/versions", definition()),
        api.get("/projects/-x/versions/latest"),
    ):
        assert (answer.status, answer.code) == (404, "ProjectDoesNotExist")
        assert answer.detail == "A project with this name does not exist"


def test_a_version_is_registered_with_the_defaults_and_read_back() -> None:
    api = Api()
    api.put("/projects/shop")
    expected: dict[str, Any] = {
        "project_name": "shop",
        "version_id": "ver-" + "0" * 31 + "1",
        "creation_time": AT,
        "functions": [
            {
                "function_name": "f",
                "docker_image": "image",
                "resource_spec": {"virtual_cpus": 0.1, "memory_gbs": 0.25, "max_concurrency": 2},
                "execution_spec": {
                    "max_retries": 0,
                    "timeout_seconds": 600,
                    "max_queue_seconds": None,
                    "grace_seconds": 120,
                    "retry": {
                        "initial_delay_s": 0.0,
                        "backoff": 2.0,
                        "max_delay_s": 300.0,
                        "jitter": 0.0,
                        "retry_on": None,
                    },
                },
                "function_status": "READY",
                "prepared_function_details": None,
                "description": None,
                "signature": None,
                "schedule": None,
            }
        ],
        "local_bundle": None,
        "task_definition": None,
    }
    assert api.post("/projects/shop/versions", definition()).body == expected
    assert api.get("/projects/shop/versions/ver-" + "0" * 31 + "1").body == expected
    assert api.get("/projects/shop/versions/latest").body == expected


def test_a_version_with_everything_is_read_back_as_it_was_sent() -> None:
    api = Api()
    api.put("/projects/shop")
    retry = {"initial_delay_s": 1.0, "backoff": 3.0, "max_delay_s": 9.0, "jitter": 0.5, "retry_on": ["ValueError"]}
    bundle = {"code_dir": "/code", "python": "/python", "env_file": None}
    spec = {
        **FUNCTION,
        "docker_image_override": "other",
        "execution_spec": {
            "max_retries": 3,
            "timeout_seconds": 60,
            "max_queue_seconds": 30,
            "grace_seconds": 5,
            "retry": retry,
        },
        "description": "Adds.",
        "signature": ["x", "y="],
    }
    body = {**definition(spec), "local_bundle": bundle, "task_definition": "arn:task"}
    answer = api.post("/projects/shop/versions", body).body
    (function,) = answer["functions"]
    assert (answer["local_bundle"], answer["task_definition"]) == (bundle, "arn:task")
    assert function["docker_image"] == "other"
    assert function["execution_spec"] == spec["execution_spec"]
    assert function["prepared_function_details"] == {"type": "AWS_ECS", "identifier": "arn:task"}
    assert (function["description"], function["signature"]) == ("Adds.", ["x", "y="])


def test_latest_is_the_newest_version_and_versions_are_listed_newest_first() -> None:
    api = Api().deploy()
    first = api.version_id
    api.world.advance(60)
    second = api.deploy().version_id
    assert api.get("/projects/shop/versions/latest").body["version_id"] == second
    assert api.get("/projects/shop/versions").body == {
        "project_name": "shop",
        "versions": [
            {"version_id": second, "creation_time": AT + 60},
            {"version_id": first, "creation_time": AT},
        ],
    }


def test_a_version_that_does_not_exist_is_not_found() -> None:
    api = Api()
    api.put("/projects/empty")
    foreign = api.deploy().version_id
    for path in (
        "/projects/empty/versions/latest",
        f"/projects/empty/versions/{foreign}",
        "/projects/shop/versions/ver-" + "f" * 32,
        "/projects/shop/versions/x",
        "/projects/shop/versions/LATEST",
    ):
        answer = api.get(path)
        assert (answer.status, answer.code) == (404, "VersionDoesNotExist")
    assert api.get("/projects/empty/versions").body["versions"] == []


def test_a_bad_version_is_refused_and_nothing_is_stored() -> None:
    api = Api()
    api.put("/projects/shop")
    answer = api.post("/projects/shop/versions", definition({**FUNCTION, "function_name": "a-b"}))
    assert (answer.status, answer.code) == (422, "RequestIsInvalid")
    assert '`functions[0].function_name` is "a-b"' in answer.detail
    assert api.get("/projects/shop/versions").body["versions"] == []


def test_a_version_too_big_for_one_stored_item_is_refused() -> None:
    api = Api()
    api.put("/projects/shop")
    parameters = ["x" * 200] * 255  # 51,000 characters and more, ten times
    functions = [{**FUNCTION, "function_name": f"f{number}", "signature": parameters} for number in range(10)]
    answer = api.post("/projects/shop/versions", definition(*functions))
    assert (answer.status, answer.code) == (422, "RequestIsInvalid")
    assert "`functions` take 5" in answer.detail
    assert answer.detail.endswith("allowed: at most 350000 bytes")


def test_a_deploy_that_races_with_a_deletion_stores_no_version() -> None:
    api = Api()
    api.put("/projects/shop")

    def deleted_just_before(writes: Sequence[Write]) -> None:
        assert any(isinstance(write, Check) for write in writes)
        api.call("DELETE", "/projects/shop")

    api.world.store.before("commit", deleted_just_before)
    answer = api.post("/projects/shop/versions", definition())
    assert (answer.status, answer.code) == (400, "ProjectIsBeingDeleted")
    assert api.get("/projects/shop/versions").body["versions"] == []


def test_two_creations_at_once_give_one_project_and_one_refusal() -> None:
    api = Api()
    others: list[Answer] = []
    api.world.store.before("commit", lambda _: others.append(api.put("/projects/shop")))
    assert api.put("/projects/shop").code == "ProjectAlreadyExists"
    assert [other.status for other in others] == [200]


def test_a_deletion_that_meets_a_conflict_is_decided_anew() -> None:
    api = Api()
    api.put("/projects/shop")
    store = api.world.store
    store.before("commit", lambda _: store.commit([Delete(project_key("shop"), 1)]))
    assert api.call("DELETE", "/projects/shop").code == "ProjectDoesNotExist"


def test_a_store_full_of_conflicts_is_a_busy_control_plane() -> None:
    api = Api()
    api.world.store.fail_next("commit", Conflict("another was first"), times=inf)
    answer = api.put("/projects/shop")
    assert (answer.status, answer.code) == (503, "ControlPlaneIsBusy")
    assert answer.headers["retry-after"] == "1"
    assert answer.body["request_id"] == "request-1"
