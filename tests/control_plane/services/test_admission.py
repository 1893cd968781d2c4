"""Slots: taken by the oldest, never more than allowed, given back by the commit that ends an execution."""

from multinode_control_plane.core.external_transitions import ExitKind
from multinode_control_plane.core.records import QueueName
from multinode_control_plane.ports import Conflict
from multinode_control_plane.services.admission import admit_waiting
from multinode_protocol.status import InvocationStatus, WorkerStatus
from tests.support.world import World, function_spec


def test_no_more_executions_are_open_than_max_concurrency_allows() -> None:
    world = World((function_spec(max_concurrency=2),))
    created = [world.create() for _ in range(5)]
    world.react()
    assert [len(world.get(i).executions) for i in created] == [1, 1, 0, 0, 0]
    assert set(world.slots().values()) == set(created[:2])


def test_waiting_invocations_get_slots_in_order_of_creation() -> None:
    world = World((function_spec(max_concurrency=1),))
    created = []
    for _ in range(4):
        created.append(world.create())
        world.advance(0.001)
    order = []
    for _ in created:
        world.react()
        (holder,) = world.slots().values()
        order.append(holder)
        world.start(holder)
        world.finish(holder)
        world.container_ends(holder)
    assert order == created


def test_a_new_invocation_takes_a_free_slot_in_the_commit_that_makes_it() -> None:
    world = World()
    commits = world.store.commits
    created = world.create()
    assert world.store.commits == commits + 1
    assert world.get(created).waiting_in is None
    assert world.slots() == {world.execution_id(created): created}
    assert [key for key in world.store.items if "QUEUE" in key[1]] == []


def test_a_new_invocation_does_not_overtake_one_that_waits() -> None:
    world = World((function_spec(max_concurrency=2),))
    older = world.create_waiting()
    world.advance(1)
    younger = world.create()
    assert world.get(younger).waiting_in is QueueName.QUEUE
    assert world.slots() == {}
    world.react()
    assert set(world.slots().values()) == {older, younger}


def test_of_two_starts_at_once_one_gets_the_last_slot_and_the_other_waits() -> None:
    world = World((function_spec(max_concurrency=1),))
    winner: list[str] = []
    world.store.before("commit", lambda _: winner.append(world.create()))
    loser = world.create()
    assert list(world.slots().values()) == winner
    assert world.get(loser).waiting_in is QueueName.QUEUE
    assert world.get(loser).executions == ()


def test_an_invocation_with_a_slot_waits_in_no_queue_any_more() -> None:
    world = World()
    created = world.create_waiting()
    assert world.get(created).waiting_in is QueueName.QUEUE
    world.react()
    assert world.get(created).waiting_in is None
    assert [key for key in world.store.items if "QUEUE" in key[1]] == []


def test_more_than_one_commit_admits_a_long_queue_into_many_slots() -> None:
    world = World((function_spec(max_concurrency=45),))
    created = [world.create_waiting() for _ in range(50)]
    world.store.changes.clear()  # one admission for all of them
    assert admit_waiting(world.context, world.get(created[0]).function_key) == 45
    assert len(world.slots()) == 45


def test_admitting_twice_gives_nobody_a_second_slot() -> None:
    world = World()
    created = world.create_waiting()
    key = world.get(created).function_key
    assert admit_waiting(world.context, key) == 1
    assert admit_waiting(world.context, key) == 0
    assert len(world.get(created).executions) == 1


def test_a_success_keeps_its_slot_until_its_container_has_gone() -> None:
    world = World((function_spec(max_concurrency=1),))
    first, second = world.started(), world.create()
    world.finish(first)
    world.react()
    assert world.get(first).status is InvocationStatus.SUCCEEDED
    assert not world.get(first).terminated
    assert world.get(second).executions == ()
    world.container_ends(first)
    world.react()
    assert world.get(first).terminated
    assert list(world.slots().values()) == [second]


def test_functions_do_not_wait_for_each_others_queues() -> None:
    world = World((function_spec("f", max_concurrency=1), function_spec("g", max_concurrency=1)))
    for _ in range(3):
        world.create("f")
    other = world.create("g")
    world.react()
    assert list(world.slots("g").values()) == [other]


def test_an_entry_whose_invocation_has_moved_on_is_read_again() -> None:
    world = World((function_spec(max_concurrency=1),))
    first, second = world.create_waiting(), world.create_waiting()
    world.store.changes.clear()
    key = world.get(first).function_key
    world.store.after("query", lambda _: world.cancel(first))
    assert admit_waiting(world.context, key) == 1
    assert list(world.slots().values()) == [second]
    assert world.get(first).status is InvocationStatus.CANCELLED


def test_a_conflict_is_decided_again_and_gives_up_in_the_end() -> None:
    world = World()
    created = world.create_waiting()
    world.clock.slept.clear()
    world.store.fail_next("commit", Conflict("somebody else"), times=3)
    assert admit_waiting(world.context, world.get(created).function_key) == 1
    assert len(world.clock.slept) == 3


def test_a_lost_container_gives_its_slot_back_in_the_commit_that_ends_it() -> None:
    world = World((function_spec(max_concurrency=1),))
    first = world.started()
    commits = world.store.commits
    world.container_ends(first, ExitKind.INTERRUPTED, "host lost", None)
    assert world.store.commits == commits + 1
    assert world.slots() == {}
    assert world.get(first).executions[0].worker_status is WorkerStatus.TERMINATED


def test_two_admissions_at_once_never_exceed_the_limit() -> None:
    world = World((function_spec(max_concurrency=2),))
    created = [world.create_waiting() for _ in range(4)]
    world.store.changes.clear()
    key = world.get(created[0]).function_key
    world.store.after("get", lambda _: admit_waiting(world.context, key), when=lambda read: read.sort == "GATE")
    admit_waiting(world.context, key)
    assert list(world.slots().values()) == created[:2]
