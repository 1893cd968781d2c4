"""Terraform and code agree on names: handlers, environment, table, routes, patterns, times, the CLI's parameter."""

import dataclasses
import importlib
import json
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from multinode_cli.aws_install import checks
from multinode_cli.backends.aws import account
from multinode_control_plane.adapters.aws import eventbridge
from multinode_control_plane.adapters.aws.dynamodb_items import KEY_ATTRIBUTES, item_of
from multinode_control_plane.adapters.aws.ecs import LAUNCH_PATIENCE_S
from multinode_control_plane.adapters.aws.ecs_events import task_event
from multinode_control_plane.adapters.aws.waiter import LONGEST_HOLD_S
from multinode_control_plane.api.dispatch import ROUTES
from multinode_control_plane.core.keys import Index, invocation_key
from multinode_control_plane.core.records import Payload
from multinode_control_plane.handlers.sweep import TIME_FOR_ANOTHER_MS
from multinode_control_plane.ports import Announcement
from multinode_control_plane.wiring import aws
from multinode_protocol.limits import MAX_WAIT_S
from tests.support.world import World
from tests.terraform.mirror import Planned, Terraform
from tests.terraform.patterns import matches

pytestmark = [pytest.mark.slow(about_s=20), pytest.mark.requires("terraform")]

REPOSITORY = Path(__file__).parents[2]
SAMPLES = sorted((REPOSITORY / "tests" / "support" / "aws" / "task_events").glob("*.json"))
HANDLERS = ("api", "changes", "sweep", "task_events", "trigger")


def function(made: Planned, name: str) -> Mapping[str, Any]:
    return made[f"module.{name}.aws_lambda_function.this"]


def environment(made: Planned, name: str) -> dict[str, str]:
    return dict(function(made, name)["environment"][0]["variables"])


# --- Lambdas ----------------------------------------------------------------------------------------------------------


def test_these_are_all_the_lambdas(made: Planned) -> None:
    assert set(made.of_type("aws_lambda_function")) == {f"module.{name}.aws_lambda_function.this" for name in HANDLERS}


@pytest.mark.parametrize("name", HANDLERS)
def test_the_handler_that_terraform_names_can_be_imported(made: Planned, name: str) -> None:
    module, _, attribute = function(made, name)["handler"].rpartition(".")
    assert module == f"multinode_control_plane.handlers.{name}"
    assert callable(getattr(importlib.import_module(module), attribute))


def test_every_lambda_runs_on_what_the_package_is_built_for(made: Planned) -> None:
    kinds = {(each["runtime"], *each["architectures"]) for each in made.of_type("aws_lambda_function").values()}
    assert kinds == {("python3.13", "arm64")}


def test_every_lambda_logs_json_to_its_own_group_and_only_platform_warnings(made: Planned) -> None:
    for each in made.of_type("aws_lambda_function").values():
        (logging,) = each["logging_config"]
        assert logging["log_format"] == "JSON"
        assert logging["system_log_level"] == "WARN"
        assert logging["log_group"] == f"/aws/lambda/{each['function_name']}"


def test_the_code_reads_no_variable_that_terraform_does_not_set(made: Planned) -> None:
    read = set(re.findall(r'"(MULTINODE_\w+)"', Path(aws.__file__).read_text()))
    assert len(read) >= 12
    for name in HANDLERS:
        assert read <= set(environment(made, name))


def test_the_code_understands_the_variables_that_terraform_sets(made: Planned) -> None:
    settings = aws.Settings.read(environment(made, "changes"))
    assert dataclasses.asdict(settings) == {
        "deployment": "default",
        "table": "multinode-default",
        "ecs": {
            "cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/multinode-default",
            "subnets": ("subnet-a", "subnet-b"),
            "security_groups": ("sg-workers",),
            "assign_public_ip": True,
            "capacity_providers": {"FARGATE": 1},
        },
        "event_bus": "default",
        "log_group": "/multinode/default/workers",
        "api_key_parameter": "/multinode/default/api_key",
        "token_secret_parameter": "/multinode/default/token_secret",
        "api_url": "https://api1.execute-api.eu-west-1.amazonaws.com",
        "repository_url": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/multinode-default",
        "retention": timedelta(days=30),
    }


