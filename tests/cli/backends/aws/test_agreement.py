"""What `deploy` registers and what the control plane expects of it are the same."""

import json
import re
from pathlib import Path

from multinode_cli.backends.aws.task_definition import task_definition
from multinode_control_plane.adapters.aws.task_exit import worker_of
from multinode_control_plane.wiring.aws import Settings
from multinode_protocol.ecs_task import CONTAINER_NAME
from tests.support.aws.records import ENVIRONMENT, TASK_ARN

DEPLOYMENT = {
    "name": "main",
    "region": "eu-west-1",
    "task_family_prefix": "multinode-main-",
    "task_role_arn": "arn:task",
    "execution_role_arn": "arn:execution",
    "log_group": "/multinode/main/workers",
}
TERRAFORM = Path(__file__).parents[4] / "terraform"


def test_the_container_and_its_log_stream_are_where_the_control_plane_looks() -> None:
    registered = task_definition(
        DEPLOYMENT, project_name="tsp", image="repository@sha256:0", architecture="arm64", secrets={}
    )
    (container,) = registered["containerDefinitions"]
    assert container["name"] == CONTAINER_NAME
    options = container["logConfiguration"]["options"]
    # awslogs names a stream <prefix>/<container>/<task id>.
    task_id = TASK_ARN.rsplit("/", 1)[-1]
    stream = f"{options['awslogs-stream-prefix']}/{container['name']}/{task_id}"
    assert worker_of(TASK_ARN).logs_identifier == stream
    # The default grace of a function, 120 s, is what Fargate leaves a container between SIGTERM and SIGKILL.
    assert container["stopTimeout"] == 120


def test_terraform_sets_every_variable_that_the_control_plane_reads() -> None:
    text = (TERRAFORM / "main.tf").read_text()
    assert set(re.findall(r"\bMULTINODE_[A-Z_]+", text)) >= set(ENVIRONMENT)
    assert Settings.read(ENVIRONMENT).deployment == "main"


def test_the_streams_filter_lets_creation_change_and_removal_of_invocations_through() -> None:
    text = (TERRAFORM / "reactor.tf").read_text()
    assert re.search(r"NewImage = \{ type = \{ S = \[\"Invocation\"\]", text)
    assert re.search(r"OldImage = \{ type = \{ S = \[\"Invocation\"\]", text)


def test_the_samples_carry_what_a_launch_sets() -> None:
    event = TERRAFORM.parent / "tests" / "support" / "aws" / "task_events" / "running.json"
    sample = json.loads(event.read_text())["detail"]
    (override,) = sample["overrides"]["containerOverrides"]
    assert override["name"] == CONTAINER_NAME
    assert sample["startedBy"].startswith("exe-")
