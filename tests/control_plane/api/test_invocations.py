"""Starting, reading and cancelling invocations over the API."""

import json
from typing import Any

import pytest

from multinode_control_plane.core.keys import input_key, invocation_key
from multinode_control_plane.core.lifecycle import SHORT_TEXT_BYTES
from multinode_control_plane.core.records import Output
from multinode_control_plane.ports import ABSENT, Delete, Put
from tests.support.api_client import FUNCTION, Api

AT = 1767225600
OWN_ID = "inv-" + "a" * 32


def test_a_new_invocation_has_a_slot_at_once_if_one_is_free() -> None:
    api = Api().deploy()
    body = api.post(api.path(), {"input": "[]"}).body
    (execution,) = body["executions"]
    assert (body["status"], body["status_reason"]) == ("PENDING", "launching attempt 1")
    assert (execution["worker_status"], execution["worker_details"]) == ("PENDING", None)


def test_a_new_invocation_waits_when_none_is_free_and_shows_what_was_sent() -> None:
    api = Api().deploy()
    for _ in range(2):  # all of its slots
        api.start()
    answer = api.post(api.path(), {"input": "[[1],{}]"})
    assert answer.status == 200
    body: dict[str, Any] = answer.body
    invocation_id = body["invocation_id"]
    assert body == {
        "project_name": "shop",
        "version_id": api.version_id,
        "function_name": "f",
        "invocation_id": invocation_id,
        "parent_invocation": None,
        "resource_spec": {"virtual_cpus": 0.1, "memory_gbs": 0.25, "max_concurrency": 2},
        "execution_spec": {
            "max_retries": 0,
            "timeout_seconds": 600,
            "max_queue_seconds": None,
            "grace_seconds": 120,
            "retry": {"initial_delay_s": 0.0, "backoff": 2.0, "max_delay_s": 300.0, "jitter": 0.0, "retry_on": None},
        },
        "function_status": "READY",
        "prepared_function_details": None,
        "input": "[[1],{}]",
        "cancellation_request_time": None,
        "invocation_status": "RUNNING",
        "creation_time": AT,
        "last_update_time": AT,
        "executions": [],
        "status": "PENDING",
        "status_reason": "waiting for a free slot: 2 of 2 running",
        "terminated": False,
        "num_failed_attempts": 0,
        "num_failed_launches": 0,
        "result": None,
        "error": None,
        "error_traceback": None,
        "creation_time_ms": AT * 1000,
        "last_update_time_ms": AT * 1000,
        "finish_time_ms": None,
        "revision": "1.0",
    }
    assert api.get(api.path(invocation_id)).body == body
    assert api.get(f"/invocations/{invocation_id}").body == body


def test_a_waiting_invocation_says_how_many_slots_are_taken() -> None:
    api = Api().deploy()
    for _ in range(2):
        api.running()
    waiting = api.start()
    assert api.get(f"/invocations/{waiting}").body["status_reason"] == "waiting for a free slot: 2 of 2 running"


def test_latest_in_a_path_is_the_newest_version_for_start_read_and_list() -> None:
    api = Api().deploy()
    latest = "/projects/shop/versions/latest/functions/f/invocations"
    body = api.post(latest, {"input": "[]"}).body
    assert body["version_id"] == api.version_id
    assert api.get(f"{latest}/{body['invocation_id']}").body == body
    api.deploy()
    assert api.get(f"{latest}/{body['invocation_id']}").code == "InvocationDoesNotExist"
    assert api.get(latest).body["invocations"] == []


def test_a_start_sent_again_is_the_same_invocation_and_with_other_input_another() -> None:
    api = Api().deploy()
    request = {"input": "[[1],{}]", "invocation_id": OWN_ID}
    first = api.post(api.path(), request)
    assert first.body["invocation_id"] == OWN_ID
    assert api.post(api.path(), request).body == first.body
    answer = api.post(api.path(), {**request, "input": "[[2],{}]"})
    assert (answer.status, answer.code) == (409, "InvocationAlreadyExists")


