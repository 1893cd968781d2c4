"""Records for the tests of the adapters for AWS."""

from dataclasses import replace
from datetime import UTC, datetime

from multinode_control_plane.adapters.aws.task_exit import worker_of
from multinode_control_plane.core.records import Execution, Invocation, QueueName, WorkerDetails
from multinode_control_plane.ports import LaunchRequest
from multinode_protocol.function_options import ExecutionSpec, ResourceSpec
from multinode_protocol.status import InvocationStatus, WorkerStatus

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
INVOCATION_ID = "inv-0192f3a5b6c07a1b8c2d3e4f50617283"
EXECUTION_ID = "exe-0192f3a5b6c77d8e9f00112233445566"
TASK_ARN = "arn:aws:ecs:eu-west-1:123456789012:task/multinode-main/4f1d2c3b5a6948d7bfa0c1d2e3f40516"

ENVIRONMENT = {
    "MULTINODE_DEPLOYMENT": "main",
    "MULTINODE_TABLE": "multinode-main",
    "MULTINODE_CLUSTER": "arn:aws:ecs:eu-west-1:123456789012:cluster/multinode-main",
    "MULTINODE_SUBNETS": "subnet-1,subnet-2",
    "MULTINODE_SECURITY_GROUPS": "sg-1",
    "MULTINODE_ASSIGN_PUBLIC_IP": "ENABLED",
    "MULTINODE_CAPACITY_PROVIDERS": "FARGATE=1,FARGATE_SPOT=3",
    "MULTINODE_EVENT_BUS": "default",
    "MULTINODE_LOG_GROUP": "/multinode/main/workers",
    "MULTINODE_API_KEY_PARAMETER": "/multinode/main/api_key",
    "MULTINODE_TOKEN_SECRET_PARAMETER": "/multinode/main/token_secret",
    "MULTINODE_API_URL": "https://api.example",
    "MULTINODE_RETENTION_DAYS": "30",
    "MULTINODE_REPOSITORY_URL": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/multinode-main",
}
"""What Terraform sets on every Lambda function."""


def invocation(**changes: object) -> Invocation:
    """Return an invocation that waits for a slot."""
    waiting = Invocation(
        invocation_id=INVOCATION_ID,
        project_name="tsp",
        version_id="ver-1",
        function_name="solve",
        parent=None,
        depth=0,
        resource_spec=ResourceSpec(virtual_cpus=0.5, memory_gbs=1.5, max_concurrency=10),
        execution_spec=ExecutionSpec(max_retries=0, timeout_s=3600),
        input_digest="d",
        status=InvocationStatus.PENDING,
        status_reason="waiting for a free slot",
        created_at=NOW,
        updated_at=NOW,
        waiting_in=QueueName.QUEUE,
        due_at=NOW,
    )
    return replace(waiting, **changes)  # type: ignore[arg-type]


def execution(*, worker: WorkerDetails | None = worker_of(TASK_ARN), **changes: object) -> Execution:
    """Return an execution whose container is being launched."""
    launching = Execution(
        execution_id=EXECUTION_ID,
        attempt=1,
        worker_status=WorkerStatus.PENDING,
        created_at=NOW,
        updated_at=NOW,
        worker=worker,
    )
    return replace(launching, **changes)  # type: ignore[arg-type]


def launch_request(**changes: object) -> LaunchRequest:
    """Return the first launch attempt of `execution()`."""
    request = LaunchRequest(
        token=f"{EXECUTION_ID}-1",
        execution=execution(worker=None),
        invocation=invocation(),
        environment={"MULTINODE_INVOCATION_ID": INVOCATION_ID, "MULTINODE_API_KEY": "mnx_claims_signature"},
        task_definition="arn:aws:ecs:eu-west-1:123456789012:task-definition/multinode-main-tsp:3",
        local_bundle=None,
    )
    return replace(request, **changes)  # type: ignore[arg-type]
