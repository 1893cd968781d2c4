"""Listing invocations: newest first, in pages, by status and by parent."""

from urllib.parse import quote

import pytest

from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.ports import Delete
from tests.support.api_client import FUNCTION, Api

AT = 1767225600


def started(api: Api, count: int) -> list[str]:
    """Start invocations a second apart and return their ids, newest first."""
    ids = []
    for _ in range(count):
        ids.append(api.post(api.path(), {"input": "[]"}).body["invocation_id"])
        api.world.advance(1)
    return ids[::-1]


def pages(api: Api, query: str = "") -> list[list[str]]:
    """Return the ids of every page, following the offsets."""
    found = []
    offset = ""
    while True:
        body = api.get(api.path(), f"{query}&initial_offset={offset}" if offset else query).body
        found.append([listed["invocation_id"] for listed in body["invocations"]])
        if body["next_offset"] is None:
            return found
        offset = body["next_offset"]
        assert quote(offset, safe="") == offset


def test_a_listing_shows_each_invocation_in_short() -> None:
    api = Api().deploy()
    invocation_id = api.start()
    assert api.get(api.path()).body == {
        "project_name": "shop",
        "version_id": api.version_id,
        "function_name": "f",
        "invocations": [
            {
                "invocation_id": invocation_id,
                "parent_invocation": None,
                "cancellation_request_time": None,
                "invocation_status": "RUNNING",
                "creation_time": AT,
                "last_update_time": AT,
                "status": "PENDING",
                "status_reason": "starting the container of attempt 1",
                "creation_time_ms": AT * 1000,
                "finish_time_ms": None,
                "num_failed_attempts": 0,
            }
        ],
        "next_offset": None,
    }


def test_pages_of_fifty_come_newest_first_and_end_exactly() -> None:
    api = Api().deploy()
    ids = started(api, 101)
    assert pages(api) == [ids[:50], ids[50:100], ids[100:]]
    assert pages(api, "max_results=1000") == [ids[:50], ids[50:100], ids[100:]]
    assert pages(api, "max_results=101")[0] == ids[:50]


@pytest.mark.parametrize(("count", "expected"), [(0, [0]), (3, [3]), (4, [3, 1]), (6, [3, 3])])
def test_the_last_page_has_no_offset_even_when_it_is_full(count: int, expected: list[int]) -> None:
    api = Api().deploy()
    started(api, count)
    assert [len(page) for page in pages(api, "max_results=3")] == expected


def test_what_is_started_between_two_pages_shifts_nothing() -> None:
    api = Api().deploy()
    ids = started(api, 4)
    first = api.get(api.path(), "max_results=2").body
    started(api, 2)
    second = api.get(api.path(), f"max_results=2&initial_offset={first['next_offset']}").body
    assert [listed["invocation_id"] for listed in second["invocations"]] == ids[2:]


def test_each_function_and_version_has_its_own_list() -> None:
    api = Api().deploy(FUNCTION, {**FUNCTION, "function_name": "g"})
    api.start(function="f")
    g = api.start(function="g")
    assert [one["invocation_id"] for one in api.get(api.path(function="g")).body["invocations"]] == [g]
    api.deploy()
    assert api.get(api.path()).body["invocations"] == []


def test_the_status_filter_takes_one_word_or_several() -> None:
    api = Api().deploy({**FUNCTION, "resource_spec": {**FUNCTION["resource_spec"], "max_concurrency": 1}})
    running = api.running()
    waiting = api.start()
    cancelled = api.start()
    api.put(f"/invocations/{cancelled}/cancel")
    assert pages(api, "status=RUNNING") == [[running]]
    assert pages(api, "status=PENDING") == [[waiting]]
    assert pages(api, "status=PENDING,RUNNING") == [[waiting, running]]
    assert pages(api, "status=TERMINATED") == [[cancelled]]
    assert pages(api, "status=TERMINATED,RUNNING") == [[cancelled, running]]
    assert pages(api, "status=SUCCEEDED") == [[]]


