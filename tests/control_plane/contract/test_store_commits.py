"""Every Store: records come back as they went in, and a commit is all or nothing on the conditions it names."""

import threading
from dataclasses import replace

import pytest

from multinode_control_plane.core import keys
from multinode_control_plane.core.keys import Key, key_of
from multinode_control_plane.core.records import Gate, Invocation, Payload, Record
from multinode_control_plane.ports import ABSENT, Check, Conflict, Delete, Put, Store, Stored, Write
from multinode_protocol.limits import MAX_PAYLOAD_BYTES
from tests.control_plane.contract.stores import StoreUnderTest
from tests.support.records import FUNCTION, invocation, one_of_each, project, queue_entry


def create(store: Store, *records: Record) -> None:
    store.commit([Put(record, ABSENT) for record in records])


@pytest.mark.parametrize("record", one_of_each(), ids=lambda record: type(record).__name__)
def test_a_record_of_each_type_is_read_as_it_was_written(store: Store, record: Record) -> None:
    create(store, record)
    assert store.get(key_of(record)) == Stored(record, 1)


def test_a_key_without_a_record_gives_none(store: Store) -> None:
    assert store.get(keys.project_key("nobody")) is None


def test_a_key_of_another_sort_in_the_same_partition_gives_none(store: Store) -> None:
    create(store, invocation(1))
    assert store.get(keys.input_key("inv-0001")) is None


def test_the_version_counts_the_writes_of_a_record_from_one(store: Store) -> None:
    create(store, invocation(1))
    store.commit([Put(replace(invocation(1), status_reason="second"), 1)])
    store.commit([Put(replace(invocation(1), status_reason="third"), 2)])
    stored = store.get(keys.invocation_key("inv-0001"))
    assert stored is not None
    assert (stored.version, stored.record.status_reason) == (3, "third")


def test_a_deleted_record_is_gone_and_may_be_created_again_from_version_one(store: Store) -> None:
    create(store, project())
    store.commit([Put(project(), 1)])
    store.commit([Delete(keys.project_key("shop"), 2)])
    assert store.get(keys.project_key("shop")) is None
    create(store, project())
    assert store.get(keys.project_key("shop")) == Stored(project(), 1)


def test_creating_what_exists_is_a_conflict_and_changes_nothing(store: Store) -> None:
    create(store, invocation(1))
    with pytest.raises(Conflict):
        create(store, replace(invocation(1), status_reason="another"))
    assert store.get(keys.invocation_key("inv-0001")) == Stored(invocation(1), 1)


INVOCATION_1: Key[Invocation] = keys.invocation_key("inv-0001")


@pytest.mark.parametrize(
    "stale",
    [
        Put(replace(invocation(1), status_reason="stale"), 1),
        Put(replace(invocation(1), status_reason="stale"), 3),
        Put(replace(invocation(1), status_reason="stale"), ABSENT),
        Put(invocation(7), 1),
        Delete(INVOCATION_1, 1),
        Delete(keys.invocation_key("inv-0007"), 1),
        Check(INVOCATION_1, 1),
        Check(INVOCATION_1, ABSENT),
        Check(keys.invocation_key("inv-0007"), 1),
    ],
    ids=repr,
)
def test_one_condition_that_does_not_hold_undoes_the_whole_commit(store: Store, stale: Write) -> None:
    create(store, invocation(1), project())
    current = replace(invocation(1), status_reason="current")
    store.commit([Put(current, 1)])
    others: list[Write] = [
        Put(Payload("inv-0007", "[]"), ABSENT),
        Delete(keys.project_key("shop"), 1),
        Put(Gate(FUNCTION, {"exe-1": "inv-0001"}), ABSENT),
    ]
    for position in range(len(others) + 1):
        with pytest.raises(Conflict):
            store.commit([*others[:position], stale, *others[position:]])
    assert store.get(INVOCATION_1) == Stored(current, 2)
    assert store.get(keys.project_key("shop")) == Stored(project(), 1)
    assert store.get(keys.input_key("inv-0007")) is None
    assert store.get(keys.gate_key(FUNCTION)) is None


