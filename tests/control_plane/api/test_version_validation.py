"""A version becomes records, or a refusal that names the field, what is wrong with it and what is allowed."""

from typing import Any

import pytest

from multinode_control_plane.api import validation
from multinode_control_plane.core.records import FunctionSpec, LocalBundle
from multinode_control_plane.services.projects import VersionRequest
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.function_options import ExecutionSpec, ResourceSpec, RetryPolicy
from tests.support.refusals import refusal


def function(**changes: Any) -> dict[str, Any]:
    return {
        "function_name": "f",
        "resource_spec": {"virtual_cpus": 0.5, "memory_gbs": 1, "max_concurrency": 3},
        "execution_spec": {"max_retries": 2, "timeout_seconds": 60},
        **changes,
    }


def version(*functions: Any, **changes: Any) -> dict[str, Any]:
    return {"default_docker_image": "image", "functions": list(functions or (function(),)), **changes}


def test_a_version_with_all_fields_becomes_records() -> None:
    spec = function(
        docker_image_override="other",
        description="Adds.",
        signature=["x", "y="],
        resource_spec={"virtual_cpus": 4, "memory_gbs": 30.5, "max_concurrency": 100_000},
        execution_spec={
            "max_retries": 50,
            "timeout_seconds": 86_400,
            "max_queue_seconds": 30,
            "grace_seconds": 15,
            "retry": {
                "initial_delay_s": 1,
                "backoff": 3,
                "max_delay_s": 10.5,
                "jitter": 0.25,
                "retry_on": ["ValueError"],
            },
        },
    )
    bundle = {"code_dir": "/b/code", "python": "/e/bin/python", "env_file": "/s/env.json"}
    request = validation.version_request(version(spec, local_bundle=bundle, task_definition="arn:aws:ecs:task"))
    assert request == VersionRequest(
        "image",
        (
            FunctionSpec(
                "f",
                "other",
                ResourceSpec(4.0, 30.5, 100_000),
                ExecutionSpec(
                    timeout_s=86_400,
                    max_retries=50,
                    max_queue_s=30,
                    grace_s=15,
                    retry=RetryPolicy(1.0, 3.0, 10.5, 0.25, ("ValueError",)),
                ),
                "Adds.",
                ("x", "y="),
            ),
        ),
        LocalBundle("/b/code", "/e/bin/python", "/s/env.json"),
        "arn:aws:ecs:task",
    )


def test_a_version_of_the_first_generation_takes_the_defaults() -> None:
    request = validation.version_request(version(function(docker_image_override=None, unknown=[1])))
    assert request.functions == (
        FunctionSpec("f", None, ResourceSpec(0.5, 1.0, 3), ExecutionSpec(timeout_s=60, max_retries=2)),
    )
    assert (request.local_bundle, request.task_definition) == (None, None)


def test_a_retry_policy_with_nothing_in_it_is_the_default_policy() -> None:
    spec = function(execution_spec={"max_retries": 0, "timeout_seconds": 1, "retry": {}})
    assert validation.version_request(version(spec)).functions[0].execution_spec.retry == RetryPolicy()


def test_a_long_docstring_is_cut_not_refused() -> None:
    request = validation.version_request(version(function(description="d" * 5000)))
    assert request.functions[0].description == "d" * 500


def resource(name: str, value: object) -> dict[str, Any]:
    return version(function(resource_spec={**function()["resource_spec"], name: value}))


def execution(name: str, value: object) -> dict[str, Any]:
    return version(function(execution_spec={**function()["execution_spec"], name: value}))


def retry(name: str, value: object) -> dict[str, Any]:
    return execution("retry", {name: value})


def bundle(**changes: object) -> dict[str, Any]:
    return version(local_bundle={"code_dir": "/c", "python": "/p", **changes})


