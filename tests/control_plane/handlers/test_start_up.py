"""How long a Lambda takes to start: each handler under twice what boto3 and its DynamoDB client alone take."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow(about_s=40)

RUNS = 5
BASE = "import boto3; boto3.client('dynamodb')"
HANDLERS = {
    name: f"import multinode_control_plane.handlers.{name}, multinode_control_plane.wiring.aws; "
    "from multinode_control_plane.adapters.aws.clients import Clients; Clients().dynamodb"
    for name in ("api", "changes", "task_events", "sweep", "trigger")
}


def seconds(statement: str) -> float:
    """Return the processor's time of a fresh interpreter over that of an empty one: other work here does not count."""
    program = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
    environ = {**os.environ, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_starts_in_less_than_twice_the_time_of_boto3(name: str) -> None:
    # In turns, so that whatever slows this machine down slows both.
    times = [(seconds(BASE), seconds(HANDLERS[name])) for _ in range(RUNS)]
    base, ours = (min(column) for column in zip(*times, strict=True))
    print(f"\n{name}: {1000 * ours:.0f} ms of processor time, boto3 alone {1000 * base:.0f} ms")
    assert ours < 2 * base


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_loads_nothing_that_only_other_parts_need(name: str) -> None:
    program = f"import sys, multinode_control_plane.handlers.{name}, multinode_control_plane.wiring.aws\n"
    program += "print(*{module.partition('.')[0] for module in sys.modules})"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded & {"boto3", "s3transfer", "sqlite3", "uvicorn", "click", "cloudpickle", "multinode"} == set()
    assert "botocore" in loaded