def test_a_lambda_outlives_what_it_waits_for(made: Planned) -> None:
    assert function(made, "api")["timeout"] > max(MAX_WAIT_S, LONGEST_HOLD_S)
    assert function(made, "changes")["timeout"] > 2 * LAUNCH_PATIENCE_S
    assert 1000 * function(made, "sweep")["timeout"] > 2 * TIME_FOR_ANOTHER_MS


def test_two_sweeps_never_run_at_once(made: Planned) -> None:
    assert function(made, "sweep")["timeout"] < 60
    assert function(made, "sweep")["reserved_concurrent_executions"] == 1


def test_doctor_and_install_know_how_much_concurrency_is_reserved(made: Planned) -> None:
    reserved = sum(function(made, name)["reserved_concurrent_executions"] or 0 for name in HANDLERS)
    # Lambda keeps 100 for what has reserved none.
    assert reserved + 100 == checks.NEEDED_LAMBDA_CONCURRENCY


def test_what_a_rule_calls_is_tried_again_and_given_up_as_a_dead_letter(made: Planned) -> None:
    for name in ("task_events", "trigger"):
        asynchronous = made[f"module.{name}.aws_lambda_function_event_invoke_config.this[0]"]
        # Lambda's most: two repetitions of what failed, six hours for what is throttled.
        assert (asynchronous["maximum_retry_attempts"], asynchronous["maximum_event_age_in_seconds"]) == (2, 6 * 3600)
        letters = asynchronous["destination_config"][0]["on_failure"][0]["destination"]
        assert letters == made["aws_sqs_queue.dead_letters"]["arn"]


# --- table and stream -------------------------------------------------------------------------------------------------


def test_the_table_has_the_store_s_keys_and_indexes(made: Planned) -> None:
    table = made["aws_dynamodb_table.state"]
    assert (table["hash_key"], table["range_key"]) == KEY_ATTRIBUTES
    keys = {
        index["name"]: (index["hash_key"], index["range_key"], index["projection_type"])
        for index in table["global_secondary_index"]
    }
    assert keys == {str(index): (f"{index}_value", f"{index}_sort", "KEYS_ONLY") for index in Index}


def stream_record(name: str, **images: Mapping[str, Any]) -> dict[str, Any]:
    return {"eventName": name, "eventSource": "aws:dynamodb", "dynamodb": images}


def test_the_reactor_is_given_the_changes_of_invocations_alone(made: Planned) -> None:
    mapping = made["aws_lambda_event_source_mapping.changes"]
    filters = [json.loads(each["pattern"]) for each in mapping["filter_criteria"][0]["filter"]]

    def given(record: Mapping[str, Any]) -> bool:
        return any(matches(pattern, record) for pattern in filters)

    world = World()
    invocation_id = world.create()
    stored = world.store.get(invocation_key(invocation_id))
    assert stored is not None
    item = item_of(stored.record, version=1, operation="o", retention=None)
    other = item_of(Payload(invocation_id, "[]"), version=1, operation="o", retention=None)

    assert given(stream_record("INSERT", NewImage=item))
    assert given(stream_record("MODIFY", OldImage=item, NewImage=item))
    assert given(stream_record("REMOVE", OldImage=item))
    assert not given(stream_record("INSERT", NewImage=other))
    assert not given(stream_record("MODIFY", OldImage=other, NewImage=other))
    assert not given(stream_record("REMOVE", OldImage=other))


# --- API --------------------------------------------------------------------------------------------------------------


def test_every_route_of_the_api_reaches_its_lambda(made: Planned) -> None:
    keys = {each["route_key"] for each in made.of_type("aws_apigatewayv2_route").values()}
    # {proxy+} takes one part of a path or more, so the bare path needs a key of its own.
    reached = {"/": "ANY /"}
    assert len(ROUTES) > 20
    assert {reached.get(route.rule, "ANY /{proxy+}") for route in ROUTES} == keys
    assert made["aws_apigatewayv2_integration.api"]["payload_format_version"] == "2.0"


def test_the_stage_puts_nothing_before_the_paths(made: Planned) -> None:
    assert made["aws_apigatewayv2_stage.api"]["name"] == "$default"


# --- events -----------------------------------------------------------------------------------------------------------


def test_the_rule_of_task_events_may_call_its_target(made: Planned) -> None:
    target, permission = made["aws_cloudwatch_event_target.task_events"], made["aws_lambda_permission.task_events"]
    assert target["arn"] == function(made, "task_events")["arn"]
    assert permission["function_name"] == function(made, "task_events")["function_name"]
    assert permission["source_arn"] == made["aws_cloudwatch_event_rule.task_events"]["arn"]


