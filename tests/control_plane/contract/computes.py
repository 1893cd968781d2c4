"""What a Compute implementation gives the contract suite, and where the suite finds the implementations.

A module `computes_<name>.py` of this folder joins by defining ``COMPUTES: dict[str, ComputeFactory]``; each factory is
a context manager over one backend without containers.
"""

import hashlib
import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from multinode_control_plane.core.records import Execution, Invocation, LocalBundle, WorkerDetails
from multinode_control_plane.ports import Compute, LaunchRequest
from multinode_protocol.status import WorkerStatus
from tests.support.records import NOW, invocation


@dataclass(frozen=True)
class ComputeUnderTest:
    """One backend, and what only its adapter can do for a test."""

    compute: Compute
    request: Callable[[int], LaunchRequest]
    """Returns the request to launch the n-th container, of the n-th execution, that runs until it is told to end."""
    end: Callable[[WorkerDetails], None]
    """Makes a container end by itself, without an error."""
    launches: Callable[[], int]
    """Returns how many containers were started so far."""


ComputeFactory = Callable[[Path], AbstractContextManager[ComputeUnderTest]]


def registered_computes() -> dict[str, ComputeFactory]:
    """Return the factories of every module `computes_*.py` beside this one, by name."""
    factories: dict[str, ComputeFactory] = {}
    for path in sorted(Path(__file__).parent.glob("computes_*.py")):
        factories.update(importlib.import_module(f"tests.control_plane.contract.{path.stem}").COMPUTES)
    return factories


def launch_request(number: int, bundle: LocalBundle | None = None) -> LaunchRequest:
    """Return the request of the first launch of the n-th execution: another one for each bundle, as ids are unique."""
    digest = hashlib.sha256(f"{number} {bundle}".encode()).hexdigest()
    execution = Execution(
        execution_id=f"exe-{digest[:32]}",
        attempt=1,
        worker_status=WorkerStatus.PENDING,
        created_at=NOW,
        updated_at=NOW,
    )
    owner: Invocation = replace(invocation(number), executions=(execution,))
    return LaunchRequest(
        token=execution.launch_token,
        execution=execution,
        invocation=owner,
        environment={
            "MULTINODE_API_URL": "http://127.0.0.1:9",
            "MULTINODE_INVOCATION_ID": owner.invocation_id,
            "MULTINODE_EXECUTION_ID": execution.execution_id,
            "MULTINODE_FUNCTION_NAME": "sleep",
        },
        task_definition=None,
        local_bundle=bundle,
    )
