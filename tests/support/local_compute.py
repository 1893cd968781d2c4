"""Local compute under a test: the backend itself, what it tells, and what it is asked to launch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.adapters.local.processes import LocalCompute
from multinode_control_plane.adapters.local.workers import LaunchRecord
from multinode_control_plane.core.external_transitions import ContainerExit
from multinode_control_plane.core.records import LocalBundle
from multinode_control_plane.ports import LaunchRequest
from tests.control_plane.contract.computes import launch_request


class Ends:
    """Notes what a backend tells; `failures` are raised first, one each."""

    def __init__(self, *failures: Exception) -> None:
        self.told: list[tuple[str, ContainerExit]] = []
        self.failures = list(failures)

    def __call__(self, record: LaunchRecord, exit: ContainerExit) -> None:  # noqa: A002
        if self.failures:
            raise self.failures.pop(0)
        self.told.append((record.token, exit))


@contextmanager
def backend(directory: DataDirectory, ends: Ends) -> Iterator[LocalCompute]:
    compute = LocalCompute(directory, os.environ, ends)
    compute.start()
    try:
        yield compute
    finally:
        compute.close()


def request_of(bundle: LocalBundle, what: str, number: int = 1) -> LaunchRequest:
    request = launch_request(number, bundle)
    return replace(request, environment={**request.environment, "MULTINODE_FUNCTION_NAME": what})
