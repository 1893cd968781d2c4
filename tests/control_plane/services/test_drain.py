"""Undeploy: all is cancelled, waited for and removed, whatever races it."""

from multinode_control_plane.core.external_transitions import ExitKind
from multinode_control_plane.core.keys import Index, invocation_key
from multinode_control_plane.core.records import Invocation, Project, QueueName
from multinode_control_plane.ports import Put
from multinode_control_plane.services.context import Limits
from multinode_control_plane.services.drain import drain
from multinode_protocol.function_options import RetryPolicy
from multinode_protocol.status import InvocationStatus
from tests.support.world import World, function_spec


def delete_project(world: World) -> None:
    world.store.commit([Put(Project("p", world.clock.now(), world.clock.now()), 1)])


def test_undeploy_cancels_all_waits_for_the_containers_and_leaves_nothing() -> None:
    slow_retry = RetryPolicy(initial_delay_s=60)
    world = World((function_spec(max_concurrency=2, max_retries=3, retry=slow_retry),))
    finished = world.started()
    world.finish(finished)
    world.container_ends(finished)
    running, backing_off = world.started(), world.started()
    world.container_ends(backing_off, ExitKind.INTERRUPTED, "lost", None)
    child = world.started(parent=running)
    waiting = world.create(parent=running)
    world.react()
    assert [world.get(i).waiting_in for i in (backing_off, waiting)] == [QueueName.BACKOFF, QueueName.QUEUE]
    delete_project(world)
    report = world.sweep()
    assert (report.draining, report.next_due) == (1, world.after(1))
    open_ones = [i for i in world.store.records(Invocation) if not i.terminated]
    assert {i.invocation_id: i.status for i in open_ones} == dict.fromkeys(
        (running, child), InvocationStatus.CANCELLING
    )
    assert {world.get(i).status for i in (waiting, backing_off)} == {InvocationStatus.CANCELLED}
    for invocation in open_ones:
        world.container_ends(invocation.invocation_id, ExitKind.STOPPED, "stopped", 143)
        world.react()
    assert world.get(child).status is InvocationStatus.CANCELLED
    report = world.sweep()
    assert (report.draining, world.store.items) == (0, {})
    assert world.compute.forgotten == ["p"]
    assert len(world.logs.deleted) >= 3
    assert world.sweep().next_due is None


def test_drain_leaves_alone_what_is_not_to_be_deleted() -> None:
    world = World()
    world.create()
    items = len(world.store.items)
    assert drain(world.context, world.compute, world.logs, "p") is False
    assert drain(world.context, world.compute, world.logs, "unknown") is True
    assert len(world.store.items) == items


def test_two_drains_at_once_do_no_harm() -> None:
    world = World()
    delete_project(world)
    others: list[bool] = []
    world.store.before("commit", lambda _: others.append(drain(world.context, world.compute, world.logs, "p")))
    assert world.sweep().draining == 1
    assert others == [True]
    assert world.sweep().draining == 0
    assert world.store.items == {}


def test_a_drain_of_many_takes_several_calls() -> None:
    world = World((function_spec(max_concurrency=1),))
    for _ in range(5):
        world.create_waiting()
    world.store.changes.clear()
    delete_project(world)
    calls = 0
    while not drain(world.context, world.compute, world.logs, "p", at_most=3):
        calls += 1
    # 5 cancels: two calls, and one that finds none open and removes 3; the next removes 2 and the project.
    assert calls == 3
    assert world.store.items == {}


def test_a_queue_of_hundreds_is_cancelled_page_by_page() -> None:
    world = World((function_spec(max_concurrency=1),))
    created = [world.create_waiting() for _ in range(250)]
    world.store.changes.clear()
    delete_project(world)
    assert drain(world.context, world.compute, world.logs, "p") is False
    assert {world.get(i).status for i in created} == {InvocationStatus.CANCELLED}
    assert drain(world.context, world.compute, world.logs, "p") is True


def test_an_index_that_lags_proposes_what_is_gone_or_not_over_and_drain_copes() -> None:
    world = World()
    gone = world.create()
    world.cancel(gone)
    running = world.started()
    stale = [stored for i in (gone, running) if (stored := world.store.get(invocation_key(i))) is not None]
    delete_project(world)
    del world.store.items[f"INV#{gone}", "INVOCATION"]

    world.store.stale = {Index.BY_FUNCTION: stale}
    assert drain(world.context, world.compute, world.logs, "p") is False
    world.container_ends(running, ExitKind.STOPPED, "stopped", 143)
    assert drain(world.context, world.compute, world.logs, "p") is True


def test_where_requests_have_a_longest_life_a_deletion_waits_for_them() -> None:
    world = World(limits=Limits(hold_retry_s=0, longest_request_s=30))

    def delete_meanwhile(_writes: object) -> None:
        delete_project(world)
        world.sweep()

    world.store.before("commit", delete_meanwhile)  # the start has read the project before
    late = world.create()
    world.advance(29)
    world.sweep()
    assert world.get(late).status is InvocationStatus.CANCELLED
    world.advance(2)
    for execution in world.compute.containers:
        world.compute.end(execution)
    world.sweep(reconcile=True)
    world.sweep()
    assert world.store.items == {}
