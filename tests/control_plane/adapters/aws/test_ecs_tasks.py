"""Tasks on ECS after their launch: stopped, described, found, listed."""

from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.ecs import EcsCompute, EcsSettings
from multinode_control_plane.adapters.aws.rate_limiter import RateLimiter
from multinode_control_plane.adapters.aws.task_exit import worker_of
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.records import WorkerDetails
from multinode_control_plane.ports import ContainerState
from tests.support.aws.records import EXECUTION_ID, INVOCATION_ID, NOW, TASK_ARN, execution, launch_request
from tests.support.fakes import FakeClock

pytestmark = pytest.mark.slow

CLUSTER = "multinode-main"


@pytest.fixture
def compute(clients: Clients, sleep: Callable[[float], None]) -> EcsCompute:
    """The compute over moto, with a cluster and a task definition."""
    clients.ecs.create_cluster(clusterName=CLUSTER)
    clients.ecs.register_task_definition(
        family="multinode-main-tsp",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "worker", "image": "repository@sha256:0", "memory": 512}],
    )
    network: Any = botocore.session.get_session().create_client("ec2")
    (subnet, *_) = network.describe_subnets()["Subnets"]
    (group, *_) = network.describe_security_groups()["SecurityGroups"]
    settings = EcsSettings(CLUSTER, (subnet["SubnetId"],), (group["GroupId"],), assign_public_ip=True)
    return EcsCompute(clients, settings, FakeClock(NOW), rate_limiter=RateLimiter(10_000, 10_000), sleep=sleep)


def launch(compute: EcsCompute, number: int = 1) -> WorkerDetails:
    """Start the container of the execution with that number."""
    return compute.launch(
        launch_request(
            token=f"exe-{number:032x}-1",
            execution=execution(worker=None, execution_id=f"exe-{number:032x}"),
            task_definition="multinode-main-tsp:1",
            environment={"MULTINODE_INVOCATION_ID": f"inv-{number:032x}"},
        )
    )


def alive(worker: WorkerDetails, number: int = 1) -> ContainerState:
    return ContainerState(worker, f"exe-{number:032x}", None, f"inv-{number:032x}")


def test_a_launched_container_is_described_with_all_that_it_belongs_to(compute: EcsCompute) -> None:
    worker = launch(compute)
    assert list(compute.describe([worker])) == [alive(worker)]


def test_a_container_that_ecs_does_not_know_is_left_out(compute: EcsCompute) -> None:
    worker = launch(compute)
    unknown = worker_of(worker.identifier[:-4] + "0000")
    assert list(compute.describe([unknown, worker])) == [alive(worker)]


def test_a_container_is_found_by_its_execution_whether_it_runs_or_has_ended(compute: EcsCompute) -> None:
    first, second, other = launch(compute), launch(compute), launch(compute, 2)
    compute.stop(first, 120)
    assert {state.worker for state in compute.find(f"exe-{1:032x}")} == {first, second}
    assert list(compute.find(f"exe-{2:032x}")) == [alive(other, 2)]
    assert list(compute.find(f"exe-{3:032x}")) == []


def test_what_runs_is_listed_without_what_has_ended_and_without_tasks_of_others(
    compute: EcsCompute, clients: Clients
) -> None:
    first, second = launch(compute), launch(compute, 2)
    compute.stop(first, 120)
    network: Any = botocore.session.get_session().create_client("ec2")
    subnet = network.describe_subnets()["Subnets"][0]["SubnetId"]
    clients.ecs.run_task(
        cluster=CLUSTER,
        taskDefinition="multinode-main-tsp:1",
        launchType="FARGATE",
        startedBy="ecs-svc/1",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": []}},
    )
    assert list(compute.running()) == [alive(second, 2)]


def test_more_tasks_than_one_call_describes_are_all_listed(compute: EcsCompute) -> None:
    workers = [launch(compute, number) for number in range(230)]
    states = {state.execution_id: state.worker for state in compute.running()}
    assert states == {f"exe-{number:032x}": worker for number, worker in enumerate(workers)}


def test_a_stop_may_be_repeated_and_says_who_asked_for_it(compute: EcsCompute, clients: Clients) -> None:
    worker = launch(compute)
    compute.stop(worker, 120)
    compute.stop(worker, 120)
    (task,) = clients.ecs.describe_tasks(cluster=CLUSTER, tasks=[worker.identifier])["tasks"]
    assert task["stoppedReason"] == "multinode: stopped by the control plane"
    (state,) = compute.describe([worker])
    assert state.exit is not None


def stubbed(clients: Clients) -> EcsCompute:
    return EcsCompute(clients, EcsSettings(CLUSTER, ("subnet-1",), ("sg-1",), assign_public_ip=True), FakeClock(NOW))


def test_the_stop_of_a_container_that_is_gone_is_no_error(clients: Clients) -> None:
    with Stubber(clients.ecs) as stub:
        stub.add_client_error("stop_task", "InvalidParameterException", "The referenced task was not found.")
        assert stubbed(clients).stop(worker_of(TASK_ARN), 0) is None  # type: ignore[func-returns-value]
        stub.assert_no_pending_responses()


@pytest.mark.parametrize("code", ["AccessDeniedException", "ClusterNotFoundException"])
def test_a_stop_that_ecs_refuses_is_an_error(clients: Clients, code: str) -> None:
    with Stubber(clients.ecs) as stub:
        stub.add_client_error("stop_task", code, "no")
        with pytest.raises(ClientError, match=code):
            stubbed(clients).stop(worker_of(TASK_ARN), 0)


def test_the_way_a_container_ended_comes_with_its_description(clients: Clients) -> None:
    ended: dict[str, Any] = {
        "taskArn": TASK_ARN,
        "lastStatus": "STOPPED",
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "startedBy": EXECUTION_ID,
        "containers": [{"name": "worker", "exitCode": 7}],
        "overrides": {
            "containerOverrides": [
                {"name": "worker", "environment": [{"name": "MULTINODE_INVOCATION_ID", "value": INVOCATION_ID}]}
            ]
        },
    }
    with Stubber(clients.ecs) as stub:
        stub.add_response("describe_tasks", {"tasks": [ended], "failures": [{"arn": "x", "reason": "MISSING"}]})
        states = list(stubbed(clients).describe([worker_of(TASK_ARN), worker_of("arn:x")]))
    exited = ContainerExit(ExitKind.EXITED, "the container exited", 7)
    assert states == [ContainerState(worker_of(TASK_ARN), EXECUTION_ID, exited, INVOCATION_ID)]


def test_nothing_is_asked_about_no_containers(clients: Clients) -> None:
    with Stubber(clients.ecs):
        assert list(stubbed(clients).describe([])) == []
