"""The handlers together, as AWS calls them: from the start of an invocation to its end, each event once or twice."""

import importlib.metadata
from collections.abc import Iterator

import pytest

from multinode_control_plane.core.keys import invocation_key
from multinode_control_plane.core.records import ParentRef
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.ports import Delete
from multinode_control_plane.services import invocations
from multinode_protocol.status import InvocationStatus, Outcome
from tests.support.aws.walk import Walk, walking

pytestmark = pytest.mark.slow(about_s=30)

INV = "inv-0192f3a5b6c07a1b8c2d3e4f50617283"


@pytest.fixture(params=[False, True], ids=["each event once", "each event twice"])
def walk(request: pytest.FixtureRequest) -> Iterator[Walk]:
    with walking(twice=request.param) as walked:
        yield walked


def statuses(walk: Walk) -> list[str]:
    """Return what was announced, each status once: an announcement may come twice."""
    return list(dict.fromkeys(detail["status"] for detail in walk.announced))


def test_an_invocation_runs_from_start_to_end(walk: Walk) -> None:
    walk.start(INV)
    walk.settle()
    (task,) = walk.tasks()
    environment = {pair["name"]: pair["value"] for pair in task["overrides"]["containerOverrides"][0]["environment"]}
    assert environment["MULTINODE_INVOCATION_ID"] == INV
    assert environment["MULTINODE_API_URL"] == "https://api.example"
    execution_id = task["startedBy"]
    assert walk.slots() == {execution_id: INV}
    walk.run(INV)
    walk.finish(INV)
    walk.ended(execution_id)
    walk.settle()
    done = walk.get(INV)
    assert (done.status, done.terminated, done.due_at) == (InvocationStatus.SUCCEEDED, True, None)
    assert walk.slots() == {}
    assert len(walk.tasks()) == 1
    assert statuses(walk) == ["PENDING", "RUNNING", "SUCCEEDED"]


def test_the_api_serves_users_and_workers_over_the_same_adapters(walk: Walk) -> None:
    assert walk.call("GET", "/deployment") == (
        200,
        {
            "backend": "ecs",
            "api_version": 1,
            "multinode_version": importlib.metadata.version("multinode"),
            "deployment_name": "walk",
            "region": "eu-west-1",
            "account_id": "123456789012",
        },
    )
    functions = "/projects/shop/versions/latest/functions/price/invocations"
    status, started = walk.call("POST", functions, {"input": "[[7],{}]", "invocation_id": INV})
    assert (status, started["status"]) == (200, "PENDING")
    walk.settle()
    (task,) = walk.tasks()
    token = walk.token(task)
    execution = f"/projects/shop/versions/ver-1/functions/price/invocations/{INV}/executions/{task['startedBy']}"
    assert walk.call("PUT", f"{execution}/start", {"worker_nonce": "n"}, key=token)[0] == 200
    finished = {"outcome": "SUCCEEDED", "final_output": "42"}
    assert walk.call("PUT", f"{execution}/finish", finished, key=token)[0] == 200
    assert walk.call("GET", "/projects", key=token)[0] == 403
    walk.ended(task["startedBy"])
    walk.settle()
    status, done = walk.call("GET", f"/invocations/{INV}?wait_s=20&until=finished")
    assert (status, done["status"], done["result"], done["terminated"]) == (200, "SUCCEEDED", "42", True)
    # The token has ended with its execution.
    assert walk.call("POST", functions, {"input": "[[7],{}]"}, key=token)[0] == 403
    status, logs = walk.call("GET", f"/invocations/{INV}/logs")
    assert (status, logs["lines"]) == (200, [])


def test_a_container_that_dies_is_replaced_and_a_second_death_is_the_end(walk: Walk) -> None:
    walk.start(INV)
    walk.settle()
    for _ in range(2):
        execution_id = walk.run(INV)
        walk.ended(execution_id, code=137)
        walk.settle()
    done = walk.get(INV)
    assert done.status is InvocationStatus.FAILED
    assert done.last_failure == "the container was killed with SIGKILL (exit code 137)"
    assert (len(walk.tasks()), walk.slots()) == (2, {})


