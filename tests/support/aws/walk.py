"""A whole deployment on emulators: the real handlers over DynamoDB Local, a stand-in for ECS, and moto for the rest.

What AWS does between the handlers is done here: records of the stream to `changes`, task events to `task_events`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from multinode_control_plane.core.keys import gate_key, invocation_key
from multinode_control_plane.core.records import FunctionKey, FunctionSpec, Invocation, ParentRef, Project, Version
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_control_plane.handlers import api, changes, sweep, task_events
from multinode_control_plane.ports import ABSENT, Put
from multinode_control_plane.services import executions, invocations
from multinode_control_plane.wiring import aws
from multinode_protocol.function_options import ExecutionSpec, ResourceSpec
from multinode_protocol.status import Outcome
from tests.support.aws.dynamodb_local import shared_dynamodb_local
from tests.support.aws.ecs import CLUSTER, FakeEcs
from tests.support.aws.emulators import moto_environment, streams_client
from tests.support.aws.table import StreamReader, create_table

TABLE, BUS, GROUP = "multinode-walk", "walk-events", "/multinode/walk/workers"
FUNCTION = FunctionKey("shop", "ver-1", "price")
API_KEY = "mn_00000001_" + "k" * 43
SUCCESS = FinishReport(Outcome.SUCCEEDED, final_output="42")


class LambdaContext:
    """So little time is left that no handler goes round again."""

    def get_remaining_time_in_millis(self) -> int:
        return 1000


class Walk:
    """One project with one function, and its containers under the test's hand. `twice`: each event is brought twice."""

    def __init__(self, *, twice: bool = False) -> None:
        self.deployment = aws.deployment()
        self.clients = self.deployment.store._clients
        self.context = self.deployment.context
        self.ecs = FakeEcs()
        self.announced: list[dict[str, Any]] = []
        self._times = 2 if twice else 1
        create_table(self.clients.dynamodb, TABLE)
        self._reader = StreamReader(streams_client, TABLE)
        self._make_the_rest()
        self.clients.events.meta.events.register_first("provide-client-params.eventbridge.PutEvents", self._announced)
        self.version = Version(
            "shop",
            "ver-1",
            datetime.now(UTC),
            "repository@sha256:0",
            (FunctionSpec("price", None, ResourceSpec(0.25, 0.5, 2), ExecutionSpec(max_retries=1, timeout_s=600)),),
            task_definition="multinode-walk-shop:1",
        )
        self.context.store.commit([Put(Project("shop", self.version.created_at), ABSENT), Put(self.version, ABSENT)])

    def _make_the_rest(self) -> None:
        self.clients.ssm.put_parameter(Name="/walk/api_key", Value=API_KEY, Type="SecureString")
        self.clients.ssm.put_parameter(Name="/walk/token_secret", Value="s" * 43, Type="SecureString")
        self.clients.events.create_event_bus(Name=BUS)
        self.clients.logs.create_log_group(logGroupName=GROUP)
        self.ecs.serve(self.clients.ecs, self.clients.ecs_launches)

    def _announced(self, params: Mapping[str, Any], **_: Any) -> None:
        self.announced += [json.loads(entry["Detail"]) for entry in params["Entries"]]

    # --- what users and workers do ---

    def start(self, invocation_id: str, parent: ParentRef | None = None) -> None:
        invocations.create(
            self.context, self.version, "price", invocation_id=invocation_id, input_text="[[7], {}]", parent=parent
        )

    def run(self, invocation_id: str) -> str:
        """Let the worker of the current execution start its code; return the execution's id."""
        execution = self.get(invocation_id).executions[-1]
        executions.start(self.context, invocation_id, execution.execution_id, worker_nonce="n")
        return execution.execution_id

    def finish(self, invocation_id: str, report: FinishReport = SUCCESS) -> None:
        execution = self.get(invocation_id).executions[-1]
        executions.finish(self.context, invocation_id, execution.execution_id, report)

    def call(self, method: str, path: str, body: object = None, *, key: str = API_KEY) -> tuple[int, Any]:
        """Return status and body of an API call, as API Gateway hands it to the handler."""
        event: dict[str, Any] = {
            "version": "2.0",
            "rawPath": path.partition("?")[0],
            "queryStringParameters": dict(pair.split("=") for pair in path.partition("?")[2].split("&") if pair),
            "headers": {"authorization": f"Bearer {key}"},
            "requestContext": {"http": {"method": method}, "requestId": "r", "stage": "$default"},
            "body": None if body is None else json.dumps(body),
            "isBase64Encoded": False,
        }
        answer: Any = api.handler(event, LambdaContext())
        return answer["statusCode"], json.loads(answer["body"])

    # --- what AWS does ---

    def settle(self) -> None:
        """Bring the stream's records until it has no more."""
        while records := self._reader.records():
            for start in range(0, len(records), 25):
                for _ in range(self._times):
                    answer = changes.handler({"Records": records[start : start + 25]}, LambdaContext())
                    assert answer == {"batchItemFailures": []}

    def tasks(self) -> list[dict[str, Any]]:
        """Return every task that was ever started, as ECS describes it."""
        return [dict(task.detail) for task in self.ecs.tasks.values()]

    def token(self, task: Mapping[str, Any]) -> str:
        """Return the token under which the worker in a task reports."""
        variables = task["overrides"]["containerOverrides"][0]["environment"]
        return str({pair["name"]: pair["value"] for pair in variables}["MULTINODE_API_KEY"])

    def task_event(self, execution_id: str, **changes: Any) -> None:
        """Bring the event of an execution's task."""
        (task,) = [task for task in self.tasks() if task["startedBy"] == execution_id]
        detail = {**task, "containers": [], **changes}
        event = {"detail-type": "ECS Task State Change", "source": "aws.ecs", "detail": detail}
        for _ in range(self._times):
            task_events.handler(json.loads(json.dumps(event, default=str)), LambdaContext())

    def ended(self, execution_id: str, code: int = 0) -> None:
        """Bring the event that a container exited."""
        self.task_event(
            execution_id,
            lastStatus="STOPPED",
            stopCode="EssentialContainerExited",
            stoppedReason="Essential container in task exited",
            containers=[{"name": "worker", "exitCode": code}],
        )

    def sweep(self) -> dict[str, object]:
        for _ in range(self._times):
            counts = sweep.handler({}, LambdaContext())
        return counts

    # --- what is to be seen ---

    def get(self, invocation_id: str) -> Invocation:
        stored = self.context.store.get(invocation_key(invocation_id))
        assert stored is not None
        return stored.record

    def slots(self) -> dict[str, str]:
        stored = self.context.store.get(gate_key(FUNCTION))
        return {} if stored is None else dict(stored.record.slots)


