"""Waiting requests: answered when what they wait for has come, or when their time is over."""

import pytest

from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.ports import Delete
from tests.support.api_client import Api
from tests.support.fakes import FakeWaiter


def waiting(api: Api, meanwhile) -> FakeWaiter:  # type: ignore[no-untyped-def]
    """Let `meanwhile` happen as soon as a request waits."""
    api.waiter.meanwhile = meanwhile
    return api.waiter


def test_without_wait_s_nobody_waits() -> None:
    api = Api().deploy()
    invocation_id = api.start()
    for query in ("", "wait_s=0", "since=1.0", "until=finished"):
        assert api.get(f"/invocations/{invocation_id}", query).status == 200
    assert api.waiter.waits == []


def test_a_request_waits_for_any_change_since_it_came() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    before = api.get(f"/invocations/{invocation_id}").body["revision"]
    waits = waiting(api, lambda: api.put(f"/invocations/{invocation_id}/cancel")).waits
    body = api.get(f"/invocations/{invocation_id}", "wait_s=5").body
    assert (body["status"], waits) == ("CANCELLING", [5])
    assert body["revision"] != before


def test_the_longest_wait_is_twenty_seconds() -> None:
    api = Api().deploy()
    invocation_id = api.start()
    assert api.get(api.path(invocation_id), "wait_s=3600").body["status"] == "PENDING"
    assert api.waiter.waits == [20]


def test_who_has_seen_an_older_revision_is_answered_at_once() -> None:
    api = Api().deploy()
    invocation_id = api.start()
    seen = api.get(f"/invocations/{invocation_id}").body["revision"]
    api.put(f"{api.execution_path(invocation_id)}/start")
    body = api.get(f"/invocations/{invocation_id}", f"wait_s=5&since={seen}").body
    assert (body["status"], api.waiter.waits) == ("RUNNING", [])
    api.get(f"/invocations/{invocation_id}", f"wait_s=5&since={body['revision']}")
    assert api.waiter.waits == [5]


def test_progress_is_a_change_too_and_changes_the_revision_each_time() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    seen = {api.get(f"/invocations/{invocation_id}").body["revision"]}
    for number in (1, 2, 3):
        report = {"latest_output": str(number), "sequence": number}
        waiting(api, lambda report=report: api.put(f"{api.execution_path(invocation_id)}/update", report))
        body = api.get(f"/invocations/{invocation_id}", "wait_s=5").body
        assert body["result"] == str(number)
        seen.add(body["revision"])
    assert len(seen) == 4


def test_a_reading_changes_no_revision() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    revisions = {api.get(f"/invocations/{invocation_id}").body["revision"] for _ in range(3)}
    assert len(revisions) == 1


def test_until_finished_sleeps_through_every_other_change() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    path = api.execution_path(invocation_id)
    waiting(api, lambda: api.put(f"{path}/update", {"latest_output": "1"}))
    body = api.get(f"/invocations/{invocation_id}", "wait_s=5&until=finished&since=0.0").body
    assert (body["status"], api.waiter.waits) == ("RUNNING", [5])
    waiting(api, lambda: api.put(f"{path}/finish", {"outcome": "SUCCEEDED", "final_output": "2"}))
    body = api.get(f"/invocations/{invocation_id}", "wait_s=5&until=finished").body
    assert (body["status"], body["result"]) == ("SUCCEEDED", "2")
    api.get(f"/invocations/{invocation_id}", "wait_s=5&until=finished")
    assert api.waiter.waits == [5, 5]


def test_of_a_terminated_invocation_nothing_more_is_waited_for() -> None:
    api = Api().deploy()
    invocation_id = api.start()
    api.put(f"/invocations/{invocation_id}/cancel")
    api.world.react()
    api.world.container_ends(invocation_id)
    revision = api.get(f"/invocations/{invocation_id}").body["revision"]
    assert api.get(f"/invocations/{invocation_id}", f"wait_s=5&since={revision}").body["terminated"] is True
    assert api.waiter.waits == []


def test_an_invocation_deleted_while_a_request_waits_is_not_found() -> None:
    api = Api().deploy()
    invocation_id = api.start()

    def delete() -> None:
        stored = api.world.store.get(invocation_key(invocation_id))
        assert stored is not None
        api.world.store.commit([Delete(invocation_key(invocation_id), stored.version)])

    waiting(api, delete)
    assert api.get(f"/invocations/{invocation_id}", "wait_s=5").code == "InvocationDoesNotExist"


@pytest.mark.parametrize("query", ["wait_s=x", "wait_s=-1", "wait_s=NaN", "wait_s=1e309", "wait_s=1&until=tomorrow"])
def test_what_cannot_be_waited_for_is_refused(query: str) -> None:
    api = Api().deploy()
    answer = api.get(f"/invocations/{api.start()}", query)
    assert (answer.status, answer.code) == (422, "RequestIsInvalid")
