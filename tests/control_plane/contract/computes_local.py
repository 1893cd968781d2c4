"""Local processes in the Compute contract suite, with a stub in place of the worker."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from multinode_control_plane.adapters.local.data_dir import prepare
from multinode_control_plane.adapters.local.processes import LocalCompute
from multinode_control_plane.core.records import WorkerDetails
from tests.control_plane.contract.computes import ComputeFactory, ComputeUnderTest, launch_request
from tests.support.stub_worker import make_bundle, release, started


@contextmanager
def local_compute(folder: Path) -> Iterator[ComputeUnderTest]:
    directory = prepare(folder / "data")
    bundle = make_bundle(folder / "bundle", sys.executable)
    compute = LocalCompute(directory, os.environ, lambda *_: None)
    compute.start()

    def end(worker: WorkerDetails) -> None:
        release(bundle, worker.identifier)

    try:
        yield ComputeUnderTest(
            compute, lambda number: launch_request(number, bundle), end, lambda: len(started(bundle))
        )
    finally:
        for state in compute.running():
            compute.stop(state.worker, 0)
        while compute.running():
            time.sleep(0.02)
        compute.close()


COMPUTES: dict[str, ComputeFactory] = {"local": local_compute}
