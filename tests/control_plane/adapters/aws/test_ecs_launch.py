"""Launches on ECS: one request per token, whatever is lost, throttled or refused on the way."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.stub import ANY, Stubber

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.ecs import EcsCompute, EcsSettings
from multinode_control_plane.adapters.aws.rate_limiter import RateLimiter
from multinode_control_plane.adapters.aws.task_exit import worker_of
from multinode_control_plane.ports import LaunchRefused
from multinode_protocol.function_options import ResourceSpec
from tests.support.aws.records import EXECUTION_ID, INVOCATION_ID, NOW, TASK_ARN, execution, invocation, launch_request
from tests.support.fakes import FakeClock

SETTINGS = EcsSettings(
    cluster="arn:aws:ecs:eu-west-1:123456789012:cluster/multinode-main",
    subnets=("subnet-1", "subnet-2"),
    security_groups=("sg-1",),
    assign_public_ip=True,
    capacity_providers={"FARGATE": 1, "FARGATE_SPOT": 3},
)
REQUEST = {
    "cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/multinode-main",
    "taskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/multinode-main-tsp:3",
    "count": 1,
    "clientToken": f"{EXECUTION_ID}-1",
    "startedBy": EXECUTION_ID,
    "group": "multinode:tsp",
    "propagateTags": "TASK_DEFINITION",
    "overrides": {
        # Half a CPU and 1.5 GiB: the smallest size that covers them has 2 GiB.
        "cpu": "512",
        "memory": "2048",
        "containerOverrides": [
            {
                "name": "worker",
                "environment": [
                    {"name": "MULTINODE_API_KEY", "value": "mnx_claims_signature"},
                    {"name": "MULTINODE_INVOCATION_ID", "value": INVOCATION_ID},
                    {"name": "MULTINODE_LOG_FORMAT", "value": "json"},
                ],
            }
        ],
    },
    "capacityProviderStrategy": [
        {"capacityProvider": "FARGATE", "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ],
    "networkConfiguration": {
        "awsvpcConfiguration": {
            "subnets": ["subnet-1", "subnet-2"],
            "securityGroups": ["sg-1"],
            "assignPublicIp": "ENABLED",
        }
    },
}
STARTED = {"tasks": [{"taskArn": TASK_ARN}], "failures": []}


class Ecs:
    """The compute under test over a stub: `stub` refuses every request that was not announced to it, in order."""

    def __init__(self, clients: Clients, sleep: Callable[[float], None]) -> None:
        self.time = 0.0
        self.clock = FakeClock(NOW)
        self.stub = Stubber(clients.ecs_launches)
        self.lookups = Stubber(clients.ecs)
        self._clients = clients

        def pause(seconds: float) -> None:
            self.time += seconds
            sleep(seconds)

        self.rate_limiter = RateLimiter(20, 20, now=lambda: self.time, sleep=pause)
        self.compute = EcsCompute(
            clients,
            SETTINGS,
            self.clock,
            rate_limiter=self.rate_limiter,
            sleep=pause,
            monotonic=lambda: self.time,
            uniform=lambda: 0.5,
        )

    def refuse(self, code: str, message: str, *, status: int = 400, **fields: Any) -> None:
        self.stub.add_client_error("run_task", code, message, status, expected_params=REQUEST, modeled_fields=fields)

    def start(self) -> None:
        self.stub.add_response("run_task", STARTED, REQUEST)

    def lose(self, times: int, error: Exception) -> None:
        """Let the next requests get no answer."""
        left = [error] * times

        def lost(**_: Any) -> None:
            if left:
                raise left.pop()

        # Before the stub: it would take a request that nobody announced to it for a mistake.
        self._clients.ecs_launches.meta.events.register_first("provide-client-params.ecs.RunTask", lost)


@pytest.fixture
def ecs(clients: Clients, sleep: Callable[[float], None]) -> Iterator[Ecs]:
    under_test = Ecs(clients, sleep)
    with under_test.stub, under_test.lookups:
        yield under_test
    under_test.stub.assert_no_pending_responses()
    under_test.lookups.assert_no_pending_responses()


def test_a_launch_is_one_request_with_all_that_the_task_must_know(ecs: Ecs, pauses: list[float]) -> None:
    ecs.start()
    assert ecs.compute.launch(launch_request()) == worker_of(TASK_ARN)
    assert pauses == []


def test_a_long_token_is_hashed_to_what_ecs_takes(ecs: Ecs) -> None:
    # SHA-256 of 65 times "t": 64 characters.
    digest = "e8fda0eef591d1abdaf105e46d91b77df5496ebf2c18baab3c5d89d46bd05d52"
    ecs.stub.add_response("run_task", STARTED, {**REQUEST, "clientToken": digest})
    assert ecs.compute.launch(launch_request(token="t" * 65)) == worker_of(TASK_ARN)


@pytest.mark.parametrize(
    "lost",
    [
        ReadTimeoutError(endpoint_url="https://ecs"),
        EndpointConnectionError(endpoint_url="https://ecs"),
    ],
    ids=["no answer in time", "no connection"],
)
def test_a_lost_answer_is_asked_for_again_with_the_same_request(ecs: Ecs, lost: Exception) -> None:
    ecs.lose(2, lost)
    ecs.start()
    assert ecs.compute.launch(launch_request()) == worker_of(TASK_ARN)


def test_without_any_answer_it_stays_unknown_whether_a_task_was_started(ecs: Ecs) -> None:
    ecs.lose(4, ReadTimeoutError(endpoint_url="https://ecs"))
    with pytest.raises(ReadTimeoutError):
        ecs.compute.launch(launch_request())


def test_a_failing_service_leaves_it_unknown_too(ecs: Ecs) -> None:
    for _ in range(4):
        ecs.refuse("ServerException", "Service Unavailable", status=500)
    with pytest.raises(ClientError, match="ServerException"):
        ecs.compute.launch(launch_request())


def test_a_conflict_tells_the_task_that_the_token_started_before(ecs: Ecs) -> None:
    ecs.refuse("ConflictException", "The token was used with other parameters", resourceIds=[TASK_ARN])
    assert ecs.compute.launch(launch_request()) == worker_of(TASK_ARN)


def test_a_conflict_that_names_no_task_leaves_it_unknown(ecs: Ecs) -> None:
    for _ in range(4):
        ecs.refuse("ConflictException", "The token is in use")
    with pytest.raises(ClientError, match="ConflictException"):
        ecs.compute.launch(launch_request())


def test_a_throttled_launch_waits_and_goes_through(ecs: Ecs, pauses: list[float]) -> None:
    ecs.refuse("ThrottlingException", "Rate exceeded")
    ecs.refuse("InvalidParameterException", "Error retrieving subnets: Request limit exceeded.")
    ecs.start()
    assert ecs.compute.launch(launch_request()) == worker_of(TASK_ARN)
    # Three quarters of 0.5 and of 1 s; by then the shared pace, halved twice to 5 per second, has a token again.
    assert pauses == [0.375, 0.75]


def test_a_launch_that_stays_throttled_is_refused_for_now(ecs: Ecs, pauses: list[float]) -> None:
    # Pauses of three quarters of 0.5, 1, 2, 4, 8, 8, 8 s are 23.6 s together: past the 20 s that it may take.
    for _ in range(8):
        ecs.refuse("ThrottlingException", "Rate exceeded")
    with pytest.raises(LaunchRefused) as refused:
        ecs.compute.launch(launch_request())
    assert (refused.value.reason, refused.value.permanent) == ("ThrottlingException: Rate exceeded", False)
    assert pauses == [0.375, 0.75, 1.5, 3, 6, 6, 6]


def test_an_answer_without_a_task_is_a_refusal_for_now(ecs: Ecs) -> None:
    failures = [{"reason": "Capacity is unavailable at this time. Please try again later"}]
    ecs.stub.add_response("run_task", {"tasks": [], "failures": failures}, REQUEST)
    with pytest.raises(LaunchRefused) as refused:
        ecs.compute.launch(launch_request())
    assert refused.value.reason == "Capacity is unavailable at this time. Please try again later"
    assert refused.value.permanent is False


def test_what_cannot_ever_be_launched_is_refused_for_good_in_the_platforms_words(ecs: Ecs) -> None:
    ecs.refuse("ClientException", "TaskDefinition is inactive")
    with pytest.raises(LaunchRefused) as refused:
        ecs.compute.launch(launch_request())
    assert (refused.value.reason, refused.value.permanent) == ("ClientException: TaskDefinition is inactive", True)


def test_no_request_is_made_for_a_version_without_a_task_definition(ecs: Ecs) -> None:
    with pytest.raises(LaunchRefused, match="version ver-1 has no task definition") as refused:
        ecs.compute.launch(launch_request(task_definition=None))
    assert refused.value.permanent is True


def test_no_request_is_made_for_a_size_that_fargate_does_not_sell(ecs: Ecs) -> None:
    resources = ResourceSpec(virtual_cpus=64, memory_gbs=1, max_concurrency=1)
    with pytest.raises(LaunchRefused, match="the nearest is 32 vCPU with 60 GiB") as refused:
        ecs.compute.launch(launch_request(invocation=invocation(resource_spec=resources)))
    assert refused.value.permanent is True


def test_no_request_is_made_with_overrides_that_ecs_would_not_take(ecs: Ecs) -> None:
    with pytest.raises(LaunchRefused, match="ECS takes 8192") as refused:
        ecs.compute.launch(launch_request(environment={"NAME": "v" * 8192}))
    assert refused.value.permanent is True


OLD = NOW - timedelta(minutes=51)
"""ECS may have forgotten a token of that age: sent again it would start a second task."""


def old_request() -> Any:
    return launch_request(execution=execution(worker=None, updated_at=OLD))


def expect_lookup(ecs: Ecs, running: list[str], stopped: list[str], tasks: list[dict[str, Any]]) -> None:
    for status, arns in (("RUNNING", running), ("STOPPED", stopped)):
        ecs.lookups.add_response(
            "list_tasks",
            {"taskArns": arns},
            {"cluster": SETTINGS.cluster, "startedBy": EXECUTION_ID, "desiredStatus": status},
        )
    if running or stopped:
        described = {"cluster": SETTINGS.cluster, "tasks": [*running, *stopped]}
        ecs.lookups.add_response("describe_tasks", {"tasks": tasks, "failures": []}, described)


def task(arn: str, status: str) -> dict[str, Any]:
    return {"taskArn": arn, "lastStatus": status, "startedBy": EXECUTION_ID, "containers": []}


def test_an_old_token_is_not_sent_again_but_its_task_looked_up(ecs: Ecs) -> None:
    ended = TASK_ARN[:-4] + "0000"
    expect_lookup(ecs, [TASK_ARN], [ended], [task(ended, "STOPPED"), task(TASK_ARN, "RUNNING")])
    assert ecs.compute.launch(old_request()) == worker_of(TASK_ARN)


def test_an_old_token_whose_task_has_ended_gives_that_one(ecs: Ecs) -> None:
    expect_lookup(ecs, [], [TASK_ARN], [task(TASK_ARN, "STOPPED")])
    assert ecs.compute.launch(old_request()) == worker_of(TASK_ARN)


def test_an_old_token_without_a_task_is_refused_so_that_a_new_one_is_made(ecs: Ecs) -> None:
    expect_lookup(ecs, [], [], [])
    with pytest.raises(LaunchRefused, match="never answered") as refused:
        ecs.compute.launch(old_request())
    assert refused.value.permanent is False


def test_a_token_of_less_than_fifty_minutes_is_sent_again(ecs: Ecs) -> None:
    ecs.start()
    young = launch_request(execution=execution(worker=None, updated_at=NOW - timedelta(minutes=49)))
    assert ecs.compute.launch(young) == worker_of(TASK_ARN)


@pytest.mark.parametrize("public", [True, False])
def test_a_public_address_is_asked_for_only_where_the_subnets_need_it(
    clients: Clients, sleep: Callable[[float], None], public: bool
) -> None:
    settings = EcsSettings("c", ("subnet-1",), ("sg-1",), assign_public_ip=public)
    with Stubber(clients.ecs_launches) as stub:
        network = {
            "subnets": ["subnet-1"],
            "securityGroups": ["sg-1"],
            "assignPublicIp": "ENABLED" if public else "DISABLED",
        }
        expected: dict[str, Any] = dict.fromkeys(REQUEST, ANY) | {
            "networkConfiguration": {"awsvpcConfiguration": network}
        }
        expected["capacityProviderStrategy"] = [{"capacityProvider": "FARGATE", "weight": 1}]
        stub.add_response("run_task", STARTED, expected)
        assert EcsCompute(clients, settings, FakeClock(NOW), sleep=sleep).launch(launch_request()) == worker_of(
            TASK_ARN
        )
