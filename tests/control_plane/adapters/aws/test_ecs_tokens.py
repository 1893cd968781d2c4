"""One container per launch attempt, on a stand-in for ECS that keeps to client tokens, whatever happens on the way."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.ecs import EcsCompute, EcsSettings
from multinode_control_plane.core.records import WorkerDetails
from multinode_control_plane.ports import LaunchRefused
from tests.support.aws.ecs import CLUSTER, FakeEcs
from tests.support.aws.records import EXECUTION_ID, NOW, launch_request
from tests.support.fakes import FakeClock


@pytest.fixture
def fake(clients: Clients) -> FakeEcs:
    ecs = FakeEcs()
    ecs.serve(clients.ecs, clients.ecs_launches)
    return ecs


@pytest.fixture
def compute(clients: Clients, fake: FakeEcs, sleep: Callable[[float], None]) -> EcsCompute:
    settings = EcsSettings(CLUSTER, ("subnet-1",), ("sg-1",), assign_public_ip=True)
    return EcsCompute(clients, settings, FakeClock(NOW), sleep=sleep)


def lose_answers(clients: Clients, times: int) -> None:
    """Let the next launches be carried out and their answers get lost."""
    left = [ReadTimeoutError(endpoint_url="https://ecs")] * times

    def lose(**_: Any) -> None:
        if left:
            raise left.pop()

    clients.ecs_launches.meta.events.register("after-call.ecs.RunTask", lose)


def test_a_launch_whose_answers_are_lost_starts_one_container(
    compute: EcsCompute, clients: Clients, fake: FakeEcs
) -> None:
    lose_answers(clients, 3)
    worker = compute.launch(launch_request())
    assert list(fake.tasks) == [worker.identifier]
    assert len(fake.requests) == 4
    assert all(request == fake.requests[0] for request in fake.requests)


def test_a_launch_that_was_given_up_is_found_by_the_next_one(
    compute: EcsCompute, clients: Clients, fake: FakeEcs
) -> None:
    lose_answers(clients, 4)
    with pytest.raises(ReadTimeoutError):
        compute.launch(launch_request())
    worker = compute.launch(launch_request())
    assert list(fake.tasks) == [worker.identifier]


def test_a_repeated_launch_with_a_newly_made_environment_is_the_same_container(
    compute: EcsCompute, fake: FakeEcs
) -> None:
    request = launch_request()
    worker = compute.launch(request)
    another = {**request.environment, "MULTINODE_API_URL": "https://moved.example"}
    assert compute.launch(replace(request, environment=another)) == worker
    assert list(fake.tasks) == [worker.identifier]


def test_two_at_once_start_one_container(compute: EcsCompute, fake: FakeEcs) -> None:
    found: list[WorkerDetails] = []
    threads = [threading.Thread(target=lambda: found.append(compute.launch(launch_request()))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {worker.identifier for worker in found} == set(fake.tasks)
    assert (len(found), len(fake.tasks)) == (6, 1)


def test_a_refused_attempt_stays_refused_and_the_next_attempt_is_a_new_one(compute: EcsCompute, fake: FakeEcs) -> None:
    fake.failures = [{"reason": "RESOURCE:CPU"}]
    for _ in range(2):
        with pytest.raises(LaunchRefused, match="RESOURCE:CPU"):
            compute.launch(launch_request())
    assert fake.tasks == {}
    worker = compute.launch(launch_request(token=f"{EXECUTION_ID}-2"))
    assert list(fake.tasks) == [worker.identifier]