def test_no_more_containers_run_than_the_function_has_slots(walk: Walk) -> None:
    ids = [f"inv-{number:032x}" for number in range(5)]
    for invocation_id in ids:
        walk.start(invocation_id)
    walk.settle()
    assert sorted(walk.slots().values()) == ids[:2]
    assert len(walk.tasks()) == 2
    walk.ended(walk.run(ids[0]), code=0)
    walk.settle()
    # Its container ended without a report: it has one retry, and waits behind nobody older.
    assert len(walk.slots()) == 2


def test_a_failed_parent_takes_its_subtasks_along_and_their_containers_are_stopped(walk: Walk) -> None:
    child = "inv-0192f3a5b6c07a1b8c2d3e4f506172ff"
    walk.start(INV)
    walk.settle()
    parent_execution = walk.run(INV)
    walk.start(child, ParentRef("price", INV))
    walk.settle()
    child_execution = walk.run(child)
    walk.finish(INV, FinishReport(Outcome.FAILED, error_message="ValueError: no", retryable=False))
    walk.ended(parent_execution, code=0)
    walk.settle()
    assert walk.get(child).cancellation_requested_at is not None
    (task,) = [task for task in walk.tasks() if task["startedBy"] == child_execution]
    assert (task["desiredStatus"], task["stoppedReason"]) == ("STOPPED", "multinode: stopped by the control plane")
    walk.task_event(child_execution, lastStatus="STOPPED", stopCode="UserInitiated", stoppedReason="multinode: x")
    walk.settle()
    assert walk.get(child).status is InvocationStatus.CANCELLED
    assert walk.slots() == {}


def test_an_image_that_does_not_exist_ends_the_invocation_in_the_platforms_words(walk: Walk) -> None:
    walk.start(INV)
    walk.settle()
    (task,) = walk.tasks()
    reason = (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref: not found"
    )
    walk.task_event(task["startedBy"], lastStatus="STOPPED", stopCode="TaskFailedToStart", stoppedReason=reason)
    walk.settle()
    done = walk.get(INV)
    assert (done.status, done.status_reason) == (InvocationStatus.FAILED, reason)


def test_an_event_that_was_lost_is_made_up_for_by_the_sweep(walk: Walk) -> None:
    walk.start(INV)
    walk.settle()
    execution_id = walk.run(INV)
    walk.finish(INV)
    walk.settle()
    (task,) = walk.tasks()
    walk.ecs.end(task["taskArn"], "InfrastructureHealth", "the host went away", exit_code=137)
    assert walk.get(INV).terminated is False
    counts = walk.sweep()
    assert (counts["failed"], counts["draining"]) == (0, 0)
    walk.settle()
    assert (walk.get(INV).terminated, walk.slots()) == (True, {})
    assert execution_id == task["startedBy"]


def test_a_container_that_nobody_knows_is_stopped_by_the_sweep(walk: Walk) -> None:
    walk.start(INV)
    walk.settle()
    invocations.cancel(walk.context, INV, "asked by the user")
    stored = walk.context.store.get(invocation_key(INV))
    assert stored is not None
    walk.context.store.commit([Delete(invocation_key(INV), stored.version)])
    walk.sweep()
    assert [task["desiredStatus"] for task in walk.tasks()] == ["STOPPED"]


def test_what_is_left_of_an_invocation_goes_when_it_has_expired(walk: Walk) -> None:
    walk.start(INV)
    walk.settle()
    execution_id = walk.run(INV)
    walk.finish(INV)
    walk.ended(execution_id)
    stored = walk.context.store.get(invocation_key(INV))
    assert stored is not None
    walk.context.store.commit([Delete(invocation_key(INV), stored.version)])
    walk.settle()
    left = walk.clients.dynamodb.scan(TableName="multinode-walk")["Items"]
    assert [item["partition"]["S"] for item in left if item["partition"]["S"].startswith("INV#")] == []
