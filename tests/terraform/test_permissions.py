"""Each Lambda may do what its code does, and nothing else: IAM statements against the calls that the adapters make."""

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from multinode_control_plane.adapters import aws as adapters
from tests.terraform.mirror import Planned

pytestmark = [pytest.mark.slow, pytest.mark.requires("terraform")]

ADAPTERS = sorted(Path(str(adapters.__file__)).parent.glob("*.py"))
HANDLERS = ("api", "changes", "sweep", "task_events", "trigger")
CLIENTS_OF_SERVICES = {"ecs_launches": "ecs"}

PARTS_OF_TRANSACTIONS = {"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"}
"""TransactWriteItems has no action of its own: IAM asks for those of its parts (DynamoDB Developer Guide, IAM)."""

NOT_CALLED_BY_CODE = {
    # What Lambda does in the function's name: write its log, read its event source, put away what failed.
    *("logs:CreateLogStream", "logs:PutLogEvents"),
    *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
    "sqs:SendMessage",
    # What RunTask asks for besides itself.
    *("iam:PassRole", "ecs:TagResource"),
    # What the credentials of GET /container_repository_credentials are for: Docker makes these calls with them.
    *("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
    *("ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"),
}


def statements(made: Planned, handler: str) -> list[Mapping[str, Any]]:
    policy = json.loads(made[f"module.{handler}.aws_iam_role_policy.this"]["policy"])
    return list(policy["Statement"])


def actions(made: Planned, *handlers: str) -> set[str]:
    return {action for handler in handlers for each in statements(made, handler) for action in each["Action"]}


def calls(source: str) -> Iterator[tuple[str, str]]:
    """Yield service and method of each call on an AWS client: ``….<clients>.<service>.<method>(…)``.

    A property ``_client`` that returns ``self._clients.<service>`` counts as that service.
    """
    tree = ast.parse(source)
    own_clients = {
        node.name: _service(returned.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "_client"
        for returned in ast.walk(node)
        if isinstance(returned, ast.Return)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver = node.func.value
            service = _service(receiver)
            if service is None and isinstance(receiver, ast.Attribute):
                service = own_clients.get(receiver.attr)
            if service is not None:
                yield CLIENTS_OF_SERVICES.get(service, service), node.func.attr


def _service(expression: ast.expr | None) -> str | None:
    """Return X of ``….clients.X`` or ``…._clients.X``."""
    if isinstance(expression, ast.Attribute):
        inner = expression.value
        name = inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else ""
        if name.lstrip("_") == "clients":
            return expression.attr
    return None


def called_actions() -> set[str]:
    """Return the IAM actions of every call that the adapters make."""
    session = botocore.session.get_session()
    found: set[str] = set()
    for path in ADAPTERS:
        for service, method in calls(path.read_text()):
            operations = {xform_name(name): name for name in session.get_service_model(service).operation_names}
            found.add(f"{service}:{operations[method]}")
    assert "dynamodb:TransactWriteItems" in found
    return (found - {"dynamodb:TransactWriteItems"}) | PARTS_OF_TRANSACTIONS


def test_calls_are_found_through_clients_and_through_a_property() -> None:
    source = (
        "class A:\n"
        "    @property\n"
        "    def _client(self):\n"
        "        return self._clients.dynamodb\n"
        "    def f(self, clients):\n"
        "        self._client.get_item(Key=1)\n"
        "        self._clients.ecs_launches.run_task()\n"
        "        clients.ssm.get_parameter()\n"
        "        self.other.call()\n"
    )
    assert set(calls(source)) == {("dynamodb", "get_item"), ("ecs", "run_task"), ("ssm", "get_parameter")}


def test_every_call_of_the_adapters_is_granted_and_nothing_else(made: Planned) -> None:
    assert actions(made, *HANDLERS) - NOT_CALLED_BY_CODE == called_actions()


def test_no_action_is_a_pattern(made: Planned) -> None:
    every = actions(made, *HANDLERS)
    assert len(every) > 20
    assert [action for action in every if "*" in action] == []


def test_only_actions_that_know_no_resource_are_granted_on_all(made: Planned) -> None:
    on_all = {
        action
        for handler in HANDLERS
        for each in statements(made, handler)
        if "*" in each["Resource"]
        for action in each["Action"]
    }
    assert on_all == {"ecr:GetAuthorizationToken", "ecs:ListTasks"}


def test_only_the_reactor_starts_containers_and_passes_roles(made: Planned) -> None:
    sensitive = {"ecs:RunTask", "iam:PassRole", "ecs:TagResource", "events:PutEvents"}
    assert {name: actions(made, name) & sensitive for name in HANDLERS} == {
        "api": set(),
        "changes": sensitive,
        "sweep": set(),
        "task_events": set(),
        "trigger": set(),
    }


def test_roles_are_passed_to_ecs_tasks_alone(made: Planned) -> None:
    (passing,) = [each for each in statements(made, "changes") if "iam:PassRole" in each["Action"]]
    assert passing["Resource"] == ["arn:aws:iam::123456789012:role/task", "arn:aws:iam::123456789012:role/execution"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}


def test_containers_are_started_stopped_and_watched_on_this_cluster_alone(made: Planned) -> None:
    here = {"ArnEquals": {"ecs:cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/multinode-default"}}
    about_tasks = [
        each
        for handler in HANDLERS
        for each in statements(made, handler)
        if {"ecs:RunTask", "ecs:StopTask", "ecs:DescribeTasks", "ecs:ListTasks"} & set(each["Action"])
    ]
    assert len(about_tasks) == 7  # the reactor 4, the sweep 3
    assert [each["Condition"] for each in about_tasks] == [here] * 7


def test_who_reads_which_secret(made: Planned) -> None:
    def read_by(handler: str) -> set[str]:
        return {
            resource.rpartition("/")[2]
            for each in statements(made, handler)
            if "ssm:GetParameter" in each["Action"]
            for resource in each["Resource"]
        }

    assert {name: read_by(name) for name in HANDLERS} == {
        "api": {"api_key", "api_key:previous", "token_secret"},
        "changes": {"token_secret"},
        "sweep": set(),
        "task_events": set(),
        "trigger": set(),
    }


def test_what_a_rule_calls_reaches_nothing_but_the_table_and_the_dead_letters(made: Planned) -> None:
    for name in ("task_events", "trigger"):
        services = {action.partition(":")[0] for action in actions(made, name)}
        assert services == {"dynamodb", "logs", "sqs"}


def test_a_worker_s_code_may_do_nothing(made: Planned) -> None:
    assert made.of_type("aws_iam_role_policy_attachment") == {}
    assert {policy["name"] for policy in made.of_type("aws_iam_role_policy").values()} == {
        "own",
        "start-workers",
        "call",
    }
    assert "aws_iam_role_policy.task" not in made.of_type("aws_iam_role_policy")


def test_ecs_pulls_one_repository_writes_one_log_and_reads_only_our_parameters(made: Planned) -> None:
    policy = json.loads(made["aws_iam_role_policy.execution"]["policy"])
    granted = {each["Sid"]: each["Resource"] for each in policy["Statement"]}
    assert granted == {
        "RepositoryLogin": ["*"],
        "RepositoryPull": ["arn:aws:ecr:eu-west-1:123456789012:repository/multinode-default"],
        "WriteLogs": ["arn:aws:logs:eu-west-1:123456789012:log-group:/multinode/default/workers:*"],
        "ReadProjectParameters": [
            "arn:aws:ssm:eu-west-1:123456789012:parameter/multinode/default/projects/*",
        ],
    }
