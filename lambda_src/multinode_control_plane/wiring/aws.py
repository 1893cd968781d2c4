"""The deployment on AWS, put together from the environment variables that Terraform sets on every Lambda function."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.cloudwatch_logs import CloudWatchLogs
from multinode_control_plane.adapters.aws.dynamodb import DynamoStore
from multinode_control_plane.adapters.aws.ecr import EcrCredentials
from multinode_control_plane.adapters.aws.ecs import EcsCompute, EcsSettings
from multinode_control_plane.adapters.aws.ecs_events import TaskEvent, TaskEventConsumer
from multinode_control_plane.adapters.aws.eventbridge import EventBridgePublisher
from multinode_control_plane.adapters.aws.ssm import SsmKeychain
from multinode_control_plane.adapters.aws.streams import StreamConsumer
from multinode_control_plane.adapters.aws.trigger_events import trigger_request
from multinode_control_plane.adapters.aws.waiter import PollingWaiter
from multinode_control_plane.adapters.system import SystemClock, SystemIds
from multinode_control_plane.api.ports import API_VERSION, ApiPorts
from multinode_control_plane.core.records import Invocation
from multinode_control_plane.core.tokens import execution_token
from multinode_control_plane.ports import Change
from multinode_control_plane.services import task_events, triggers
from multinode_control_plane.services.context import Context, Limits
from multinode_control_plane.services.reactor import Reactor, react
from multinode_control_plane.services.sweep import SweepReport, sweep
from multinode_control_plane.wiring.settings import SettingIsInvalid, multinode_version
from multinode_protocol.messages import DeploymentInfo

LONGEST_REQUEST_S = 60.0
"""Twice what API Gateway lets a request take, and more than the time-out of any handler that creates invocations."""
SHORTEST_RETENTION_DAYS = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """The variables ``MULTINODE_*`` of the Lambda functions. `retention`: None keeps finished invocations for ever."""

    deployment: str
    table: str
    ecs: EcsSettings
    event_bus: str
    log_group: str
    api_key_parameter: str
    token_secret_parameter: str
    api_url: str
    repository_url: str
    retention: timedelta | None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings. Raises SettingIsInvalid, which names the variable."""
        days = _whole(environ, "MULTINODE_RETENTION_DAYS")
        return cls(
            deployment=_text(environ, "MULTINODE_DEPLOYMENT"),
            table=_text(environ, "MULTINODE_TABLE"),
            ecs=EcsSettings(
                cluster=_text(environ, "MULTINODE_CLUSTER"),
                subnets=_texts(environ, "MULTINODE_SUBNETS"),
                security_groups=_texts(environ, "MULTINODE_SECURITY_GROUPS"),
                assign_public_ip=_text(environ, "MULTINODE_ASSIGN_PUBLIC_IP") == "ENABLED",
                capacity_providers=_weights(environ, "MULTINODE_CAPACITY_PROVIDERS"),
            ),
            event_bus=_text(environ, "MULTINODE_EVENT_BUS"),
            log_group=_text(environ, "MULTINODE_LOG_GROUP"),
            api_key_parameter=_text(environ, "MULTINODE_API_KEY_PARAMETER"),
            token_secret_parameter=_text(environ, "MULTINODE_TOKEN_SECRET_PARAMETER"),
            api_url=_text(environ, "MULTINODE_API_URL"),
            repository_url=_text(environ, "MULTINODE_REPOSITORY_URL"),
            retention=timedelta(days=max(days, SHORTEST_RETENTION_DAYS)) if days > 0 else None,
        )