def test_an_invocation_runs_reports_progress_and_succeeds() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    execution = api.execution_path(invocation_id)
    assert api.get(api.path(invocation_id)).body["status"] == "RUNNING"
    api.put(f"{execution}/update", {"latest_output": '"half"', "sequence": 1})
    assert api.get(api.path(invocation_id)).body["result"] == '"half"'
    api.world.advance(2.5)
    api.put(f"{execution}/finish", {"outcome": "SUCCEEDED", "final_output": '"all"'})
    body = api.get(api.path(invocation_id)).body
    assert (body["status"], body["result"], body["error"]) == ("SUCCEEDED", '"all"', None)
    assert (body["terminated"], body["invocation_status"]) == (False, "RUNNING")
    assert body["finish_time_ms"] == AT * 1000 + 2500
    api.world.container_ends(invocation_id)
    body = api.get(api.path(invocation_id)).body
    assert (body["terminated"], body["invocation_status"]) == (True, "TERMINATED")
    (summary,) = body["executions"]
    assert summary == {
        "execution_id": api.execution(invocation_id).execution_id,
        "worker_status": "TERMINATED",
        "worker_details": {
            "type": "TEST",
            "identifier": api.execution(invocation_id).launch_token,
            "logs_identifier": f"{api.execution(invocation_id).launch_token}.jsonl",
        },
        "termination_signal_time": None,
        "outcome": "SUCCEEDED",
        "output": '"all"',
        "error_message": None,
        "creation_time": AT,
        "last_update_time": AT + 2,
        "execution_start_time": AT,
        "execution_finish_time": AT + 2,
        "attempt": 1,
        "error_type": None,
        "error_traceback": None,
        "creation_time_ms": AT * 1000,
        "execution_start_time_ms": AT * 1000,
        "execution_finish_time_ms": AT * 1000 + 2500,
    }


def test_a_failure_shows_the_whole_error_of_the_last_attempt() -> None:
    api = Api().deploy({**FUNCTION, "execution_spec": {"max_retries": 1, "timeout_seconds": 600}})
    invocation_id = api.running()
    for number in (1, 2):
        report = {
            "outcome": "FAILED",
            "error_message": f"ValueError: {'x' * 600}{number}",
            "error_type": "ValueError",
            "error_traceback": f"Traceback {number}",
        }
        api.put(f"{api.execution_path(invocation_id)}/finish", report)
        api.world.container_ends(invocation_id)
        api.world.react()
        if number == 1:
            body = api.get(api.path(invocation_id)).body
            assert (body["error"], body["num_failed_attempts"]) == (None, 1)
            api.put(f"{api.execution_path(invocation_id)}/start", {})
    body = api.get(api.path(invocation_id)).body
    assert (body["status"], body["num_failed_attempts"], body["result"]) == ("FAILED", 2, None)
    assert body["error"] == f"ValueError: {'x' * 600}2"
    assert body["error_traceback"] == "Traceback 2"
    errors = [(one["outcome"], one["error_message"][-1], one["error_type"]) for one in body["executions"]]
    assert errors == [("FAILED", "1", "ValueError"), ("FAILED", "2", "ValueError")]


def test_cancelling_what_waits_ends_it_and_again_is_refused() -> None:
    api = Api().deploy()
    for _ in range(2):  # all of its slots
        api.start()
    invocation_id = api.post(api.path(), {"input": "[]"}).body["invocation_id"]
    body = api.put(f"{api.path(invocation_id)}/cancel").body
    assert (body["status"], body["cancellation_request_time"], body["terminated"]) == ("CANCELLED", AT, True)
    assert body["error"] == "The invocation was cancelled on request"
    for path in (f"{api.path(invocation_id)}/cancel", f"/invocations/{invocation_id}/cancel"):
        answer = api.put(path)
        assert (answer.status, answer.code) == (409, "InvocationIsAlreadyTerminated")
        assert answer.detail == "This invocation has already terminated"