def rule_matches(made: Planned, event: Mapping[str, Any]) -> bool:
    pattern = json.loads(made["aws_cloudwatch_event_rule.task_events"]["event_pattern"])
    return matches(pattern, event)


def of_this_cluster(sample: Path) -> dict[str, Any]:
    """Return a sample event as this deployment's own cluster would have sent it."""
    event: dict[str, Any] = json.loads(sample.read_text())
    event["detail"]["clusterArn"] = "arn:aws:ecs:eu-west-1:123456789012:cluster/multinode-default"
    return event


def test_there_are_samples() -> None:
    assert len(SAMPLES) >= 20


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_rule_brings_every_event_that_the_code_acts_on_and_no_other(made: Planned, sample: Path) -> None:
    event = of_this_cluster(sample)
    assert rule_matches(made, event) == (task_event(event) is not None)


def test_the_rule_leaves_out_other_clusters(made: Planned) -> None:
    event = json.loads((REPOSITORY / "tests" / "support" / "aws" / "task_events" / "exited_0.json").read_text())
    assert event["detail"]["clusterArn"] == "arn:aws:ecs:eu-west-1:123456789012:cluster/multinode-main"
    assert not rule_matches(made, event)


def test_the_example_s_rule_hears_of_failures_and_of_nothing_else(module: Terraform) -> None:
    text = (module.folder / "examples" / "complete" / "announcements.tf").read_text()
    source, detail_type, statuses = (
        re.findall(rf"\b{name}\s+= (\[.*?])", text)[0] for name in ("source", "detail-type", "status")
    )
    pattern = {
        "source": json.loads(source),
        "detail-type": json.loads(detail_type),
        "detail": {"status": json.loads(statuses)},
    }
    world = World()
    pending = world.get(world.create())
    failed = dataclasses.replace(pending, status=type(pending.status).FAILED)
    heard = [
        matches(
            pattern,
            {
                "source": eventbridge.SOURCE,
                "detail-type": eventbridge.DETAIL_TYPE,
                "detail": eventbridge.detail_of(Announcement(invocation, None, world.clock.now()), "default"),
            },
        )
        for invocation in (pending, failed)
    ]
    assert heard == [False, True]


# --- what the CLI is told ---------------------------------------------------------------------------------------------


def test_the_deployment_s_parameter_tells_the_cli_where_everything_is(made: Planned) -> None:
    parameter = made["aws_ssm_parameter.deployment"]
    assert parameter["name"] == "/multinode/default/deployment"
    assert parameter["type"] == "String"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert json.loads(parameter["insecure_value"]) == {
        "name": "default",
        "version": project["version"],
        "region": "eu-west-1",
        "api_url": "https://api1.execute-api.eu-west-1.amazonaws.com",
        "cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/multinode-default",
        "repository_url": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/multinode-default",
        "task_family_prefix": "multinode-default_",
        "task_role_arn": "arn:aws:iam::123456789012:role/task",
        "execution_role_arn": "arn:aws:iam::123456789012:role/execution",
        "log_group": "/multinode/default/workers",
        "event_bus": "default",
        "parameter_prefix": "/multinode/default",
        "api_key_parameter": "/multinode/default/api_key",
        "network": {"vpc_id": "vpc-default", "subnet_ids": ["subnet-a", "subnet-b"], "assign_public_ip": True},
        "trigger": {
            "function_arn": "arn:aws:lambda:eu-west-1:123456789012:function:multinode-default-trigger",
            "dead_letter_arn": "arn:aws:sqs:eu-west-1:123456789012:multinode-default-dead-letters",
        },
        "schedules": {"group": "multinode-default", "role_arn": "arn:aws:iam::123456789012:role/schedules"},
    }


def test_the_parameter_has_all_that_the_cli_asks_for(made: Planned) -> None:
    assert set(account.FIELDS) <= set(json.loads(made["aws_ssm_parameter.deployment"]["insecure_value"]))


def test_no_secret_is_in_what_terraform_remembers(made: Planned) -> None:
    for name in ("api_key", "token_secret"):
        parameter = made[f"aws_ssm_parameter.{name}"]
        assert parameter["value_wo"] is None
        assert parameter["value_wo_version"] == 1
