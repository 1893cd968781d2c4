"""What a worker sends: start, progress, end; once, by the right worker, in the right order."""

import pytest

from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.ports import LaunchRefused
from multinode_protocol.status import AbortReason, Outcome
from tests.support.api_client import FUNCTION, Api

AT = 1767225600
SUCCESS = {"outcome": "SUCCEEDED", "final_output": "1"}
FAILURE = {"outcome": "FAILED", "error_message": "ValueError: no"}


def test_a_worker_reads_its_execution() -> None:
    api = Api().deploy()
    invocation_id = api.start("[[5],{}]")
    api.world.advance(3)
    execution = api.execution(invocation_id)
    assert api.get(api.execution_path(invocation_id)).body == {
        "project_name": "shop",
        "version_id": api.version_id,
        "function_name": "f",
        "invocation_id": invocation_id,
        "execution_id": execution.execution_id,
        "input": "[[5],{}]",
        "cancellation_request_time": None,
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
        "worker_status": "PROVISIONING",
        "worker_details": {
            "type": "TEST",
            "identifier": execution.launch_token,
            "logs_identifier": f"{execution.launch_token}.jsonl",
        },
        "termination_signal_time": None,
        "outcome": None,
        "output": None,
        "error_message": None,
        "creation_time": AT,
        "last_update_time": AT,
        "execution_start_time": None,
        "execution_finish_time": None,
        "invocation_creation_time": AT,
        "attempt": 1,
        "error_type": None,
        "error_traceback": None,
        "creation_time_ms": AT * 1000,
        "execution_start_time_ms": None,
        "execution_finish_time_ms": None,
        "stop_reason": None,
        "remaining_s": None,
    }


def test_the_start_sets_the_clock_of_the_time_out() -> None:
    api = Api().deploy()
    invocation_id = api.start()
    api.world.advance(100)
    body = api.put(f"{api.execution_path(invocation_id)}/start").body
    assert (body["execution_start_time"], body["remaining_s"], body["worker_status"]) == (AT + 100, 600.0, "RUNNING")
    api.world.advance(599.5)
    assert api.get(api.execution_path(invocation_id)).body["remaining_s"] == 0.5
    api.world.advance(5)
    assert api.get(api.execution_path(invocation_id)).body["remaining_s"] == 0.0


def test_a_start_is_answered_again_to_the_same_worker_and_to_no_other() -> None:
    api = Api().deploy()
    invocation_id = api.start()
    path = f"{api.execution_path(invocation_id)}/start"
    first = api.put(path, {"worker_nonce": "one"})
    assert api.put(path, {"worker_nonce": "one"}).body == first.body
    for body in ({"worker_nonce": "two"}, {}, None):
        answer = api.put(path, body)
        assert (answer.status, answer.code) == (409, "ExecutionHasAlreadyStarted")
        assert answer.detail == "This execution has already started"


def test_progress_replaces_progress_unless_it_is_older() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    path = f"{api.execution_path(invocation_id)}/update"
    assert api.put(path, {"latest_output": "5", "sequence": 5}).body["output"] == "5"
    assert api.put(path, {"latest_output": "4", "sequence": 4}).body["output"] == "5"
    assert api.put(path, {"latest_output": "6"}).body["output"] == "6"


def test_reports_out_of_order_are_refused_by_what_the_execution_is() -> None:
    api = Api().deploy()
    invocation_id = api.start()
    path = api.execution_path(invocation_id)
    for call in (f"{path}/update", f"{path}/finish"):
        answer = api.put(call, {"latest_output": "1", **SUCCESS})
        assert (answer.status, answer.code) == (409, "ExecutionHasNotStarted")
    api.put(f"{path}/start")
    assert api.put(f"{path}/finish", SUCCESS).body["outcome"] == "SUCCEEDED"
    answer = api.put(f"{path}/update", {"latest_output": "1"})
    assert (answer.status, answer.code) == (409, "ExecutionHasAlreadyFinished")
    answer = api.put(f"{path}/finish", FAILURE)
    assert (answer.status, answer.code) == (409, "ExecutionHasAlreadyFinished")
    assert api.put(f"{path}/finish", SUCCESS).status == 200
    api.world.container_ends(invocation_id)
    answer = api.put(f"{path}/start")
    assert (answer.status, answer.code) == (409, "ExecutionIsAlreadyTerminated")


def test_a_success_after_the_cancel_stands_and_the_worker_learns_the_stop_reason() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    path = api.execution_path(invocation_id)
    assert api.get(path).body["stop_reason"] is None
    api.put(f"/invocations/{invocation_id}/cancel")
    body = api.get(path).body
    assert (body["stop_reason"], body["cancellation_request_time"]) == ("CANCELLED", AT)
    api.put(f"{path}/finish", SUCCESS)
    assert api.get(f"/invocations/{invocation_id}").body["status"] == "SUCCEEDED"


