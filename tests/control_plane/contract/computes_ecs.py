"""ECS in the Compute contract suite, by a stand-in that keeps to client tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.ecs import EcsCompute, EcsSettings
from multinode_control_plane.core.records import WorkerDetails
from multinode_control_plane.ports import LaunchRequest
from tests.control_plane.contract.computes import ComputeFactory, ComputeUnderTest, launch_request
from tests.support.aws.ecs import CLUSTER, FakeEcs
from tests.support.aws.emulators import moto_environment
from tests.support.fakes import FakeClock
from tests.support.records import NOW


def _request(number: int) -> LaunchRequest:
    return replace(launch_request(number), task_definition="multinode-shop:1")


@contextmanager
def ecs_compute(folder: Path) -> Iterator[ComputeUnderTest]:
    with moto_environment():
        clients, fake = Clients(), FakeEcs()
        fake.serve(clients.ecs, clients.ecs_launches)
        settings = EcsSettings(CLUSTER, ("subnet-1",), ("sg-1",), assign_public_ip=True)

        def end(worker: WorkerDetails) -> None:
            reason = "Essential container in task exited"
            fake.end(worker.identifier, "EssentialContainerExited", reason, exit_code=0)

        compute = EcsCompute(clients, settings, FakeClock(NOW))
        yield ComputeUnderTest(compute, _request, end, lambda: len(fake.tasks))


COMPUTES: dict[str, ComputeFactory] = {"ecs": ecs_compute}