def test_a_filter_that_few_pass_gives_short_pages_and_finds_everything() -> None:
    api = Api().deploy()
    ids = started(api, 310)
    for number in (0, 200, 305):
        api.put(f"/invocations/{ids[number]}/cancel")
    # One request looks at 300 rows, the store gives them 51 at a time.
    assert pages(api, "status=CANCELLED") == [[ids[0], ids[200]], [ids[305]]]
    assert pages(api, "status=SUCCEEDED") == [[], []]


def test_children_are_listed_by_their_parent_newest_first() -> None:
    api = Api().deploy(
        {**FUNCTION, "resource_spec": {**FUNCTION["resource_spec"], "max_concurrency": 100}},
        {**FUNCTION, "function_name": "g"},
    )
    parent = api.running()
    children = [api.start(parent=parent) for _ in range(5)][::-1]
    api.start(function="g", parent=parent)
    api.start()
    query = f"parent_function_name=f&parent_invocation_id={parent}"
    assert pages(api, query) == [children]
    assert pages(api, f"{query}&max_results=2") == [children[:2], children[2:4], children[4:]]
    assert api.get(api.path(), query).body["invocations"][0]["parent_invocation"] == {
        "function_name": "f",
        "invocation_id": parent,
    }
    api.put(f"/invocations/{children[3]}/cancel")
    assert pages(api, f"{query}&status=CANCELLED") == [[children[3]]]
    assert pages(api, f"parent_function_name=g&parent_invocation_id={parent}") == [[]]


def test_more_children_than_one_read_of_the_store_gives_are_all_listed() -> None:
    api = Api().deploy()
    parent = api.running()
    children = [api.start(parent=parent) for _ in range(120)][::-1]
    gone = api.world.store.get(invocation_key(children[60]))
    assert gone is not None
    api.world.store.commit([Delete(invocation_key(children[60]), gone.version)])
    del children[60]
    query = f"parent_function_name=f&parent_invocation_id={parent}"
    assert [listed for page in pages(api, query) for listed in page] == children
    assert pages(api, f"{query}&status=SUCCEEDED") == [[]]


def test_the_children_of_nobody_are_none() -> None:
    api = Api().deploy()
    api.start()
    assert pages(api, f"parent_function_name=f&parent_invocation_id=inv-{'f' * 32}") == [[]]


def test_half_a_parent_is_refused_by_the_name_of_the_other_half() -> None:
    api = Api().deploy()
    answer = api.get(api.path(), "parent_function_name=f")
    assert (answer.status, answer.code, answer.detail) == (
        400,
        "ParentInvocationIdIsMissing",
        "The parent invocation ID is missing",
    )
    answer = api.get(api.path(), "parent_invocation_id=inv-1")
    assert (answer.status, answer.code, answer.detail) == (
        400,
        "ParentFunctionNameIsMissing",
        "The parent function name is missing",
    )
    answer = api.get(api.path(), "parent_function_name=f&parent_invocation_id=x")
    assert (answer.status, answer.code) == (400, "ParentInvocationDoesNotExist")


def test_an_offset_belongs_to_its_listing_alone() -> None:
    api = Api().deploy(FUNCTION, {**FUNCTION, "function_name": "g"})
    started(api, 3)
    offset = api.get(api.path(), "max_results=1").body["next_offset"]
    assert api.get(api.path(), f"max_results=2&initial_offset={offset}").status == 200
    for answer in (
        api.get(api.path(function="g"), f"initial_offset={offset}"),
        api.get(api.path(), f"initial_offset={offset}&status=PENDING"),
        api.get(api.path(), f"initial_offset={offset}x"),
        api.get(api.path(), "initial_offset=garbage"),
    ):
        assert (answer.status, answer.code) == (400, "OffsetIsInvalid")
        assert answer.detail == "The next offset is in an invalid format"


@pytest.mark.parametrize(
    "query", ["max_results=0", "max_results=-1", "max_results=x", "max_results=1,1", "status=DONE", "status=running"]
)
def test_bad_parameters_are_refused(query: str) -> None:
    api = Api().deploy()
    answer = api.get(api.path(), query)
    assert (answer.status, answer.code) == (422, "RequestIsInvalid")


def test_a_listing_of_what_does_not_exist_is_not_found() -> None:
    api = Api().deploy()
    assert api.get(api.path(function="nope")).code == "FunctionDoesNotExist"
    assert api.get(api.path(project="nope")).code == "ProjectDoesNotExist"