def test_cancelling_what_runs_is_idempotent_until_it_has_ended() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    first = api.put(f"/invocations/{invocation_id}/cancel").body
    assert (first["status"], first["status_reason"]) == ("CANCELLING", "stopping: cancelled on request")
    assert first["executions"][0]["termination_signal_time"] == AT
    assert api.put(f"{api.path(invocation_id)}/cancel").body == first


def test_a_child_shows_its_parent_as_it_stands() -> None:
    api = Api().deploy()
    parent = api.running()
    child = api.start(parent=parent)
    body = api.get(api.path(child)).body
    assert body["parent_invocation"] == {
        "function_name": "f",
        "invocation_id": parent,
        "cancellation_request_time": None,
        "invocation_status": "RUNNING",
        "creation_time": AT,
        "last_update_time": AT,
    }
    stored = api.world.store.get(invocation_key(parent))
    assert stored is not None
    api.world.store.commit([Delete(invocation_key(parent), stored.version)])
    assert api.get(api.path(child)).body["parent_invocation"] is None


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/projects/nope/versions/{v}/functions/f/invocations/{i}", "ProjectDoesNotExist"),
        ("/projects/shop/versions/ver-00/functions/f/invocations/{i}", "VersionDoesNotExist"),
        ("/projects/nope/versions/latest/functions/f/invocations/{i}", "ProjectDoesNotExist"),
        ("/projects/shop/versions/{v}/functions/nope/invocations/{i}", "FunctionDoesNotExist"),
        ("/projects/shop/versions/{v}/functions/g/invocations/{i}", "InvocationDoesNotExist"),
        ("/projects/shop/versions/{v}/functions/f/invocations/x", "InvocationDoesNotExist"),
        ("/projects/shop/versions/{v}/functions/f/invocations/inv-" + "f" * 32, "InvocationDoesNotExist"),
        ("/invocations/x", "InvocationDoesNotExist"),
        ("/invocations/inv-" + "f" * 32, "InvocationDoesNotExist"),
    ],
)
def test_a_wrong_path_says_which_part_of_it_does_not_exist(path: str, code: str) -> None:
    api = Api().deploy(FUNCTION, {**FUNCTION, "function_name": "g"})
    invocation_id = api.start()
    full = path.format(v=api.version_id, i=invocation_id)
    for answer in (api.get(full), api.put(f"{full}/cancel")):
        assert (answer.status, answer.code) == (404, code)
    assert api.world.get(invocation_id).cancellation_requested_at is None


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (None, 422, "RequestIsInvalid"),
        ({"input": 5}, 422, "RequestIsInvalid"),
        ({"input": "x" * 250_001}, 422, "RequestIsInvalid"),
        ({"input": "[]", "invocation_id": "inv-1"}, 422, "RequestIsInvalid"),
        ({"input": "[]", "parent_invocation": {"invocation_id": OWN_ID}}, 400, "ParentFunctionNameIsMissing"),
        ({"input": "[]", "parent_invocation": {"function_name": "f"}}, 400, "ParentInvocationIdIsMissing"),
        (
            {"input": "[]", "parent_invocation": {"function_name": "f", "invocation_id": OWN_ID}},
            400,
            "ParentInvocationDoesNotExist",
        ),
        (
            {
                "input": "[]",
                "invocation_id": OWN_ID,
                "parent_invocation": {"function_name": "f", "invocation_id": OWN_ID},
            },
            400,
            "ParentInvocationDoesNotExist",
        ),
    ],
)
def test_a_bad_start_is_refused_and_starts_nothing(body: object, status: int, code: str) -> None:
    api = Api().deploy()
    answer = api.post(api.path(), body)
    assert (answer.status, answer.code) == (status, code)
    assert api.get(api.path()).body["invocations"] == []


def test_a_start_of_an_unknown_function_or_version_is_not_found() -> None:
    api = Api().deploy()
    assert api.post(api.path(function="nope"), {"input": "[]"}).code == "FunctionDoesNotExist"
    assert api.post("/projects/shop/versions/x/functions/f/invocations", {"input": "[]"}).code == "VersionDoesNotExist"
    assert (
        api.post("/projects/x/versions/latest/functions/f/invocations", {"input": "[]"}).code == "ProjectDoesNotExist"
    )