def test_a_worker_that_is_stopped_for_its_time_reads_so() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    api.world.advance(800)  # the time-out of 600 s, the grace of 120 s and more
    api.world.sweep()
    assert api.get(api.execution_path(invocation_id)).body["stop_reason"] == "TIMED_OUT"


def test_a_cancelled_execution_that_has_not_begun_never_begins() -> None:
    api = Api().deploy()
    invocation_id = api.start()
    api.put(f"/invocations/{invocation_id}/cancel")
    path = api.execution_path(invocation_id)
    assert api.get(path).body["stop_reason"] == "CANCELLED"
    answer = api.put(f"{path}/start")
    assert (answer.status, answer.code) == (409, "ExecutionIsAlreadyTerminated")
    assert answer.detail == "This execution has already terminated"


def test_what_waited_too_long_is_refused_at_its_start() -> None:
    spec = {**FUNCTION, "execution_spec": {"max_retries": 0, "timeout_seconds": 60, "max_queue_seconds": 10}}
    api = Api().deploy(spec)
    invocation_id = api.start()
    api.world.advance(11)
    assert api.put(f"{api.execution_path(invocation_id)}/start").code == "ExecutionIsAlreadyTerminated"
    body = api.get(f"/invocations/{invocation_id}").body
    assert (body["status"], body["error"]) == (
        "TIMED_OUT",
        "The invocation waited longer than its max_queue_time of 10 s",
    )


def test_an_older_execution_is_still_read_by_its_id() -> None:
    api = Api().deploy({**FUNCTION, "execution_spec": {"max_retries": 1, "timeout_seconds": 60}})
    invocation_id = api.running()
    first = api.execution_path(invocation_id)
    api.put(f"{first}/finish", FAILURE)
    api.world.container_ends(invocation_id)
    api.world.react()
    assert api.execution_path(invocation_id) != first
    assert api.get(first).body["error_message"] == "ValueError: no"
    assert api.put(f"{first}/update", {"latest_output": "1"}).code == "ExecutionHasAlreadyFinished"


@pytest.mark.parametrize("execution_id", ["exe-" + "f" * 32, "x", "inv-" + "0" * 32, "%2e%2e%2f"])
def test_an_execution_that_does_not_exist_is_not_found(execution_id: str) -> None:
    api = Api().deploy()
    path = f"{api.path(api.running())}/executions/{execution_id}"
    for answer in (
        api.get(path),
        api.get(f"{path}/logs"),
        api.put(f"{path}/start"),
        api.put(f"{path}/update", {"latest_output": "1"}),
        api.put(f"{path}/finish", SUCCESS),
    ):
        assert (answer.status, answer.code) == (404, "ExecutionDoesNotExist")
        assert answer.detail == "An execution with this ID does not exist for this invocation"


@pytest.mark.parametrize(
    ("end", "body"),
    [
        ("start", {"worker_nonce": 5}),
        ("update", {}),
        ("update", {"latest_output": 5}),
        ("update", {"latest_output": "x" * 250_001}),
        ("update", {"latest_output": "x", "sequence": -1}),
        ("finish", {}),
        ("finish", {"outcome": "DONE"}),
        ("finish", {"outcome": "FAILED"}),
        ("finish", {"outcome": "SUCCEEDED", "error_message": "x"}),
    ],
)
def test_a_report_that_says_it_wrong_changes_nothing(end: str, body: dict[str, object]) -> None:
    api = Api().deploy()
    invocation_id = api.start() if end == "start" else api.running()
    before = api.world.get(invocation_id)
    answer = api.put(f"{api.execution_path(invocation_id)}/{end}", body)
    assert (answer.status, answer.code) == (422, "RequestIsInvalid")
    assert api.world.get(invocation_id) == before


@pytest.mark.parametrize(
    ("identifier", "believed"),
    [
        ("{own}-1", True),
        ("arn:aws:ecs:eu-west-1:1:task/c/1", True),
        ("{own}-x", False),
        ("{own}", False),
        ("exe-" + "e" * 32 + "-1", False),
    ],
)
def test_a_worker_may_tell_its_own_container_and_not_that_of_another_execution(identifier: str, believed: bool) -> None:
    api = Api().deploy()
    # A refused launch leaves an execution whose container is not known.
    api.world.compute.refusals.append(LaunchRefused("no capacity"))
    invocation_id = api.start()
    told = identifier.format(own=api.execution(invocation_id).execution_id)
    body = api.put(f"{api.execution_path(invocation_id)}/start", {"worker_identifier": told}).body
    known = body["worker_details"]
    assert (None if known is None else known["identifier"]) == (told if believed else None)


def test_an_interrupted_attempt_is_a_failed_one_to_its_readers() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    api.world.finish(invocation_id, FinishReport(Outcome.ABORTED, abort_reason=AbortReason.INTERRUPTED))
    api.world.container_ends(invocation_id)
    body = api.get(f"/invocations/{invocation_id}").body
    assert (body["status"], body["num_failed_attempts"]) == ("FAILED", 1)
    assert body["error"] == "the platform stopped the container"
    assert body["executions"][0]["outcome"] == "FAILED"
