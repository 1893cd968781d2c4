"""Containers as ECS tasks on Fargate: `RunTask` once per launch attempt, paced; stop, describe, find.

A task identifies itself: `startedBy` is the execution, and the environment in its overrides names the invocation.
Everyone who may describe a task can read its overrides, so they hold only ids and the execution's own token.
"""

import hashlib
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from multinode_control_plane.adapters.aws.clients import NO_ANSWER, Clients
from multinode_control_plane.adapters.aws.ecs_errors import Refusal, failure_reason, refusal_of
from multinode_control_plane.adapters.aws.rate_limiter import RateLimiter
from multinode_control_plane.adapters.aws.task_exit import (
    STOP_REASON_PREFIX,
    Task,
    container_exit,
    execution_id_of,
    invocation_id_of,
    is_stopped,
    is_task,
    worker_of,
)
from multinode_control_plane.core.records import WorkerDetails
from multinode_control_plane.ports import Clock, ContainerState, LaunchRefused, LaunchRequest
from multinode_protocol import env_vars
from multinode_protocol.backoff import Backoff
from multinode_protocol.ecs_task import CONTAINER_NAME
from multinode_protocol.fargate_sizes import NoTaskSize, covering

if TYPE_CHECKING:
    from mypy_boto3_ecs.type_defs import RunTaskRequestTypeDef

logger = logging.getLogger(__name__)

LAUNCHES_PER_S = 20.0
LAUNCH_BURST = 20
"""Fargate's own limit on `RunTask` and on launches is 20 per second in the larger Regions."""
LAUNCH_PATIENCE_S = 20.0
"""How long one launch is tried again while ECS throttles it; the handler's time-out must be longer."""
UNCLEAR_TRIES = 4
BACKOFF = Backoff(first_s=0.5, longest_s=8.0)
TOKEN_LIFE = timedelta(minutes=50)
"""ECS forgets a client token an hour after its task has ended: replayed later it would start a second one (F5)."""
MAX_TOKEN_CHARS = 64
MAX_OVERRIDE_CHARS = 8192
DESCRIBE_AT_ONCE = 100
STARTED_BY = re.compile(r"[A-Za-z0-9_/-]{1,128}")


@dataclass(frozen=True, slots=True)
class EcsSettings:
    """Where tasks run. `capacity_providers`: name -> weight, Spot and not, as Fargate shares launches between them."""

    cluster: str
    subnets: Sequence[str]
    security_groups: Sequence[str]
    assign_public_ip: bool
    capacity_providers: Mapping[str, int] = field(default_factory=lambda: {"FARGATE": 1})


class EcsCompute:
    """See `ports.Compute`. The grace of a stop is the task definition's `stopTimeout`: at most 120 s on Fargate."""

    def __init__(
        self,
        clients: Clients,
        settings: EcsSettings,
        clock: Clock,
        *,
        rate_limiter: RateLimiter | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """Tests pass their own `sleep`, `monotonic` and `uniform` (from 0 to 1)."""
        self._clients = clients
        self._settings = settings
        self._clock = clock
        self._rate_limiter = rate_limiter or RateLimiter(LAUNCHES_PER_S, LAUNCH_BURST)
        self._sleep = sleep
        self._monotonic = monotonic
        self._uniform = uniform

    # --- launching ---

    def launch(self, request: LaunchRequest) -> WorkerDetails:
        arguments = run_task_arguments(self._settings, request)
        if self._clock.now() - request.execution.updated_at > TOKEN_LIFE:
            return self._settle_old(request)
        give_up_at = self._monotonic() + LAUNCH_PATIENCE_S
        unclear = tries = 0
        while True:
            self._rate_limiter.take()
            try:
                return self._run_task(arguments)
            except (ClientError, *NO_ANSWER) as error:
                refusal, reason = _read_error(error)
                if refusal in (Refusal.PERMANENT, Refusal.TRANSIENT):
                    raise LaunchRefused(reason, permanent=refusal is Refusal.PERMANENT) from error
                if refusal is Refusal.THROTTLED:
                    self._rate_limiter.throttled()
                    if self._monotonic() >= give_up_at:
                        raise LaunchRefused(reason) from error
                else:
                    unclear += 1
                    if unclear == UNCLEAR_TRIES:
                        raise
                logger.info("launch %s: trying again after: %s", request.token, reason)
            tries += 1
            self._sleep(BACKOFF.pause_s(tries, self._uniform()))

    def _run_task(self, arguments: "RunTaskRequestTypeDef") -> WorkerDetails:
        """Send one request. ECS answers a repeated token with the task that it started before, or with its ARN."""
        try:
            answer = self._clients.ecs_launches.run_task(**arguments)
        except ClientError as error:
            arns = cast(Sequence[str], error.response.get("resourceIds") or [])
            if error.response["Error"]["Code"] == "ConflictException" and arns:
                return worker_of(arns[0])
            raise
        self._rate_limiter.went_through()
        if answer["tasks"]:
            return worker_of(answer["tasks"][0]["taskArn"])
        raise LaunchRefused(failure_reason(cast(Sequence[Mapping[str, object]], answer["failures"])))

    def _settle_old(self, request: LaunchRequest) -> WorkerDetails:
        """Return the container that an old launch started. Raises LaunchRefused if none is known."""
        found = sorted(self.find(request.execution.execution_id), key=lambda state: state.exit is not None)
        if found:
            return found[0].worker
        raise LaunchRefused("its launch was never answered, and it has no known container")

    # --- the rest ---

    def stop(self, worker: WorkerDetails, grace_s: int) -> None:  # noqa: ARG002 - the port's; see below
        """See `ports.Compute.stop`. ECS takes no grace: the worker itself keeps to `grace_s`, within `stopTimeout`."""
        if not is_task(worker.identifier):
            return
        try:
            self._clients.ecs.stop_task(
                cluster=self._settings.cluster,
                task=worker.identifier,
                reason=f"{STOP_REASON_PREFIX}stopped by the control plane",
            )
        except ClientError as error:
            if not _is_gone(error):
                raise
            logger.info("nothing to stop: %s no longer exists", worker.identifier)

    def describe(self, workers: Sequence[WorkerDetails]) -> Sequence[ContainerState]:
        return list(self._described([worker.identifier for worker in workers]))

    def find(self, execution_id: str) -> Sequence[ContainerState]:
        if STARTED_BY.fullmatch(execution_id) is None:
            return []
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in self._listed(startedBy=execution_id, desiredStatus=status)
        ]
        # Some implementations of the API do not filter; a foreign task must never be taken for this execution's task.
        return [state for state in self._described(arns) if state.execution_id == execution_id]

    def running(self) -> Sequence[ContainerState]:
        return [state for state in self._described(list(self._listed())) if state.exit is None]

    def forget_project(self, project_name: str) -> None:
        """Nothing to remove: `deploy` creates task definitions, images and parameters, and `undeploy` removes them."""

    def _listed(self, **filters: Any) -> Iterator[str]:
        while True:
            answer = self._clients.ecs.list_tasks(cluster=self._settings.cluster, **filters)
            yield from answer["taskArns"]
            if not (token := answer.get("nextToken")):
                return
            filters["nextToken"] = token

    def _described(self, arns: Sequence[str]) -> Iterator[ContainerState]:
        """Yield the states of our tasks, leaving out MISSING ones: the caller knows how old their launch is."""
        wanted = [arn for arn in dict.fromkeys(arns) if is_task(arn)]
        for start in range(0, len(wanted), DESCRIBE_AT_ONCE):
            batch = wanted[start : start + DESCRIBE_AT_ONCE]
            answer = self._clients.ecs.describe_tasks(cluster=self._settings.cluster, tasks=batch)
            for task in cast(Sequence[Task], answer["tasks"]):
                if (execution_id := execution_id_of(task)) is not None:
                    yield ContainerState(
                        worker=worker_of(str(task["taskArn"])),
                        execution_id=execution_id,
                        exit=container_exit(task) if is_stopped(task) else None,
                        invocation_id=invocation_id_of(task),
                    )


