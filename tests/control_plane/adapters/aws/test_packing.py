"""Packing: short enough for one KB, readable for ever, and loud about anything else."""

import random
import string
import zlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from multinode_control_plane.adapters.aws.dynamodb_items import item_of
from multinode_control_plane.adapters.aws.packing import pack, unpack
from multinode_control_plane.core.lifecycle import SHORT_TEXT_BYTES, settle
from multinode_control_plane.core.records import ExecutionSpec, Invocation, ParentRef
from multinode_protocol.status import InvocationStatus, Outcome, WorkerStatus
from tests.support.aws.records import INVOCATION_ID, NOW, execution, invocation

DATA = b'{"invocation_id":"inv-1","project_name":"tsp","status":"PENDING"}'
PACKED_FIRST = bytes.fromhex("78f9f6a221acc39eef0c31335e4971811252b2841520b500e87c159f")
"""`DATA` as the first release packed it."""


def random_text(length: int) -> str:
    letters = random.Random(7)
    return "".join(letters.choice(string.ascii_letters + string.digits) for _ in range(length))


def full() -> Invocation:
    """Return a subtask with long names that has ended with the longest result that it may hold itself."""
    run = execution(
        worker_status=WorkerStatus.RUNNING,
        worker_nonce=f"{random.Random(8).getrandbits(128):032x}",
        launched_at=NOW + timedelta(milliseconds=512),
        started_at=NOW + timedelta(milliseconds=27391, microseconds=17),
        finished_at=NOW + timedelta(milliseconds=83291, microseconds=231),
        updated_at=NOW + timedelta(milliseconds=83291, microseconds=231),
        outcome=Outcome.SUCCEEDED,
        final_output=random_text(SHORT_TEXT_BYTES),
    )
    made = replace(
        invocation(waiting_in=None, execution_spec=ExecutionSpec(max_retries=3, timeout_s=7200, grace_s=30)),
        project_name="image_processing",
        version_id="ver-0192f3a5b6c07a1b8c2d3e4f50618888",
        function_name="resize_all_pictures",
        parent=ParentRef("process_album", f"inv-{random.Random(9).getrandbits(128):032x}"),
        depth=1,
        input_digest=None,
        input_text=random_text(SHORT_TEXT_BYTES)[::-1],
        status=InvocationStatus.SUCCEEDED,
        finished_at=run.finished_at,
        executions=(run,),
    )
    return settle(made, NOW + timedelta(seconds=84))


def test_an_invocation_with_long_names_and_short_texts_counts_as_one_kb() -> None:
    item = item_of(full(), version=5, operation="0" * 32, retention=timedelta(days=30))
    assert full().invocation_id == INVOCATION_ID
    values: list[Any] = [next(iter(value.values())) for value in item.values()]
    assert sum(map(len, item)) + sum(map(len, values)) <= 1024


def test_what_was_packed_is_unpacked() -> None:
    assert unpack(pack(DATA)) == DATA
    assert len(pack(DATA)) < len(zlib.compress(DATA))


def test_what_the_first_release_packed_can_be_read() -> None:
    assert unpack(PACKED_FIRST) == DATA


def test_what_was_packed_without_the_dictionary_can_be_read() -> None:
    assert unpack(zlib.compress(DATA)) == DATA


@pytest.mark.parametrize("end", [0, 1, 5, -1])
def test_what_was_cut_short_is_refused(end: int) -> None:
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(pack(DATA)[:end])


def test_what_was_packed_with_another_dictionary_is_refused() -> None:
    other = zlib.compressobj(zdict=b"of a newer release")
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(other.compress(DATA) + other.flush())
