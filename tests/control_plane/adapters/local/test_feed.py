"""The change feed: at least once, in order per invocation, and no invocation held up by another's trouble."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from multinode_control_plane.adapters.local.database import Database
from multinode_control_plane.adapters.local.feed import Feed
from multinode_control_plane.adapters.local.sqlite import Outbox, SqliteStore
from multinode_control_plane.ports import ABSENT, Change, Put, StoreUnavailable
from tests.support.records import invocation

Eventually = Callable[[Callable[[], object]], None]


class Reactions:
    """Notes every change that it is given; fails on those for which `failing` says so."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.failing: Callable[[str, str], Exception | None] = lambda invocation_id, reason: None
        self.lock = threading.Lock()

    def react(self, change: Change) -> None:
        assert change.new is not None
        about = (change.new.invocation_id, change.new.status_reason)
        with self.lock:
            self.seen.append(about)
        error = self.failing(*about)
        if error is not None:
            raise error

    def of(self, invocation_id: str) -> Sequence[str]:
        with self.lock:
            return [reason for seen, reason in self.seen if seen == invocation_id]


@contextmanager
def running(database: Database, reactions: Reactions, *, max_tries: int = 4) -> Iterator[SqliteStore]:
    feed = Feed(Outbox(database), reactions.react, first_pause_s=0.01, store_pause_s=0.01, max_tries=max_tries)
    store = SqliteStore(database)
    store.subscribe(lambda writes: feed.committed())
    feed.start()
    try:
        yield store
    finally:
        feed.stop(60)


def write(store: SqliteStore, number: int, steps: range) -> None:
    for step in steps:
        record = replace(invocation(number), status_reason=f"step {step}")
        store.commit([Put(record, step - 1 if step > 1 else ABSENT)])


def empty(database: Database) -> bool:
    return not Outbox(database).after(0, limit=1)


def test_each_change_is_given_once_in_order_and_then_gone(database: Database, eventually: Eventually) -> None:
    reactions = Reactions()
    with running(database, reactions) as store:
        for number in range(20):
            write(store, number, range(1, 6))
        eventually(lambda: empty(database))
    for number in range(20):
        assert reactions.of(f"inv-{number:04d}") == [f"step {step}" for step in range(1, 6)]


def test_what_an_earlier_process_left_is_given_at_the_start(database: Database, eventually: Eventually) -> None:
    write(SqliteStore(database), 1, range(1, 4))
    reactions = Reactions()
    with running(database, reactions):
        eventually(lambda: empty(database))
    assert reactions.of("inv-0001") == ["step 1", "step 2", "step 3"]


def test_a_failed_reaction_is_tried_again_before_the_next_change(database: Database, eventually: Eventually) -> None:
    reactions = Reactions()
    failures = iter([RuntimeError("once"), RuntimeError("twice")])
    reactions.failing = lambda _, reason: next(failures, None) if reason == "step 1" else None
    with running(database, reactions) as store:
        write(store, 1, range(1, 4))
        eventually(lambda: empty(database))
    assert reactions.of("inv-0001") == ["step 1", "step 1", "step 1", "step 2", "step 3"]
    assert list(Outbox(database).quarantined()) == []


def test_a_poisonous_change_is_set_aside_after_its_tries_and_the_rest_goes_on(
    database: Database, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    reactions = Reactions()
    reactions.failing = lambda invocation_id, reason: (
        RuntimeError("poison") if (invocation_id, reason) == ("inv-0001", "step 2") else None
    )
    with running(database, reactions, max_tries=3) as store:
        write(store, 1, range(1, 4))
        write(store, 2, range(1, 3))
        eventually(lambda: empty(database))
    assert reactions.of("inv-0001") == ["step 1", "step 2", "step 2", "step 2", "step 3"]
    assert reactions.of("inv-0002") == ["step 1", "step 2"]
    ((change, reason),) = Outbox(database).quarantined()
    new = change.change().new
    assert new is not None
    assert new.status_reason == "step 2"
    assert "poison" in reason
    assert any("inv-0001 is set aside" in message for message in caplog.messages)


def test_an_invocation_in_trouble_does_not_hold_up_another(database: Database, eventually: Eventually) -> None:
    reactions = Reactions()
    reactions.failing = lambda invocation_id, _: RuntimeError("no") if invocation_id == "inv-0001" else None
    with running(database, reactions, max_tries=1_000_000) as store:
        write(store, 1, range(1, 2))
        eventually(lambda: len(reactions.of("inv-0001")) >= 2)
        write(store, 2, range(1, 4))
        eventually(lambda: len(reactions.of("inv-0002")) == 3)
    assert [invocation_id for _, invocation_id in Outbox(database).after(0, limit=9)] == ["inv-0001"]


def test_a_blocked_reaction_does_not_hold_up_another_invocation(database: Database, eventually: Eventually) -> None:
    reactions, release = Reactions(), threading.Event()

    def block(invocation_id: str, _: str) -> None:
        if invocation_id == "inv-0001":
            assert release.wait(300)

    reactions.failing = block
    with running(database, reactions) as store:
        write(store, 1, range(1, 3))
        write(store, 2, range(1, 3))
        eventually(lambda: len(reactions.of("inv-0002")) == 2)
        assert reactions.of("inv-0001") == ["step 1"]
        release.set()
        eventually(lambda: empty(database))
    assert reactions.of("inv-0001") == ["step 1", "step 2"]


def test_a_store_that_is_away_uses_up_no_tries(database: Database, eventually: Eventually) -> None:
    reactions = Reactions()
    failures = iter([StoreUnavailable("away")])
    reactions.failing = lambda *_: next(failures, None)
    with running(database, reactions, max_tries=1) as store:
        write(store, 1, range(1, 2))
        eventually(lambda: empty(database))
    assert reactions.of("inv-0001") == ["step 1", "step 1"]
    assert list(Outbox(database).quarantined()) == []


def test_a_change_that_cannot_be_read_is_set_aside_at_once(database: Database, eventually: Eventually) -> None:
    write(SqliteStore(database), 1, range(1, 3))
    with database.writing() as connection:
        connection.execute('UPDATE changes SET new = \'{"type":"Nonsense"}\' WHERE old IS NULL')
    reactions = Reactions()
    with running(database, reactions):
        eventually(lambda: empty(database))
    assert reactions.of("inv-0001") == ["step 2"]
    assert [reason for _, reason in Outbox(database).quarantined() if "Nonsense" in reason]


def test_after_a_stop_the_rest_waits_for_the_next_start(database: Database, eventually: Eventually) -> None:
    first, begun, release = Reactions(), threading.Event(), threading.Event()

    def block(*_: str) -> None:
        begun.set()
        assert release.wait(300)

    first.failing = block
    feed = Feed(Outbox(database), first.react)
    write(SqliteStore(database), 1, range(1, 3))
    feed.start()
    assert begun.wait(300)
    feed.stop(0)
    release.set()
    feed.stop(60)
    # The reaction under way was finished; the next change was left.
    assert first.of("inv-0001") == ["step 1"]
    second = Reactions()
    with running(database, second):
        eventually(lambda: empty(database))
    assert second.of("inv-0001") == ["step 2"]
