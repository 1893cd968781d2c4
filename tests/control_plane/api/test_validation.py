"""What clients send becomes records, or a refusal that names the field, what is wrong with it and what is allowed."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode_control_plane.api import validation
from multinode_control_plane.core import names
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.records import ParentRef
from multinode_control_plane.core.worker_transitions import FinishReport
from multinode_protocol import limits
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.status import AbortReason, Outcome
from tests.support.refusals import refusal

INVOCATION_ID = "inv-" + "0" * 32


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "A-b_c9", "9", "latest", "a" * 64, "a--b"])
def test_project_names_are_letters_digits_hyphens_and_underscores(name: str) -> None:
    assert validation.new_project_name(name) == name
    assert names.is_project_name(name)


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
    assert not names.is_project_name(name)


def test_65_characters_are_too_long_for_a_project_name() -> None:
    assert refusal(validation.new_project_name, "a" * 65).code is ErrorCode.PROJECT_NAME_IS_TOO_LONG
    assert not names.is_project_name("a" * 65)


@pytest.mark.parametrize(
    ("check", "prefix"),
    [
        (names.is_version_id, "ver-"),
        (names.is_invocation_id, "inv-"),
        (names.is_execution_id, "exe-"),
    ],
)
def test_ids_are_a_prefix_and_32_hexadecimal_digits(check: Callable[[str], bool], prefix: str) -> None:
    digits = "0123456789abcdef" * 2
    assert check(prefix + digits)
    others = [digits, "xxx-" + digits, prefix + digits + "0", prefix + digits[1:], prefix + digits.upper()]
    assert [text for text in [*others, prefix + digits + "\n", f"{prefix}../{digits[:29]}"] if check(text)] == []


# --- invocations ----------------------------------------------------------------------------------------------------


def test_an_invocation_with_all_fields() -> None:
    data: dict[str, object] = {
        "input": "[[1],{}]",
        "parent_invocation": {"function_name": "g", "invocation_id": INVOCATION_ID},
        "invocation_id": "inv-" + "f" * 32,
    }
    assert validation.invocation_request(data) == validation.InvocationRequest(
        "[[1],{}]", ParentRef("g", INVOCATION_ID), "inv-" + "f" * 32
    )


def test_an_invocation_of_the_first_generation_has_an_input_alone() -> None:
    data: dict[str, object] = {"input": "", "parent_invocation": None}
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
    said: dict[str, object] = {"worker_nonce": "n", "worker_identifier": "exe-1-1"}
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
