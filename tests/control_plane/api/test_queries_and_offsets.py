"""Query strings become values, and offsets lead back to the place in the listing that they were made for."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode_control_plane.api.queries import (
    execution_logs_query,
    listing_query,
    logs_query,
    wait_query,
)
from multinode_control_plane.core import offsets
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.records import ParentRef
from multinode_control_plane.services.details import WaitQuery
from multinode_control_plane.services.listing import ListingQuery
from multinode_control_plane.services.log_reading import ExecutionLogsQuery, LogsQuery
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.status import InvocationStatus

INVOCATION_ID = "inv-" + "0" * 32


def refusal(action: Callable[..., object], *arguments: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        action(*arguments)
    return refused.value


def test_without_parameters_everything_has_its_default() -> None:
    assert listing_query({}) == ListingQuery(50, None, frozenset(), False, None)
    assert wait_query({}) == WaitQuery(0.0, None, False)
    assert execution_logs_query({}) == ExecutionLogsQuery(1000, None)
    assert logs_query({}) == LogsQuery(1000, None, None, 0, None, 0.0)


def test_an_empty_parameter_counts_as_not_given() -> None:
    empty = dict.fromkeys(
        ["max_results", "initial_offset", "status", "parent_function_name", "parent_invocation_id"], ""
    )
    assert listing_query(empty) == listing_query({})


def test_a_listing_with_every_parameter() -> None:
    query = {
        "max_results": "7",
        "initial_offset": "abc",
        "status": "PENDING,RUNNING,TERMINATED",
        "parent_function_name": "g",
        "parent_invocation_id": INVOCATION_ID,
    }
    statuses = frozenset({InvocationStatus.PENDING, InvocationStatus.RUNNING})
    assert listing_query(query) == ListingQuery(7, "abc", statuses, True, ParentRef("g", INVOCATION_ID))


def test_more_than_the_most_means_the_most() -> None:
    assert listing_query({"max_results": "51"}).max_results == 50
    assert wait_query({"wait_s": "86400"}).wait_s == 20
    assert execution_logs_query({"max_lines": "999999"}).max_lines == 10_000
    assert logs_query({"tail": "999999"}).tail == 10_000


def test_waiting_with_every_parameter() -> None:
    assert wait_query({"wait_s": "2.5", "since": "4.0", "until": "finished"}) == WaitQuery(2.5, "4.0", True)


def test_logs_with_every_parameter() -> None:
    query = {"max_lines": "5", "offset": "o", "since_ms": "99", "execution_id": "exe-1", "wait_s": "1"}
    assert logs_query(query) == LogsQuery(5, "o", None, 99, "exe-1", 1.0)
    assert logs_query({"tail": "0"}).tail == 0


NUMBERS = ["x", "-1", "+1", "1.5", "1e3", " 1", "1 ", "1,2", "NaN", "Infinity", "0x1", "١", "1" * 16, "\n1", "1\0"]


@pytest.mark.parametrize("value", [*NUMBERS, "0"])
def test_a_number_of_results_is_written_in_plain_digits(value: str) -> None:
    refused = refusal(listing_query, {"max_results": value})
    assert refused.code is ErrorCode.REQUEST_IS_INVALID
    assert "`max_results` is" in refused.message
    assert refused.message.endswith("allowed: a whole number, 1 or more")


@pytest.mark.parametrize("name", ["max_lines", "tail", "since_ms"])
@pytest.mark.parametrize("value", NUMBERS)
def test_so_are_the_numbers_for_logs(name: str, value: str) -> None:
    assert refusal(logs_query, {name: value}).code is ErrorCode.REQUEST_IS_INVALID


@pytest.mark.parametrize("value", ["x", "-1", "NaN", "inf", "1e309", "1.", ".5", "1,1", "1" * 10, "٣"])
def test_seconds_to_wait_are_a_plain_decimal_number(value: str) -> None:
    refused = refusal(wait_query, {"wait_s": value})
    assert "`wait_s` is" in refused.message
    assert "from 0 to 20" in refused.message


def test_unknown_words_are_refused_with_those_that_are_known() -> None:
    assert "PENDING, RUNNING, CANCELLING, SUCCEEDED" in refusal(listing_query, {"status": "DONE"}).message
    assert "allowed: finished" in refusal(wait_query, {"until": "forever"}).message


def test_tail_and_offset_exclude_each_other() -> None:
    assert "`tail` comes with `offset`" in refusal(logs_query, {"tail": "5", "offset": "x"}).message


def test_one_half_of_a_parent_names_the_other_half_as_missing() -> None:
    only_id, only_name = {"parent_invocation_id": INVOCATION_ID}, {"parent_function_name": "g"}
    assert refusal(listing_query, only_id).code is ErrorCode.PARENT_FUNCTION_NAME_IS_MISSING
    assert refusal(listing_query, only_name).code is ErrorCode.PARENT_INVOCATION_ID_IS_MISSING


# --- offsets --------------------------------------------------------------------------------------------------------


@given(st.lists(st.none() | st.text(), min_size=1, max_size=3), st.text())
def test_an_offset_leads_back_to_its_place_and_needs_no_escape_in_a_url(place: list[str | None], name: str) -> None:
    listing = ("invocations", name)
    offset = offsets.pack(listing, tuple(place))
    assert set(offset) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert offsets.unpack(listing, offset, parts=len(place)) == tuple(place)


def packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


GOOD = offsets.pack(("a",), ("place",))
BINDING = json.loads(base64.urlsafe_b64decode(GOOD + "=="))[0]


@pytest.mark.parametrize(
    "offset",
    [
        "garbage",
        "%00",
        "é",
        "\ud800",
        "=",
        GOOD[:-2],
        GOOD + "AAAA",
        offsets.pack(("b",), ("place",)),
        offsets.pack(("a",), ("place", "more")),
        packed([BINDING]),
        packed([BINDING, 5]),
        packed([BINDING, ["place"]]),
        packed({"0": BINDING}),
        packed("text"),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
)
def test_garbage_and_the_offset_of_another_listing_are_invalid(offset: str) -> None:
    with pytest.raises(ValueError):
        offsets.unpack(("a",), offset, parts=1)