NOT_NUMBERS = ["30", True, False, None, [], {}, float("nan"), float("inf"), float("-inf")]
CPU = "functions[0].resource_spec.virtual_cpus"
BAD_VERSIONS = [
    # (body, the field that the message names, what it says is allowed)
    ({}, "functions", "an array of 1 to 200 objects"),
    (version(functions=None), "functions", "an array of 1 to 200 objects"),
    (version(functions=[]), "functions", "an array of 1 to 200 objects"),
    (version(functions={}), "functions", "an array of 1 to 200 objects"),
    (version(*[function()] * 201), "functions", "has 201 items"),
    (version("f"), "functions[0]", "an object"),
    (version(function(), function()), "functions[1].function_name", "each name once"),
    (version(default_docker_image=None), "default_docker_image", "at most 1024 characters"),
    (version(default_docker_image=5), "default_docker_image", "is 5"),
    (version(default_docker_image="i" * 1025), "default_docker_image", "has 1025 characters"),
    (version(default_docker_image="a\nRUN x"), "default_docker_image", "control character"),
    (version(task_definition="\x1b[0m"), "task_definition", "control character"),
    (version(function(docker_image_override=[])), "functions[0].docker_image_override", "is []"),
    (version(function(resource_spec=None)), "functions[0].resource_spec", "is missing"),
    (version(function(resource_spec=[])), "functions[0].resource_spec", "an object"),
    (version(function(execution_spec="x")), "functions[0].execution_spec", "an object"),
    (version(function(description=7)), "functions[0].description", "is 7"),
    (version(function(signature="x")), "functions[0].signature", "at most 255 strings"),
    (version(function(signature=["x"] * 256)), "functions[0].signature", "has 256 items"),
    (version(function(signature=["x", 1])), "functions[0].signature[1]", "is 1"),
    (version(function(signature=["x" * 201])), "functions[0].signature[0]", "at most 200 characters"),
    (version(function(signature=["\ud800"])), "functions[0].signature[0]", "lone surrogate"),
    *[
        (version(function(function_name=name)), "functions[0].function_name", "a Python identifier")
        for name in ["", "9a", "a-b", "a b", "f\n", "f\0", "é", "a" * 129, "..", None, 3]
    ],
    (version(function(function_name="\udfff")), "functions[0].function_name", "lone surrogate"),
    *[(resource("virtual_cpus", value), CPU, "above 0 up to 32") for value in [*NOT_NUMBERS, 0, -1, 32.01, 10**400]],
    *[
        (resource("memory_gbs", value), "functions[0].resource_spec.memory_gbs", "above 0 up to 244")
        for value in [*NOT_NUMBERS, 0, -0.5, 244.1, -(10**400)]
    ],
    *[
        (resource("max_concurrency", value), "functions[0].resource_spec.max_concurrency", "from 1 to 100000")
        for value in [*NOT_NUMBERS, 0, -1, 1.5, 10.0, 100_001, 2**63]
    ],
    *[
        (execution("max_retries", value), "functions[0].execution_spec.max_retries", "from 0 to 50")
        for value in [*NOT_NUMBERS, -1, 51, 2.0]
    ],
    *[
        (execution("timeout_seconds", value), "functions[0].execution_spec.timeout_seconds", "from 1 to 86400")
        for value in [*NOT_NUMBERS, 0, 86_401, 0.5]
    ],
    *[
        (execution("max_queue_seconds", value), "functions[0].execution_spec.max_queue_seconds", "from 1 to 1209600")
        for value in ["30", True, 0, 1_209_601]
    ],
    *[
        (execution("grace_seconds", value), "functions[0].execution_spec.grace_seconds", "from 0 to 120")
        for value in ["30", False, -1, 121]
    ],
    (execution("retry", "often"), "functions[0].execution_spec.retry", "an object"),
    (retry("initial_delay_s", -0.1), "functions[0].execution_spec.retry.initial_delay_s", "from 0 to 86400"),
    (retry("backoff", 0.99), "functions[0].execution_spec.retry.backoff", "from 1 to 100"),
    (retry("max_delay_s", float("inf")), "functions[0].execution_spec.retry.max_delay_s", "is Infinity"),
    (retry("jitter", 1.01), "functions[0].execution_spec.retry.jitter", "from 0 to 1"),
    (retry("retry_on", "ValueError"), "functions[0].execution_spec.retry.retry_on", "at most 100 strings"),
    (bundle(code_dir="relative"), "local_bundle.code_dir", "an absolute path"),
    (bundle(code_dir="/a\0b"), "local_bundle.code_dir", "an absolute path"),
    (bundle(python=None), "local_bundle.python", "is missing"),
    (bundle(env_file="x"), "local_bundle.env_file", "an absolute path"),
    (bundle(code_dir="/" + "x" * 4096), "local_bundle.code_dir", "has 4097 characters"),
]


@pytest.mark.parametrize(("data", "field", "words"), BAD_VERSIONS)
def test_a_bad_version_is_refused_with_field_fault_and_bounds(data: Any, field: str, words: str) -> None:
    refused = refusal(validation.version_request, data)
    assert refused.code is ErrorCode.REQUEST_IS_INVALID
    assert refused.message.startswith(f"The request is invalid: `{field}` ")
    assert "; allowed: " in refused.message
    assert words in refused.message
    assert len(refused.message) < 400


def test_the_bounds_themselves_are_allowed() -> None:
    least = validation.version_request(
        version(
            function(
                resource_spec={"virtual_cpus": 5e-324, "memory_gbs": 5e-324, "max_concurrency": 1},
                execution_spec={"max_retries": 0, "timeout_seconds": 1, "max_queue_seconds": 1, "grace_seconds": 0},
            )
        )
    ).functions[0]
    assert (least.resource_spec.virtual_cpus, least.execution_spec.grace_s) == (5e-324, 0)
    most = validation.version_request(
        version(
            function(
                function_name="a" * 128,
                resource_spec={"virtual_cpus": 32, "memory_gbs": 244, "max_concurrency": 100_000},
                execution_spec={"max_retries": 50, "timeout_seconds": 86_400, "grace_seconds": 120},
            )
        )
    ).functions[0]
    assert (most.resource_spec, most.execution_spec.max_retries) == (ResourceSpec(32.0, 244.0, 100_000), 50)