def _text(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise SettingIsInvalid(f"{name} is not set: apply the deployment's Terraform again")
    return value


def _texts(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in _text(environ, name).split(",") if part.strip())


def _whole(environ: Mapping[str, str], name: str) -> int:
    value = _text(environ, name)
    if not value.isdecimal():
        raise SettingIsInvalid(f"{name} is {value!r}, which is not a whole number")
    return int(value)


def _weights(environ: Mapping[str, str], name: str) -> dict[str, int]:
    """Return ``FARGATE=1,FARGATE_SPOT=3`` as a dictionary."""
    weights: dict[str, int] = {}
    for part in _texts(environ, name):
        provider, _, weight = part.partition("=")
        if not provider or not weight.isdecimal() or int(weight) == 0:
            raise SettingIsInvalid(f"{name}: {part!r} is not <capacity provider>=<weight of at least 1>")
        weights[provider] = int(weight)
    return weights


class AwsDeployment:
    """All parts of a deployment on AWS. Creating it creates no AWS client: each is created when it is first used."""

    def __init__(self, settings: Settings, clients: Clients) -> None:
        self.settings = settings
        clock = SystemClock()
        self.store = DynamoStore(clients, settings.table, retention=settings.retention)
        self.context = Context(self.store, clock, SystemIds(), Limits(longest_request_s=LONGEST_REQUEST_S))
        self.compute = EcsCompute(clients, settings.ecs, clock)
        self.logs = CloudWatchLogs(clients, settings.log_group, clock)
        self.event_publisher = EventBridgePublisher(clients, settings.event_bus, settings.deployment)
        self.keychain = SsmKeychain(
            clients,
            api_key_parameter=settings.api_key_parameter,
            token_secret_parameter=settings.token_secret_parameter,
        )
        self.repository_credentials = EcrCredentials(clients, settings.repository_url)
        self._reactor = Reactor(
            self.context,
            self.compute,
            self.event_publisher,
            lambda *of: execution_token(self.keychain.token_secret(), *of),
            lambda: settings.api_url,
        )

    def react(self, change: Change) -> None:
        """Perform the effects of a change. If the invocation was removed, by TTL or a deletion, remove its payloads."""
        react(self._reactor, change)
        if change.new is None and change.old is not None:
            self.store.forget(change.old.invocation_id)

    def container_event(self, event: TaskEvent) -> None:
        """Commit how a container ended."""
        task_events.container_ended(
            self.context,
            event.invocation_id,
            event.execution_id,
            event.exit,
            worker=event.worker,
        )

    def sweep(self, *, reconcile: bool) -> SweepReport:
        """Act on what is due and, with `reconcile`, on what events missed; return what was done."""
        return sweep(self.context, self.compute, self.logs, reconcile=reconcile)


@functools.cache
def deployment() -> AwsDeployment:
    """Return the deployment that this Lambda function belongs to. Raises SettingIsInvalid."""
    return AwsDeployment(Settings.read(os.environ), Clients())


def api_ports() -> ApiPorts:
    """Return what the API handler needs."""
    ours = deployment()
    _, _, _, region, account_id, _ = ours.settings.ecs.cluster.split(":", 5)  # arn:aws:ecs:<region>:<account>:cluster/…
    info = DeploymentInfo(
        backend="ecs",
        api_version=API_VERSION,
        multinode_version=multinode_version(),
        deployment_name=ours.settings.deployment,
        region=region,
        account_id=account_id,
    )
    return ApiPorts(
        ours.context,
        ours.keychain,
        ours.logs,
        PollingWaiter(),
        info,
        ours.repository_credentials,
        # Each read from CloudWatch counts against a quota of a few per second, and a waiting Lambda costs money.
        longest_log_wait_s=0,
    )


def stream_consumer() -> StreamConsumer:
    """Return the consumer of the table's stream."""
    return StreamConsumer(deployment().react)


def task_event_consumer() -> TaskEventConsumer:
    """Return the consumer of task events."""
    return TaskEventConsumer(deployment().container_event)


def sweeper() -> Callable[[bool], SweepReport]:
    """Return the sweep; its argument says whether to check every open container too."""
    ours = deployment()
    return lambda reconcile: ours.sweep(reconcile=reconcile)


def trigger() -> Callable[[Mapping[str, object]], Invocation]:
    """Return the trigger, which starts the function that an event asks for."""
    context = deployment().context
    return lambda event: triggers.start(context, trigger_request(event))