@contextmanager
def walking(*, twice: bool = False) -> Iterator[Walk]:
    """Give a deployment of its own, on empty emulators."""
    local = {f"AWS_ENDPOINT_URL_{service}": shared_dynamodb_local() for service in ("DYNAMODB", "DYNAMODB_STREAMS")}
    with moto_environment(**local):
        settings = {
            "MULTINODE_DEPLOYMENT": "walk",
            "MULTINODE_TABLE": TABLE,
            "MULTINODE_CLUSTER": CLUSTER,
            "MULTINODE_SUBNETS": "subnet-1",
            "MULTINODE_SECURITY_GROUPS": "sg-1",
            "MULTINODE_ASSIGN_PUBLIC_IP": "ENABLED",
            "MULTINODE_CAPACITY_PROVIDERS": "FARGATE=1",
            "MULTINODE_EVENT_BUS": BUS,
            "MULTINODE_LOG_GROUP": GROUP,
            "MULTINODE_API_KEY_PARAMETER": "/walk/api_key",
            "MULTINODE_TOKEN_SECRET_PARAMETER": "/walk/token_secret",
            "MULTINODE_API_URL": "https://api.example",
            "MULTINODE_RETENTION_DAYS": "30",
            "MULTINODE_REPOSITORY_URL": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/multinode-walk",
        }
        made: tuple[Any, ...] = (aws.deployment, api._api, changes._consumer, task_events._consumer, sweep._sweep)
        with patch.dict("os.environ", settings):
            try:
                for cached in made:
                    cached.cache_clear()
                walk = Walk(twice=twice)
                yield walk
                walk.clients.dynamodb.delete_table(TableName=TABLE)
            finally:
                for cached in made:
                    cached.cache_clear()
