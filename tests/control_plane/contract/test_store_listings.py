"""Every Store: listings follow the index entries of the current records, page by page, and refuse foreign offsets."""

import base64
import json
import string
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from multinode_control_plane.core import keys
from multinode_control_plane.core.keys import ALL, DUE_DELETION, DUE_OPEN, DUE_SCHEDULE, DUE_WAITING, Index, due_sort
from multinode_control_plane.core.records import FunctionKey, Invocation, Project, Record, Schedules
from multinode_control_plane.ports import ABSENT, Delete, Put, Store, Stored
from tests.control_plane.contract.stores import StoreUnderTest
from tests.support.records import FUNCTION, NOW, invocation, one_of_each, open_execution, project, schedules

OF_FUNCTION = keys.function_index_value(FUNCTION)
NOW_MS = int(NOW.timestamp() * 1000)


def create(store: Store, *records: Record) -> None:
    store.commit([Put(record, ABSENT) for record in records])


def pages(
    store: Store, index: Index, value: str, *, limit: int, newest_first: bool = False, before: str | None = None
) -> Iterator[list[Record]]:
    """Give the records of each page; a backend may cut pages shorter than `limit`, never longer."""
    offset: str | None = None
    while True:
        page = store.list(index, value, limit=limit, offset=offset, newest_first=newest_first, before=before)
        assert len(page.items) <= limit
        yield [stored.record for stored in page.items]
        if page.next_offset is None:
            return
        assert set(page.next_offset) <= set(string.ascii_letters + string.digits + "-_.~="), (
            "offsets go into URLs as is"
        )
        offset = page.next_offset


def names(store: Store, index: Index, value: str, **options: object) -> list[str]:
    found = [record for page in pages(store, index, value, limit=2, **options) for record in page]  # type: ignore[arg-type]
    return [
        record.project_name if isinstance(record, Project | Schedules) else record.invocation_id  # type: ignore[union-attr]
        for record in found
    ]


def test_an_index_without_entries_gives_an_empty_last_page(store: Store) -> None:
    page = store.list(Index.BY_FUNCTION, OF_FUNCTION, limit=5)
    assert (list(page.items), page.next_offset) == ([], None)


