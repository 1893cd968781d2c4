"""Every Store: a query reads one kind of record of one partition, in the order of its sort keys."""

from collections.abc import Sequence

import pytest

from multinode_control_plane.core import keys
from multinode_control_plane.core.keys import Prefix
from multinode_control_plane.core.records import FunctionKey, Gate, Output, QueueEntry, QueueName, Record
from multinode_control_plane.ports import ABSENT, Put, Store, Stored
from tests.control_plane.contract.stores import StoreUnderTest
from tests.support.records import FUNCTION, invocation, queue_entry

QUEUE = keys.queue_prefix(FUNCTION)


def create(store: Store, *records: Record) -> None:
    store.commit([Put(record, ABSENT) for record in records])


def positions(found: Sequence[Stored[QueueEntry]]) -> list[str]:
    return [stored.record.position for stored in found]


def test_a_partition_without_records_gives_an_empty_query(store: Store) -> None:
    assert list(store.query(QUEUE)) == []


def test_a_query_gives_records_and_versions_by_sort_key(store: Store) -> None:
    create(store, queue_entry("3"), queue_entry("1"), queue_entry("2"))
    store.commit([Put(queue_entry("2"), 1)])
    assert list(store.query(QUEUE)) == [
        Stored(queue_entry("1"), 1),
        Stored(queue_entry("2"), 2),
        Stored(queue_entry("3"), 1),
    ]


def test_a_query_leaves_out_other_prefixes_and_other_partitions(store: Store) -> None:
    other = FunctionKey("shop", "ver-1", "prices")
    create(
        store,
        queue_entry("1"),
        queue_entry("2", QueueName.BACKOFF),
        Gate(FUNCTION),
        QueueEntry(other, QueueName.QUEUE, "0", "inv-other"),
        QueueEntry(FunctionKey("shop", "ver-1", "pric"), QueueName.QUEUE, "0", "inv-other"),
    )
    assert positions(store.query(QUEUE)) == ["1"]
    assert positions(store.query(keys.backoff_prefix(FUNCTION))) == ["2"]


def test_the_newest_come_first_when_asked_so(store: Store) -> None:
    create(store, queue_entry("1"), queue_entry("3"), queue_entry("2"))
    assert positions(store.query(QUEUE, newest_first=True)) == ["3", "2", "1"]


def test_the_limit_counts_from_the_side_that_is_read_first(store: Store) -> None:
    create(store, *(queue_entry(position) for position in "12345"))
    assert positions(store.query(QUEUE, limit=2)) == ["1", "2"]
    assert positions(store.query(QUEUE, limit=2, newest_first=True)) == ["5", "4"]


def test_after_is_exclusive_and_follows_the_direction(store: Store) -> None:
    create(store, *(queue_entry(position) for position in "12345"))
    assert positions(store.query(QUEUE, after="QUEUE#2", limit=2)) == ["3", "4"]
    assert positions(store.query(QUEUE, after="QUEUE#2", newest_first=True)) == ["1"]
    assert positions(store.query(QUEUE, after="QUEUE#5")) == []


def test_after_need_not_be_a_key_that_exists(store: Store) -> None:
    create(store, queue_entry("1"), queue_entry("3"))
    assert positions(store.query(QUEUE, after="QUEUE#2")) == ["3"]


def test_sort_keys_are_compared_by_their_utf8_bytes(store: Store) -> None:
    # Bytes: Z 5A, a 61, é C3 A9, U+FF21 EF BC A1, U+1F680 F0 9F 9A 80. By UTF-16 the last two would change places.
    ordered = ["Z", "a", "é", "\uff21", "\U0001f680"]
    create(store, *(queue_entry(position) for position in reversed(ordered)))
    assert positions(store.query(QUEUE)) == ordered


def test_an_empty_prefix_gives_the_whole_partition(store: Store) -> None:
    output = Output("inv-0001", "exe-1", 1, "half")
    create(store, invocation(1), output)
    everything: Prefix[Record] = Prefix("INV#inv-0001", "")
    found = list(store.query(everything))
    assert found == [Stored(invocation(1), 1), Stored(output, 1)]


def test_more_records_than_one_page_of_any_backend_are_all_given(store: Store) -> None:
    # 12 outputs of 120,000 bytes are 1.4 MB: DynamoDB answers a query in pages of 1 MB.
    outputs = [Output("inv-0001", f"exe-{number:02d}", 1, "x" * 120_000) for number in range(12)]
    for output in outputs:
        create(store, output)
    found = store.query(keys.outputs_prefix("inv-0001"))
    assert [stored.record for stored in found] == outputs


def test_a_record_that_cannot_be_decoded_is_a_value_error_for_query(encoded_store_under_test: StoreUnderTest) -> None:
    create(encoded_store_under_test.store, queue_entry("1"), queue_entry("2"))
    encoded_store_under_test.corrupt(keys.key_of(queue_entry("2")))
    with pytest.raises(ValueError, match="Nonsense"):
        encoded_store_under_test.store.query(QUEUE)
