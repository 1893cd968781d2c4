"""What clients send becomes records, or a refusal that names the field, what is wrong with it and what is allowed."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode_control_plane.core import validation
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.records import (
    ExecutionSpec,
    FunctionSpec,
    LocalBundle,
    ParentRef,
    ResourceSpec,
    RetryPolicy,
)
from multinode_control_plane.core.reports import FinishReport
from multinode_protocol import limits
from multinode_protocol.failures import ErrorCode
from multinode_protocol.status import AbortReason, Outcome

INVOCATION_ID = "inv-" + "0" * 32


def function(**changes: Any) -> dict[str, Any]:
    return {
        "function_name": "f",
        "resource_spec": {"virtual_cpus": 0.5, "memory_gbs": 1, "max_concurrency": 3},
        "execution_spec": {"max_retries": 2, "timeout_seconds": 60},
        **changes,
    }


def version(*functions: Any, **changes: Any) -> dict[str, Any]:
    return {"default_docker_image": "image", "functions": list(functions or (function(),)), **changes}


def refusal(action: Callable[[Any], object], data: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        action(data)
    return refused.value


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "A-b_c9", "9", "latest", "a" * 64, "a--b"])
def test_project_names_are_letters_digits_hyphens_and_underscores(name: str) -> None:
    assert validation.new_project_name(name) == name
    assert validation.is_project_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *["", "..", "a/b", "-x", "_x", "--help", "x;rm -rf", "$(id)", "{{7*7}}", "%s%n", "a\n", "a\x1b[0m", "a\0"],
        *[
            "a\u202e",
            "\U0001f600",
            "e\u0301",
            "\u00e9",
            "a b",
            "a.b",
            "a#b",
            "\ud800",
            "a\u0660",
            "a/../b",
            "%2e%2e%2f",
        ],
    ],
)
def test_other_project_names_are_refused_with_what_is_allowed(name: str) -> None:
    refused = refusal(validation.new_project_name, name)
    assert refused.code is ErrorCode.REQUEST_IS_INVALID
    assert "`project_name` is" in refused.message
    assert "1 to 64 ASCII letters, digits, _ and -" in refused.message
    assert refused.message.isascii()
    assert refused.message.isprintable()
    assert not validation.is_project_name(name)


def test_65_characters_are_too_long_for_a_project_name() -> None:
    assert refusal(validation.new_project_name, "a" * 65).code is ErrorCode.PROJECT_NAME_IS_TOO_LONG
    assert not validation.is_project_name("a" * 65)


@pytest.mark.parametrize(
    ("check", "prefix"),
    [
        (validation.is_version_id, "ver-"),
        (validation.is_invocation_id, "inv-"),
        (validation.is_execution_id, "exe-"),
    ],
)
def test_ids_are_a_prefix_and_32_hexadecimal_digits(check: Callable[[str], bool], prefix: str) -> None:
    digits = "0123456789abcdef" * 2
    assert check(prefix + digits)
    others = [digits, "xxx-" + digits, prefix + digits + "0", prefix + digits[1:], prefix + digits.upper()]
    assert [text for text in [*others, prefix + digits + "\n", f"{prefix}../{digits[:29]}"] if check(text)] == []


# --- versions -------------------------------------------------------------------------------------------------------


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
    assert request == validation.VersionRequest(
        "image",
        (
            FunctionSpec(
                "f",
                "other",
                ResourceSpec(4.0, 30.5, 100_000),
                ExecutionSpec(50, 86_400, 30, 15, RetryPolicy(1.0, 3.0, 10.5, 0.25, ("ValueError",))),
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
        FunctionSpec("f", None, ResourceSpec(0.5, 1.0, 3), ExecutionSpec(2, 60, None, 120, RetryPolicy())),
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
    *[(resource("virtual_cpus", value), CPU, "above 0 up to 32") for value in [*NOT_NUMBERS, 0, -1, 32.01, 2**63]],
    *[
        (resource("memory_gbs", value), "functions[0].resource_spec.memory_gbs", "above 0 up to 244")
        for value in [*NOT_NUMBERS, 0, -0.5, 244.1]
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


# --- invocations ----------------------------------------------------------------------------------------------------


def test_an_invocation_with_all_fields() -> None:
    data = {
        "input": "[[1],{}]",
        "parent_invocation": {"function_name": "g", "invocation_id": INVOCATION_ID},
        "invocation_id": "inv-" + "f" * 32,
    }
    assert validation.invocation_request(data) == validation.InvocationRequest(
        "[[1],{}]", ParentRef("g", INVOCATION_ID), "inv-" + "f" * 32
    )


def test_an_invocation_of_the_first_generation_has_an_input_alone() -> None:
    data = {"input": "", "parent_invocation": None}
    assert validation.invocation_request(data) == validation.InvocationRequest("", None, None)


def test_the_input_limit_counts_bytes_of_utf_8() -> None:
    # é takes two bytes: 125,000 of them are at the limit.
    assert len(validation.invocation_request({"input": "é" * 125_000}).input_text) == 125_000
    refused = refusal(validation.invocation_request, {"input": "é" * 125_000 + "x"})
    assert refused.code is ErrorCode.REQUEST_IS_INVALID
    assert "`input` has 250001 bytes of UTF-8; allowed: a string of at most 250000 bytes" in refused.message


@pytest.mark.parametrize("value", [None, 5, ["x"], {"x": 1}, True, "a\ud800b"])
def test_an_input_that_is_no_text_is_refused(value: object) -> None:
    refused = refusal(validation.invocation_request, {"input": value})
    assert refused.code is ErrorCode.REQUEST_IS_INVALID
    assert "`input` " in refused.message


@pytest.mark.parametrize(
    "value", ["", "x", "inv-1", "exe-" + "0" * 32, "inv-" + "0" * 33, "inv-" + "G" * 32, INVOCATION_ID + "\n", 7]
)
def test_an_invocation_id_of_another_form_is_refused(value: object) -> None:
    refused = refusal(validation.invocation_request, {"input": "", "invocation_id": value})
    assert refused.code is ErrorCode.REQUEST_IS_INVALID
    assert "`invocation_id` " in refused.message


@pytest.mark.parametrize(
    ("parent", "code"),
    [
        ({}, ErrorCode.PARENT_FUNCTION_NAME_IS_MISSING),
        ({"invocation_id": INVOCATION_ID}, ErrorCode.PARENT_FUNCTION_NAME_IS_MISSING),
        ({"function_name": "g"}, ErrorCode.PARENT_INVOCATION_ID_IS_MISSING),
        ({"function_name": "g", "invocation_id": None}, ErrorCode.PARENT_INVOCATION_ID_IS_MISSING),
        ({"function_name": "g", "invocation_id": "inv-1"}, ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST),
        ({"function_name": "g", "invocation_id": "INV#x"}, ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST),
        ({"function_name": 5, "invocation_id": INVOCATION_ID}, ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST),
        ({"function_name": "g", "invocation_id": 5}, ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST),
        ("inv-1", ErrorCode.REQUEST_IS_INVALID),
    ],
)
def test_a_parent_is_named_by_both_of_its_fields(parent: object, code: ErrorCode) -> None:
    assert refusal(validation.invocation_request, {"input": "", "parent_invocation": parent}).code is code


# --- reports --------------------------------------------------------------------------------------------------------


def test_a_start_may_say_nothing_or_who_the_worker_is() -> None:
    assert validation.start_request({}) == validation.StartRequest(None, None)
    said = {"worker_nonce": "n", "worker_identifier": "exe-1-1"}
    assert validation.start_request(said) == validation.StartRequest("n", "exe-1-1")


@pytest.mark.parametrize("said", [{"worker_nonce": 5}, {"worker_nonce": "x" * 129}, {"worker_identifier": "a\nb"}])
def test_a_start_that_says_it_wrong_is_refused(said: dict[str, Any]) -> None:
    assert refusal(validation.start_request, said).code is ErrorCode.REQUEST_IS_INVALID


def test_progress_has_a_text_and_may_have_a_number() -> None:
    assert validation.progress({"latest_output": "5"}) == validation.Progress("5", None)
    numbered = {"latest_output": "5", "sequence": 2**53}
    assert validation.progress(numbered) == validation.Progress("5", 9007199254740992)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"latest_output": None},
        {"latest_output": 5},
        {"latest_output": "x" * 250_001},
        {"latest_output": "5", "sequence": 0},
        {"latest_output": "5", "sequence": True},
        {"latest_output": "5", "sequence": 1.5},
        {"latest_output": "5", "sequence": 2**53 + 1},
    ],
)
def test_progress_that_says_it_wrong_is_refused(said: dict[str, Any]) -> None:
    assert refusal(validation.progress, said).code is ErrorCode.REQUEST_IS_INVALID


def test_a_finish_of_the_first_generation() -> None:
    assert validation.finish_report({"outcome": "SUCCEEDED", "final_output": "1"}) == FinishReport(
        Outcome.SUCCEEDED, final_output="1"
    )
    assert validation.finish_report({"outcome": "ABORTED"}) == FinishReport(Outcome.ABORTED)
    assert validation.finish_report({"outcome": "FAILED", "error_message": "no"}) == FinishReport(
        Outcome.FAILED, error_message="no"
    )


def test_a_finish_with_all_fields() -> None:
    said = {
        "outcome": "FAILED",
        "error_message": "pkg.Bad: no",
        "error_type": "pkg.Bad",
        "error_bases": ["Bad", "pkg.Bad", "Exception"],
        "error_traceback": "Traceback",
        "retryable": False,
        "infrastructure": True,
    }
    assert validation.finish_report(said) == FinishReport(
        Outcome.FAILED,
        None,
        "pkg.Bad: no",
        "pkg.Bad",
        ("Bad", "pkg.Bad", "Exception"),
        "Traceback",
        retryable=False,
        infrastructure=True,
    )
    aborted = validation.finish_report({"outcome": "ABORTED", "abort_reason": "TIMED_OUT", "final_output": "1"})
    assert (aborted.abort_reason, aborted.final_output) == (AbortReason.TIMED_OUT, "1")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "`outcome` is missing; allowed: SUCCEEDED, FAILED, ABORTED"),
        ({"outcome": "succeeded"}, '`outcome` is "succeeded"'),
        ({"outcome": 1}, "`outcome` is 1"),
        ({"outcome": ["FAILED"]}, "`outcome` is"),
        ({"outcome": "FAILED"}, "`error_message` is missing"),
        ({"outcome": "FAILED", "error_message": 5}, "`error_message` is 5"),
        ({"outcome": "FAILED", "error_message": "\ud800"}, "`error_message` has a lone surrogate at character 0"),
        ({"outcome": "SUCCEEDED", "error_message": "no"}, "`error_message` comes with the outcome SUCCEEDED"),
        ({"outcome": "ABORTED", "error_message": "no"}, "`error_message` comes with the outcome ABORTED"),
        ({"outcome": "SUCCEEDED", "final_output": 5}, "`final_output` is 5"),
        ({"outcome": "SUCCEEDED", "final_output": "x" * 250_001}, "`final_output` has 250001 bytes"),
        ({"outcome": "ABORTED", "abort_reason": "BORED"}, "`abort_reason` is"),
        ({"outcome": "ABORTED", "retryable": "no"}, "`retryable` is"),
        ({"outcome": "ABORTED", "infrastructure": 1}, "`infrastructure` is 1; allowed: true or false"),
        ({"outcome": "FAILED", "error_message": "x", "error_bases": "x"}, "`error_bases` is"),
        ({"outcome": "FAILED", "error_message": "x", "error_bases": [5]}, "`error_bases[0]` is 5"),
    ],
)
def test_a_finish_that_says_it_wrong_is_refused(said: dict[str, Any], words: str) -> None:
    refused = refusal(validation.finish_report, said)
    assert refused.code is ErrorCode.REQUEST_IS_INVALID
    assert words in refused.message


def test_what_tells_of_an_error_is_cut_and_never_refused_for_its_length() -> None:
    report = validation.finish_report(
        {
            "outcome": "FAILED",
            "error_message": "m" * 20_000,
            "error_type": "t" * 1_000,
            "error_traceback": "head" + "t" * 20_000 + "end",
            "error_bases": ["b" * 600] * 300,
        }
    )
    assert report.error_message == "m" * 16_383 + "…"
    assert report.error_type == "t" * 499 + "…"
    assert report.error_traceback is not None
    assert (len(report.error_traceback), report.error_traceback[0], report.error_traceback[-3:]) == (16_384, "…", "end")
    assert (len(report.error_bases), len(report.error_bases[0])) == (200, 500)


def test_an_error_at_the_limit_is_kept_whole() -> None:
    text = "m" * limits.MAX_ERROR_CHARS
    assert validation.finish_report({"outcome": "FAILED", "error_message": text}).error_message == text


# --- everything -----------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["functions", "function_name", "resource_spec", "execution_spec", "retry", "local_bundle", "input", "outcome"]
FIELDS += ["parent_invocation", "invocation_id", "latest_output", "sequence", "error_message", "worker_nonce"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
@pytest.mark.parametrize(
    "action",
    [
        validation.version_request,
        validation.invocation_request,
        validation.start_request,
        validation.progress,
        validation.finish_report,
    ],
)
def test_every_json_object_gives_a_record_or_a_refusal(action: Callable[[Any], object], data: dict[str, Any]) -> None:
    try:
        assert action(data) is not None
    except Refused as refused:
        assert refused.status in (400, 422)
        assert refused.message.isprintable()