def test_a_child_of_a_finished_or_foreign_parent_is_refused() -> None:
    api = Api().deploy()
    parent = api.running()
    api.put(f"/invocations/{parent}/cancel")
    reference = {"function_name": "f", "invocation_id": parent}
    answer = api.post(api.path(), {"input": "[]", "parent_invocation": reference})
    assert (answer.status, answer.code) == (409, "ParentInvocationHasEnded")
    other = Api(api.world).deploy(project="other")
    answer = other.post(other.path(project="other"), {"input": "[]", "parent_invocation": reference})
    assert (answer.status, answer.code) == (400, "ParentInvocationDoesNotExist")


def test_a_tree_that_is_too_deep_reaches_a_limit() -> None:
    api = Api().deploy({**FUNCTION, "resource_spec": {**FUNCTION["resource_spec"], "max_concurrency": 50}})
    invocation_id = api.running()
    for _ in range(20):
        invocation_id = api.running(parent=invocation_id)
    reference = {"function_name": "f", "invocation_id": invocation_id}
    answer = api.post(api.path(), {"input": "[]", "parent_invocation": reference})
    assert (answer.status, answer.code) == (429, "LimitIsReached")
    assert "nested 20 deep" in answer.detail


def test_an_input_with_every_awkward_character_comes_back_as_it_was() -> None:
    api = Api().deploy()
    text = "\0\x1b\u202e\U0001f600é\\\"'\n"
    invocation_id = api.start(text)
    assert api.get(api.path(invocation_id)).body["input"] == text


def test_an_invocation_whose_input_is_being_deleted_is_gone_already() -> None:
    api = Api().deploy()
    invocation_id = api.start(f"[[{'7' * SHORT_TEXT_BYTES}],{{}}]")
    api.world.store.commit([Delete(input_key(invocation_id), 1)])
    assert api.get(api.path(invocation_id)).code == "InvocationDoesNotExist"


def many_outputs(api: Api, text: str) -> str:
    """Return an invocation that failed 40 times, each attempt leaving `text` behind."""
    invocation_id = api.running()
    for attempt in range(40):
        execution_id = api.execution(invocation_id).execution_id
        api.world.store.commit([Put(Output(invocation_id, execution_id, 1, text), ABSENT)])
        api.put(
            f"{api.execution_path(invocation_id)}/finish",
            {"outcome": "FAILED", "error_message": f"ValueError: {attempt}"},
        )
        api.world.container_ends(invocation_id)
        api.world.react()
        if attempt < 39:
            api.put(f"{api.execution_path(invocation_id)}/start", {})
    return invocation_id


def test_of_many_big_outputs_the_newest_are_shown_within_lambdas_limit() -> None:
    api = Api().deploy({**FUNCTION, "execution_spec": {"max_retries": 39, "timeout_seconds": 600}})
    invocation_id = many_outputs(api, "x" * 250_000)
    answer = api.get(api.path(invocation_id))
    # 5,800,000 bytes for texts, 250,026 for an output and its error. The newest counts twice, for it is the result
    # too, and (5,800,000 - 13 - 2 * 250,026) / 250,026 = 21.2: 21 more fit.
    shown = [one["output"] is not None for one in answer.body["executions"]]
    assert shown == [False] * 18 + [True] * 22
    assert answer.body["result"] == "x" * 250_000
    assert len(json.dumps(answer.text)) < 6_000_000


def test_the_newest_output_is_always_shown_even_if_nothing_but_control_characters() -> None:
    api = Api().deploy()
    invocation_id = api.start("\x01" * 160_000)
    api.put(f"{api.execution_path(invocation_id)}/start", {})
    text = "\x01" * 160_000
    api.put(f"{api.execution_path(invocation_id)}/finish", {"outcome": "SUCCEEDED", "final_output": text})
    answer = api.get(api.path(invocation_id))
    assert (answer.body["result"], answer.body["executions"][0]["output"]) == (text, text)
    assert len(json.dumps(answer.text)) < 6_291_556