def test_conditions_that_hold_let_every_write_of_a_commit_through(store: Store) -> None:
    create(store, invocation(1), project(), queue_entry("1"))
    store.commit(
        [
            Check(keys.project_key("shop"), 1),
            Check(keys.gate_key(FUNCTION), ABSENT),
            Put(replace(invocation(1), waiting_in=None), 1),
            Delete(key_of(queue_entry("1")), 1),
            Put(Payload("inv-0001", "[]"), ABSENT),
        ]
    )
    assert store.get(keys.project_key("shop")) == Stored(project(), 1)
    assert store.get(INVOCATION_1) == Stored(replace(invocation(1), waiting_in=None), 2)
    assert store.get(key_of(queue_entry("1"))) is None
    assert store.get(keys.input_key("inv-0001")) == Stored(Payload("inv-0001", "[]"), 1)


def test_a_check_writes_nothing(store: Store) -> None:
    create(store, project())
    store.commit([Check(keys.project_key("shop"), 1)])
    assert store.get(keys.project_key("shop")) == Stored(project(), 1)


def test_a_commit_takes_a_hundred_writes(store: Store) -> None:
    create(store, *(queue_entry(f"{number:03d}") for number in range(100)))
    assert len(store.query(keys.queue_prefix(FUNCTION))) == 100


def test_a_commit_of_more_than_a_hundred_writes_is_refused(store: Store) -> None:
    with pytest.raises((ValueError, AssertionError)):
        create(store, *(queue_entry(f"{number:03d}") for number in range(101)))
    assert len(store.query(keys.queue_prefix(FUNCTION))) == 0


def test_a_commit_that_names_a_key_twice_is_refused(store: Store) -> None:
    with pytest.raises((ValueError, AssertionError)):
        store.commit([Put(project(), ABSENT), Check(keys.project_key("shop"), ABSENT)])
    assert store.get(keys.project_key("shop")) is None


def test_the_largest_payload_fits_beside_a_large_output(store: Store) -> None:
    # "é" is two bytes of UTF-8 and six characters as a JSON escape: the longest way to write so few bytes.
    largest = Payload("inv-0001", "é" * (MAX_PAYLOAD_BYTES // 2))
    create(store, invocation(1), largest)
    assert store.get(keys.input_key("inv-0001")) == Stored(largest, 1)


def test_a_committed_record_is_seen_by_another_process_at_once(store_under_test: StoreUnderTest) -> None:
    create(store_under_test.store, invocation(1))
    assert store_under_test.reopened().get(INVOCATION_1) == Stored(invocation(1), 1)


def test_a_record_that_cannot_be_decoded_is_a_value_error_for_get(encoded_store_under_test: StoreUnderTest) -> None:
    create(encoded_store_under_test.store, invocation(1))
    encoded_store_under_test.corrupt(INVOCATION_1)
    with pytest.raises(ValueError, match="Nonsense"):
        encoded_store_under_test.store.get(INVOCATION_1)


def test_of_commits_that_race_for_one_version_exactly_one_wins(store: Store) -> None:
    """Eight threads each add themselves to a gate twenty times, redoing what met a conflict: no addition is lost."""
    threads, additions = 8, 20
    create(store, Gate(FUNCTION))
    failures: list[BaseException] = []

    def add(name: str) -> None:
        stored = store.get(keys.gate_key(FUNCTION))
        assert stored is not None
        slots = {**stored.record.slots, name: "inv-0001"}
        store.commit([Put(Gate(FUNCTION, slots), stored.version)])

    def work(thread: int) -> None:
        done = 0
        try:
            while done < additions:
                try:
                    add(f"exe-{thread}-{done}")
                except Conflict:
                    continue
                done += 1
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    stored = store.get(keys.gate_key(FUNCTION))
    assert stored is not None
    # The creation, then one version per addition.
    assert stored.version == 1 + threads * additions
    assert sorted(stored.record.slots) == sorted(f"exe-{t}-{n}" for t in range(threads) for n in range(additions))
