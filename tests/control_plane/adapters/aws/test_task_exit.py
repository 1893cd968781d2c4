"""What became of a task, from its event: one row for each way to end that AWS documents, or that people met."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode_control_plane.adapters.aws.task_exit import (
    container_exit,
    execution_id_of,
    invocation_id_of,
    is_stopped,
    worker_of,
)
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import WorkerDetails

SAMPLES = Path(__file__).parents[3] / "support" / "aws" / "task_events"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/multinode-main@sha256:" + "ab" * 32
PULL = "CannotPullContainerError: pull image manifest has been retried {n} time(s): failed to resolve ref " + IMAGE
SECRETS = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
    "unable to retrieve secrets from ssm: "
)


def detail(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    found: dict[str, Any] = event["detail"]
    return found


EXITED, START_FAILED = ExitKind.EXITED, ExitKind.START_FAILED
INTERRUPTED, STOPPED, OUT_OF_MEMORY = ExitKind.INTERRUPTED, ExitKind.STOPPED, ExitKind.OUT_OF_MEMORY
SPOT = "Fargate Spot took the container back"
MEMORY = "the container used more than its 512 MiB of memory"

ENDS = {
    "exited_0": ContainerExit(EXITED, "the container exited", 0),
    "exited_1": ContainerExit(EXITED, "the container exited", 1),
    "exited_with_sidecar_first": ContainerExit(EXITED, "the container exited", 3),
    "killed_by_sigkill": ContainerExit(EXITED, "the container was killed with SIGKILL", 137),
    "out_of_memory": ContainerExit(OUT_OF_MEMORY, MEMORY, 137),
    "out_of_memory_with_exit_0": ContainerExit(OUT_OF_MEMORY, MEMORY, 0),
    "no_exit_code": ContainerExit(INTERRUPTED, "Essential container in task exited (EssentialContainerExited)"),
    "no_containers": ContainerExit(INTERRUPTED, "the platform gave no reason"),
    "agent_lost_sight_of_it": ContainerExit(
        INTERRUPTED,
        "CannotInspectContainerError: Could not transition to inspecting; timed out after waiting 30s",
        0,
    ),
    "image_not_found": ContainerExit(START_FAILED, PULL.format(n=1) + ": not found", permanent=True),
    "image_pull_timed_out": ContainerExit(
        START_FAILED, PULL.format(n=5) + ": failed to do request: dial tcp 10.0.3.4:443: i/o timeout"
    ),
    "secret_denied": ContainerExit(
        START_FAILED,
        SECRETS + "service call has been retried 1 time(s): AccessDeniedException: User: arn:aws:sts::123456789012:"
        "assumed-role/multinode-main-execution/x is not authorized to perform: ssm:GetParameters",
        permanent=True,
    ),
    "secrets_not_reached": ContainerExit(
        START_FAILED,
        SECRETS + "service call has been retried 5 time(s): RequestCanceled: request context canceled caused by: "
        "context deadline exceeded",
    ),
    "network_interface_late": ContainerExit(
        START_FAILED, "Timeout waiting for network interface provisioning to complete."
    ),
    "spot_interrupted": ContainerExit(INTERRUPTED, SPOT, 143),
    "spot_interrupted_without_code": ContainerExit(INTERRUPTED, SPOT, 143),
    "stopped_by_multinode": ContainerExit(STOPPED, "stopped by the control plane", 0),
    "stopped_by_somebody": ContainerExit(INTERRUPTED, "stopped from outside Multinode: Task stopped by user", 143),
    "retired": ContainerExit(
        INTERRUPTED,
        "ECS is performing maintenance on the underlying infrastructure hosting the task (ServiceSchedulerInitiated)",
        143,
    ),
    "unknown_stop_code": ContainerExit(INTERRUPTED, "The host had a bad day (SomethingNew)", 0),
}
GO_ON = ("provisioning", "running", "running_with_injected_sidecar", "spot_notice", "of_a_service", "started_by_hand")


def test_every_sample_is_in_one_of_the_two_lists() -> None:
    assert {path.stem for path in SAMPLES.glob("*.json")} == {*ENDS, *GO_ON}


@pytest.mark.parametrize(("name", "expected"), ENDS.items(), ids=list(ENDS))
def test_each_way_to_end_is_told_apart(name: str, expected: ContainerExit) -> None:
    assert is_stopped(detail(name))
    assert container_exit(detail(name)) == expected


@pytest.mark.parametrize("name", GO_ON)
def test_a_task_that_goes_on_has_not_ended(name: str) -> None:
    assert not is_stopped(detail(name))


@pytest.mark.parametrize(
    ("text", "permanent"),
    [
        ("CannotPullContainerError: pull access denied for shop, repository does not exist or may require login", True),
        ("CannotPullContainerError: image Manifest does not contain descriptor: no match for platform", True),
        ("CannotPullContainerError: toomanyrequests: You have reached your pull rate limit", False),
        ("CannotPullContainerError: failed to register layer: write /app/x: no space left on device", True),
        ("CannotStartContainerError: Error response from daemon: exec: permission denied", True),
        ("CannotStartContainerError: cannot start container: signal: killed", False),
        ("ResourceInitializationError: failed to validate logger args: The specified log group does not exist", True),
        ("ResourceInitializationError: failed to validate logger args: : signal: killed", False),
        ("ResourceInitializationError: unable to pull secrets: invalid ssm parameters: /multinode/x/KEY", True),
        ("ResourceInitializationError: something that nobody has seen yet", False),
        ("Timeout waiting for EphemeralStorage provisioning to complete", False),
    ],
)
def test_only_what_another_try_meets_again_is_permanent(text: str, permanent: bool) -> None:
    task = {"stopCode": "TaskFailedToStart", "stoppedReason": text, "containers": []}
    assert container_exit(task) == ContainerExit(START_FAILED, text, permanent=permanent)


def test_a_failed_start_is_told_by_its_text_when_the_code_is_missing() -> None:
    task = {"stoppedReason": "cannotpullcontainererror: not found", "containers": [{"name": "worker"}]}
    assert container_exit(task).kind is START_FAILED


def test_the_containers_own_reason_explains_more_than_the_tasks() -> None:
    task = {
        "stopCode": "TaskFailedToStart",
        "stoppedReason": "Task failed to start",
        "containers": [{"name": "worker", "reason": "CannotPullContainerError: ref: not found"}],
    }
    assert container_exit(task) == ContainerExit(START_FAILED, "CannotPullContainerError: ref: not found", None, True)


def test_a_long_reason_is_cut() -> None:
    ended = container_exit(
        {"stopCode": "TaskFailedToStart", "stoppedReason": "CannotPullContainerError: " + "x" * 2000}
    )
    assert (len(ended.reason), ended.reason[-2:]) == (600, "x…")


def test_who_a_task_is_comes_from_its_launch() -> None:
    task = detail("running_with_injected_sidecar")
    assert execution_id_of(task) == "exe-0192f3a5b6c77d8e9f00112233445566"
    assert invocation_id_of(task) == "inv-0192f3a5b6c07a1b8c2d3e4f50617283"


@pytest.mark.parametrize("name", ["of_a_service", "started_by_hand"])
def test_a_task_of_somebody_else_is_nobodys_execution(name: str) -> None:
    assert execution_id_of(detail(name)) is None


def test_the_log_stream_follows_from_the_task() -> None:
    arn = "arn:aws:ecs:eu-west-1:123456789012:task/multinode-main/4f1d2c3b5a6948d7bfa0c1d2e3f40516"
    assert worker_of(arn) == WorkerDetails("AWS_ECS", arn, "worker/worker/4f1d2c3b5a6948d7bfa0c1d2e3f40516")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("stopCode", "stoppedReason", "containers", "overrides", "startedBy", "memory", "lastStatus")


@given(st.dictionaries(st.sampled_from(NAMES), anything))
def test_no_task_whatever_its_shape_is_too_strange_to_be_read(task: dict[str, object]) -> None:
    assert isinstance(container_exit(task), ContainerExit)
    assert execution_id_of(task) is None or isinstance(task["startedBy"], str)
    assert invocation_id_of(task) is None