def run_task_arguments(settings: EcsSettings, request: LaunchRequest) -> "RunTaskRequestTypeDef":
    """Return the one request of a launch attempt: made again it is the same to the letter, as its token demands.

    Raises LaunchRefused (permanent) for what ECS could never run.
    """
    if request.task_definition is None:
        raise LaunchRefused(
            f"version {request.invocation.version_id} has no task definition: deploy the project again with this "
            "deployment's own multinode",
            permanent=True,
        )
    resources = request.invocation.resource_spec
    try:
        size = covering(resources.virtual_cpus, resources.memory_gbs)
    except NoTaskSize as error:
        raise LaunchRefused(str(error), permanent=True) from error
    variables = {**request.environment, env_vars.LOG_FORMAT: "json"}
    overrides: Any = {
        "cpu": str(size.cpu_units),
        "memory": str(size.memory_mib),
        "containerOverrides": [
            {
                "name": CONTAINER_NAME,
                "environment": [{"name": name, "value": value} for name, value in sorted(variables.items())],
            }
        ],
    }
    if (length := len(json.dumps(overrides))) > MAX_OVERRIDE_CHARS:
        raise LaunchRefused(
            f"the environment of its container takes {length} characters, ECS takes {MAX_OVERRIDE_CHARS}: "
            "shorten the names of project and function",
            permanent=True,
        )
    return {
        "cluster": settings.cluster,
        "taskDefinition": request.task_definition,
        "count": 1,
        "clientToken": _client_token(request.token),
        "startedBy": request.execution.execution_id,
        "group": f"multinode:{request.invocation.project_name}",
        "propagateTags": "TASK_DEFINITION",
        "overrides": overrides,
        "capacityProviderStrategy": [
            {"capacityProvider": name, "weight": weight} for name, weight in settings.capacity_providers.items()
        ],
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": list(settings.subnets),
                "securityGroups": list(settings.security_groups),
                "assignPublicIp": "ENABLED" if settings.assign_public_ip else "DISABLED",
            }
        },
    }


def _client_token(token: str) -> str:
    return token if len(token) <= MAX_TOKEN_CHARS else hashlib.sha256(token.encode()).hexdigest()


def _read_error(error: Exception) -> tuple[Refusal, str]:
    if not isinstance(error, ClientError):
        return Refusal.UNCLEAR, f"ECS did not answer: {error}"
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    refusal = refusal_of(code, message)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    if refusal is Refusal.TRANSIENT and (status >= 500 or code == "ConflictException"):
        refusal = Refusal.UNCLEAR
    return refusal, f"{code}: {message}"


def _is_gone(error: ClientError) -> bool:
    message = error.response["Error"].get("Message", "").lower()
    return error.response["Error"]["Code"] == "InvalidParameterException" and "not found" in message
