"""The ECS task definition of a version: pure, from image and deployment to `RegisterTaskDefinition`."""

from collections.abc import Collection, Mapping
from typing import Any

from multinode_protocol.ecs_task import CONTAINER_NAME, LOG_STREAM_PREFIX
from multinode_protocol.limits import MAX_GRACE_S

ARCHITECTURES = {"amd64": "X86_64", "arm64": "ARM64"}
"""Docker's names -> those of ECS: all that Fargate runs."""
SMALLEST = {"cpu": "256", "memory": "512"}
"""Each launch sets its function's own size."""
LOG_BUFFER = "25m"
"""If CloudWatch is away for longer than this lasts, lines are dropped; the worker never stalls."""


def task_definition(
    deployment: Mapping[str, str],
    *,
    project_name: str,
    image: str,
    architecture: str,
    secrets: Mapping[str, str],
    empty: Collection[str] = (),
) -> dict[str, Any]:
    """Return the arguments of `RegisterTaskDefinition`.

    `deployment` is the JSON of the deployment's parameter; `image` names a digest; `architecture` is Docker's name;
    `secrets` gives an environment variable -> the name of the SSM parameter that holds its value; `empty` names the
    variables whose value is empty, which no parameter can hold.
    """
    return {
        "family": f"{deployment['task_family_prefix']}{project_name}",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        **SMALLEST,
        "executionRoleArn": deployment["execution_role_arn"],
        "taskRoleArn": deployment["task_role_arn"],
        "runtimePlatform": {
            "cpuArchitecture": ARCHITECTURES[architecture],
            "operatingSystemFamily": "LINUX",
        },
        "containerDefinitions": [
            {
                "name": CONTAINER_NAME,
                "image": image,
                "essential": True,
                "stopTimeout": MAX_GRACE_S,
                # The worker is not process 1: what user code leaves behind is reaped.
                "linuxParameters": {"initProcessEnabled": True},
                "environment": [{"name": name, "value": ""} for name in sorted(empty)],
                "secrets": [{"name": name, "valueFrom": secrets[name]} for name in sorted(secrets)],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": deployment["log_group"],
                        "awslogs-region": deployment["region"],
                        "awslogs-stream-prefix": LOG_STREAM_PREFIX,
                        "mode": "non-blocking",
                        "max-buffer-size": LOG_BUFFER,
                    },
                },
            }
        ],
        "tags": [
            {"key": "multinode:deployment", "value": deployment["name"]},
            {"key": "multinode:project", "value": project_name},
        ],
    }
