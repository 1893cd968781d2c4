"""Every Store: the change feed gives each committed change of an Invocation in order, and nothing else."""

from dataclasses import replace

import pytest

from multinode_control_plane.core import keys
from multinode_control_plane.ports import ABSENT, Change, Check, Conflict, Delete, Put
from tests.control_plane.contract.stores import StoreUnderTest
from tests.support.records import busy_invocation, invocation, one_of_each, project


def of_invocation(changes: list[Change], invocation_id: str) -> list[Change]:
    return [c for c in changes if invocation_id in {r.invocation_id for r in (c.old, c.new) if r is not None}]


def test_creation_update_and_deletion_give_old_and_new(store_under_test: StoreUnderTest) -> None:
    first, second = invocation(1), replace(invocation(1), status_reason="launching attempt 1")
    store_under_test.store.commit([Put(first, ABSENT)])
    store_under_test.store.commit([Put(second, 1)])
    store_under_test.store.commit([Delete(keys.invocation_key("inv-0001"), 2)])
    assert list(store_under_test.changes()) == [Change(None, first), Change(first, second), Change(second, None)]


def test_changes_of_one_invocation_come_in_the_order_of_their_commits(store_under_test: StoreUnderTest) -> None:
    store_under_test.store.commit([Put(invocation(1), ABSENT), Put(invocation(2), ABSENT)])
    for step in range(1, 6):
        store_under_test.store.commit([Put(replace(invocation(1), status_reason=f"step {step}"), step)])
        store_under_test.store.commit([Put(replace(invocation(2), status_reason=f"step {step}"), step)])
    changes = list(store_under_test.changes())
    for invocation_id in ("inv-0001", "inv-0002"):
        reasons = [c.new.status_reason for c in of_invocation(changes, invocation_id) if c.new is not None]
        assert reasons[1:] == [f"step {step}" for step in range(1, 6)]


def test_each_change_follows_from_the_one_before(store_under_test: StoreUnderTest) -> None:
    store_under_test.store.commit([Put(invocation(1), ABSENT)])
    for version in range(1, 5):
        store_under_test.store.commit([Put(replace(invocation(1), failed_launches=version), version)])
    changes = list(store_under_test.changes())
    assert [change.old for change in changes] == [None, *(change.new for change in changes[:-1])]


def test_a_commit_that_met_a_conflict_gives_no_change(store_under_test: StoreUnderTest) -> None:
    store_under_test.store.commit([Put(project(), ABSENT)])
    with pytest.raises(Conflict):
        store_under_test.store.commit([Put(invocation(1), ABSENT), Put(project(), ABSENT)])
    assert list(store_under_test.changes()) == []


def test_a_check_of_an_invocation_gives_no_change(store_under_test: StoreUnderTest) -> None:
    store_under_test.store.commit([Put(invocation(1), ABSENT)])
    store_under_test.changes()
    store_under_test.store.commit([Check(keys.invocation_key("inv-0001"), 1), Put(project(), ABSENT)])
    assert list(store_under_test.changes()) == []


def test_only_invocations_are_in_the_feed(store_under_test: StoreUnderTest) -> None:
    store_under_test.store.commit([Put(record, ABSENT) for record in one_of_each()])
    assert list(store_under_test.changes()) == [Change(None, busy_invocation())]


def test_what_was_taken_from_the_feed_is_not_given_again(store_under_test: StoreUnderTest) -> None:
    store_under_test.store.commit([Put(invocation(1), ABSENT)])
    assert len(store_under_test.changes()) == 1
    assert list(store_under_test.changes()) == []
