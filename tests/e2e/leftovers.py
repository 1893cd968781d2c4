"""What there is: of one project, and in the whole account. Both are compared before and after something is undone."""

from collections.abc import Callable, Mapping
from typing import Any

from multinode_control_plane.adapters.aws.dynamodb_items import body_of
from tests.e2e.engine import Engine
from tests.e2e.registry import Registry

Client = Callable[[str], Any]


def traces(
    client: Client, engine: Engine, registry: Registry, deployment: Mapping[str, Any], project_name: str
) -> dict[str, list[str]]:
    """Return what there is of a project, by kind."""
    repository = deployment["repository_url"].split("/", 1)[1]
    family = f"{deployment['task_family_prefix']}{project_name}"
    definitions = _all(client("ecs"), "list_task_definitions", "taskDefinitionArns", status="ACTIVE")
    parameters = _all(
        client("ssm"),
        "get_parameters_by_path",
        "Parameters",
        Path=f"{deployment['parameter_prefix']}/projects/{project_name}",
        Recursive=True,
    )
    schedules = _all(client("scheduler"), "list_schedules", "Schedules", GroupName=deployment["schedules"]["group"])
    return {
        "records": [item["sort"] for item in records(client, deployment) if f"'{project_name}'" in item["record"]],
        "images": [tag for tag in registry.tags(repository) if tag.startswith(f"{project_name}.")],
        "task definitions": [arn for arn in definitions if arn.rsplit("/", 1)[1].rsplit(":", 1)[0] == family],
        "schedules": [schedule["Name"] for schedule in schedules if schedule["Name"].startswith(project_name)],
        "parameters": [parameter["Name"] for parameter in parameters],
        "log streams": _streams(client, deployment, project_name),
        "containers": engine.containers("com.amazonaws.ecs.task-definition-family", family),
    }


def records(client: Client, deployment: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the items of the deployment's table."""
    items = _all(client("dynamodb"), "scan", "Items", TableName=f"multinode-{deployment['name']}")
    return [
        {**{name: item[name]["S"] for name in ("partition", "sort", "type")}, "record": repr(body_of(item))}
        for item in items
    ]


def _streams(client: Client, deployment: Mapping[str, Any], project_name: str) -> list[str]:
    tasks = _tasks(client, deployment["cluster"])
    mine = {task["taskArn"].rsplit("/", 1)[1] for task in tasks if task["group"] == f"multinode:{project_name}"}
    streams = _all(client("logs"), "describe_log_streams", "logStreams", logGroupName=deployment["log_group"])
    names = [stream["logStreamName"] for stream in streams]
    return [name for name in names if name.rsplit("/", 1)[1] in mine]


def _tasks(client: Client, cluster: str) -> list[dict[str, Any]]:
    ecs = client("ecs")
    arns = [
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in _all(ecs, "list_tasks", "taskArns", cluster=cluster, desiredStatus=status)
    ]
    batches = [arns[start : start + 100] for start in range(0, len(arns), 100)]
    return [task for batch in batches for task in ecs.describe_tasks(cluster=cluster, tasks=batch)["tasks"]]


def census(client: Client) -> dict[str, list[str]]:
    """Return the names of what an account holds, by kind, of the kinds that a deployment is made of."""
    ecs, events, scheduler = client("ecs"), client("events"), client("scheduler")
    clusters = ecs.describe_clusters(clusters=_all(ecs, "list_clusters", "clusterArns"))["clusters"]
    found = {
        "alarms": _names(client("cloudwatch"), "describe_alarms", "MetricAlarms", "AlarmName"),
        "apis": _names(client("apigatewayv2"), "get_apis", "Items", "Name"),
        "clusters": [each["clusterName"] for each in clusters if each["status"] == "ACTIVE"],
        "event source mappings": _names(client("lambda"), "list_event_source_mappings", "EventSourceMappings", "UUID"),
        "functions": _names(client("lambda"), "list_functions", "Functions", "FunctionName"),
        "images": _names(client("ecr"), "describe_repositories", "repositories", "repositoryName"),
        "log groups": _names(client("logs"), "describe_log_groups", "logGroups", "logGroupName"),
        "parameters": _names(client("ssm"), "describe_parameters", "Parameters", "Name"),
        "queues": client("sqs").list_queues().get("QueueUrls", []),
        "roles": _names(client("iam"), "list_roles", "Roles", "RoleName"),
        "rules": [rule["Name"] for rule in events.list_rules()["Rules"]],
        "schedule groups": _names(scheduler, "list_schedule_groups", "ScheduleGroups", "Name"),
        "schedules": _names(scheduler, "list_schedules", "Schedules", "Name"),
        "security groups": _names(client("ec2"), "describe_security_groups", "SecurityGroups", "GroupName"),
        "tables": _all(client("dynamodb"), "list_tables", "TableNames"),
        "task definitions": _all(ecs, "list_task_definitions", "taskDefinitionArns", status="ACTIVE"),
    }
    return {kind: sorted(names) for kind, names in found.items()}


def _names(client: Any, operation: str, within: str, name: str) -> list[str]:
    return [each[name] for each in _all(client, operation, within)]


def _all(client: Any, operation: str, within: str, **arguments: Any) -> list[Any]:
    """Return what is in all pages of an answer."""
    pages = client.get_paginator(operation).paginate(**arguments)
    return [each for page in pages for each in page.get(within, [])]
