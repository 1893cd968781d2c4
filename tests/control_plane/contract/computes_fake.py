"""The fake backend in the Compute contract suite."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.control_plane.contract.computes import ComputeFactory, ComputeUnderTest, launch_request
from tests.support.fakes import FakeCompute


@contextmanager
def fake_compute(folder: Path) -> Iterator[ComputeUnderTest]:
    compute = FakeCompute()

    def end(worker: object) -> None:
        compute.end(worker.identifier)  # type: ignore[attr-defined]

    yield ComputeUnderTest(compute, launch_request, end, lambda: len(compute.containers))


COMPUTES: dict[str, ComputeFactory] = {"fake": fake_compute}