def test_a_listing_gives_records_with_their_versions(store: Store) -> None:
    create(store, invocation(1))
    store.commit([Put(invocation(1), 1)])
    assert list(store.list(Index.BY_FUNCTION, OF_FUNCTION, limit=5).items) == [Stored(invocation(1), 2)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_pages_together_give_every_record_once_in_order(store: Store, count: int) -> None:
    for number in reversed(range(count)):
        create(store, invocation(number))
    ordered = [f"inv-{number:04d}" for number in range(count)]
    assert names(store, Index.BY_FUNCTION, OF_FUNCTION) == ordered
    assert names(store, Index.BY_FUNCTION, OF_FUNCTION, newest_first=True) == ordered[::-1]


def test_functions_are_listed_apart(store: Store) -> None:
    other = FunctionKey("shop", "ver-1", "prices")
    create(store, invocation(1), invocation(2, function=other))
    assert names(store, Index.BY_FUNCTION, OF_FUNCTION) == ["inv-0001"]
    assert names(store, Index.BY_FUNCTION, keys.function_index_value(other)) == ["inv-0002"]


def test_projects_are_listed_by_name(store: Store) -> None:
    create(store, project("b"), project("a"), project("c"), invocation(1))
    assert names(store, Index.PROJECTS, ALL) == ["a", "b", "c"]


def test_what_is_due_is_listed_by_time_up_to_an_exclusive_bound(store: Store) -> None:
    create(
        store,
        invocation(1, due_at=NOW + timedelta(milliseconds=2)),
        invocation(2, due_at=NOW),
        invocation(3),
        invocation(4, due_at=NOW + timedelta(milliseconds=1)),
        project("b", deletion_requested_at=NOW),
        project("c"),
    )
    assert names(store, Index.BY_DUE, DUE_WAITING) == ["inv-0002", "inv-0004", "inv-0001"]
    assert names(store, Index.BY_DUE, DUE_WAITING, before=due_sort(NOW_MS + 2)) == ["inv-0002", "inv-0004"]
    assert names(store, Index.BY_DUE, DUE_WAITING, before=due_sort(NOW_MS)) == []
    assert names(store, Index.BY_DUE, DUE_DELETION) == ["b"]


def test_a_project_s_schedules_are_listed_by_the_run_that_is_due_first(store: Store) -> None:
    empty = Schedules("idle", "ver-1")
    create(store, schedules("late", due_at=NOW + timedelta(seconds=1)), schedules("early", due_at=NOW), empty)
    assert names(store, Index.BY_DUE, DUE_SCHEDULE) == ["early", "late"]
    assert names(store, Index.BY_DUE, DUE_SCHEDULE, before=due_sort(NOW_MS + 1)) == ["early"]
    store.commit([Put(schedules("early", due_at=NOW + timedelta(hours=1)), 1), Put(Schedules("late", "ver-2"), 1)])
    assert names(store, Index.BY_DUE, DUE_SCHEDULE) == ["early"]
    assert names(store, Index.BY_DUE, DUE_WAITING) == []


def test_a_bound_holds_on_every_page_and_in_both_directions(store: Store) -> None:
    create(store, *(invocation(number, due_at=NOW + timedelta(seconds=number)) for number in range(7)))
    before = due_sort(NOW_MS + 5_000)
    ordered = [f"inv-000{number}" for number in range(5)]
    assert names(store, Index.BY_DUE, DUE_WAITING, before=before) == ordered
    assert names(store, Index.BY_DUE, DUE_WAITING, before=before, newest_first=True) == ordered[::-1]


def test_a_new_version_moves_its_entry_or_drops_it(store: Store) -> None:
    first = invocation(1, due_at=NOW)
    create(store, first, invocation(2, due_at=NOW + timedelta(seconds=1)))
    store.commit([Put(replace(first, due_at=NOW + timedelta(seconds=2)), 1)])
    assert names(store, Index.BY_DUE, DUE_WAITING) == ["inv-0002", "inv-0001"]
    store.commit([Put(replace(first, due_at=NOW, executions=(open_execution(),)), 2)])
    assert names(store, Index.BY_DUE, DUE_WAITING) == ["inv-0002"]
    assert names(store, Index.BY_DUE, DUE_OPEN) == ["inv-0001"]
    store.commit([Put(replace(first, due_at=None), 3)])
    assert names(store, Index.BY_DUE, DUE_WAITING) == ["inv-0002"]
    assert names(store, Index.BY_DUE, DUE_OPEN) == []
    assert names(store, Index.BY_FUNCTION, OF_FUNCTION) == ["inv-0001", "inv-0002"]


def test_a_deleted_record_leaves_every_listing(store: Store) -> None:
    create(store, invocation(1, due_at=NOW), project(deletion_requested_at=NOW))
    store.commit([Delete(keys.invocation_key("inv-0001"), 1), Delete(keys.project_key("shop"), 1)])
    assert names(store, Index.BY_FUNCTION, OF_FUNCTION) == []
    assert names(store, Index.BY_DUE, DUE_WAITING) == []
    assert names(store, Index.BY_DUE, DUE_DELETION) == []
    assert names(store, Index.PROJECTS, ALL) == []


def test_records_created_or_deleted_between_pages_disturb_no_other(store: Store) -> None:
    create(store, *(invocation(number) for number in (1, 2, 3, 5)))
    first = store.list(Index.BY_FUNCTION, OF_FUNCTION, limit=2)
    assert first.next_offset is not None
    create(store, invocation(0), invocation(4))
    store.commit([Delete(keys.invocation_key("inv-0002"), 1)])
    second = store.list(Index.BY_FUNCTION, OF_FUNCTION, limit=10, offset=first.next_offset)
    found = [stored.record.invocation_id for stored in second.items if isinstance(stored.record, Invocation)]
    assert found == ["inv-0003", "inv-0004", "inv-0005"]


def test_a_record_that_cannot_be_decoded_is_left_out_and_logged(
    encoded_store_under_test: StoreUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    store = encoded_store_under_test.store
    create(store, *(invocation(number) for number in range(1, 5)))
    encoded_store_under_test.corrupt(keys.invocation_key("inv-0002"))
    assert names(store, Index.BY_FUNCTION, OF_FUNCTION) == ["inv-0001", "inv-0003", "inv-0004"]
    assert any("inv-0002" in message for message in caplog.messages)


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "offset",
    ["", "x", "garbage!", "%2e%2e", "é", "AAAA", "a" * 5000, "[" * 5000]
    + [_encoded(value) for value in (None, 7, [], {}, ["by_function"], [["by_function"]] * 5, {"a": "b"})],
)
def test_an_offset_that_no_listing_gave_is_refused(store: Store, offset: str) -> None:
    create(store, invocation(1))
    with pytest.raises(ValueError, match="offset"):
        store.list(Index.BY_FUNCTION, OF_FUNCTION, limit=1, offset=offset)


def test_an_offset_of_another_index_or_another_value_is_refused(store: Store) -> None:
    other = FunctionKey("shop", "ver-1", "prices")
    create(store, *(invocation(number, due_at=NOW) for number in range(3)))
    create(store, *(invocation(number, function=other) for number in range(3, 6)))
    offset = store.list(Index.BY_FUNCTION, OF_FUNCTION, limit=1).next_offset
    assert offset is not None
    with pytest.raises(ValueError, match="offset"):
        store.list(Index.BY_FUNCTION, keys.function_index_value(other), limit=1, offset=offset)
    with pytest.raises(ValueError, match="offset"):
        store.list(Index.BY_DUE, DUE_WAITING, limit=1, offset=offset)


def test_only_records_with_index_entries_are_listed(store: Store) -> None:
    create(store, *one_of_each())
    assert names(store, Index.BY_DUE, DUE_WAITING) == ["inv-9999"]
    assert names(store, Index.BY_DUE, DUE_DELETION) == ["shop"]
    assert names(store, Index.PROJECTS, ALL) == ["shop"]
    assert names(store, Index.BY_FUNCTION, OF_FUNCTION) == ["inv-9999"]
