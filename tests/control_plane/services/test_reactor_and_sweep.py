"""Lost, repeated and late effects, and how the sweep repairs them."""

from dataclasses import replace
from datetime import timedelta
from math import inf

import pytest

from multinode_control_plane.core.effects import Admit, Announce, Launch, effects
from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.external_transitions import ContainerExit, ExitKind
from multinode_control_plane.core.keys import Index, invocation_key, project_key
from multinode_control_plane.core.records import WorkerDetails
from multinode_control_plane.ports import Change, Conflict, ContainerState
from multinode_control_plane.services import executions, task_events
from multinode_control_plane.services.reactor import react
from multinode_protocol.status import InvocationStatus, WorkerStatus
from tests.support.world import FAILURE, World, function_spec


def test_every_change_delivered_twice_does_nothing_twice() -> None:
    world = World()
    created = world.create()
    seen: list[Change] = []
    while world.store.changes:
        change = world.store.changes.pop(0)
        seen.append(change)
        react(world.reactor, change)
    before = world.get(created)
    for change in seen:
        react(world.reactor, change)
    world.react()
    assert world.get(created) == before
    assert len(world.compute.containers) == 1


def test_a_launch_whose_answer_is_lost_is_repeated_with_the_same_token() -> None:
    world = World()
    world.compute.lose_answer("launch", TimeoutError("no answer"))
    created = world.create()
    change = world.store.changes.pop(0)
    with pytest.raises(TimeoutError):
        react(world.reactor, change)
    react(world.reactor, change)
    world.react()
    assert list(world.compute.containers) == [world.token(created)]
    assert world.get(created).executions[0].worker_status is WorkerStatus.PROVISIONING


def test_a_worker_that_starts_before_the_launch_is_recorded_keeps_its_state() -> None:
    world = World()
    world.compute.after("launch", lambda request: world.start(request.invocation.invocation_id))
    created = world.create()
    world.react()
    execution = world.get(created).executions[0]
    assert (execution.worker_status, execution.worker is not None) == (WorkerStatus.RUNNING, True)


def test_an_effect_that_fails_does_not_keep_the_others_back() -> None:
    world = World()
    world.event_publisher.fail_next("publish", ConnectionError("bus away"))
    created = world.create()
    with pytest.raises(ConnectionError):
        react(world.reactor, world.store.changes.pop(0))
    assert len(world.get(created).executions) == 1


def test_every_status_is_announced_once() -> None:
    world = World()
    created = world.started()
    world.cancel(created)
    world.react()
    world.container_ends(created)
    world.react()
    told = [(a.previous, a.invocation.status) for a in world.event_publisher.announced]
    assert told == [(None, "PENDING"), ("PENDING", "RUNNING"), ("RUNNING", "CANCELLING"), ("CANCELLING", "CANCELLED")]


def test_a_deleted_invocation_calls_for_nothing() -> None:
    world = World()
    created = world.create()
    old = world.get(created)
    assert effects(old, None, world.clock.now()) == ()
    react(world.reactor, Change(old, None))
    assert world.event_publisher.announced == []


def test_a_nudge_calls_for_everything_again() -> None:
    world = World()
    created = world.create_waiting()
    waiting = world.get(created)
    admit = Admit(waiting.function_key)
    assert effects(None, waiting, world.clock.now()) == (admit, Announce(None))
    assert effects(waiting, waiting, world.clock.now()) == ()
    assert effects(waiting, replace(waiting, nudges=1), world.clock.now()) == (admit,)


@pytest.mark.parametrize("lost", ["admission", "launch"])
def test_a_lost_effect_is_repaired_by_the_sweep(lost: str) -> None:
    world = World()
    created = world.create() if lost == "launch" else world.create_waiting()
    world.store.changes.clear()
    world.advance(59)
    world.sweep()
    assert world.compute.containers == {}
    world.advance(2)
    world.sweep()
    assert list(world.compute.containers) == [world.token(created)]


def test_a_long_queue_is_checked_ever_more_rarely() -> None:
    world = World((function_spec(max_concurrency=1),))
    world.started()
    waiting = world.create()
    world.react()
    checks = 0
    for _ in range(24 * 60):  # a sweep every minute of a day
        world.advance(60)
        checks += world.get(waiting).due_at <= world.clock.now()  # type: ignore[operator]
        world.sweep()
    # Each check doubles the waiting time to the next: 1, 2, 4, ... 1024 minutes are 11 checks.
    assert checks == 11


def test_a_lost_event_is_settled_by_reconciliation() -> None:
    world = World()
    created = world.started()
    world.finish(created)
    world.compute.end(world.token(created))
    report = world.sweep(reconcile=True)
    assert (report.settled, world.get(created).terminated) == (1, True)
    assert world.sweep(reconcile=True).settled == 0


def test_a_container_that_vanished_is_an_infrastructure_failure() -> None:
    world = World((function_spec(max_retries=1),))
    created = world.started()
    del world.compute.containers[world.token(created)]
    world.sweep(reconcile=True)
    assert len(world.get(created).executions) == 1  # it may not be visible yet
    world.advance(61)
    world.sweep(reconcile=True)
    assert [e.attempt for e in world.get(created).executions] == [1, 2]
    assert world.get(created).last_failure == "the container disappeared without a trace"


def test_a_container_that_no_open_execution_knows_is_stopped() -> None:
    world = World()
    created = world.started()
    token = world.token(created)
    execution = world.execution_id(created)
    gone = ContainerExit(ExitKind.INTERRUPTED, "reported gone, wrongly")
    task_events.container_ended(world.context, created, execution, gone)
    assert world.sweep(reconcile=True).orphans == 1
    assert world.compute.stops == [token]


def test_a_container_of_an_open_execution_is_no_orphan() -> None:
    world = World()
    world.started()
    assert world.sweep(reconcile=True).orphans == 0


def test_a_record_that_cannot_be_handled_keeps_no_other_waiting(caplog: pytest.LogCaptureFixture) -> None:
    world = World((function_spec(max_concurrency=1, max_queue_s=5),))
    world.started()
    bad, good = world.create(), world.create()
    world.react()
    world.store.fail_next("get", ValueError("unreadable"), when=lambda key: key.partition == f"INV#{bad}", times=inf)
    world.advance(6)
    report = world.sweep()
    world.store.hooks_off()
    assert report.failed == 1
    assert world.get(good).status is InvocationStatus.TIMED_OUT
    assert "could not handle a record" in caplog.text


def test_the_sweep_says_when_something_is_due_next() -> None:
    world = World((function_spec(max_queue_s=30),))
    assert world.sweep().next_due is None
    world.create()
    world.react()
    assert world.sweep().next_due == world.clock.now() + timedelta(seconds=30)


def test_an_event_of_another_container_changes_nothing() -> None:
    world = World()
    created = world.started()
    foreign = WorkerDetails("TEST", "someone-else", "x")
    lost = ContainerExit(ExitKind.INTERRUPTED, "lost")
    execution = world.execution_id(created)
    task_events.container_ended(world.context, created, execution, lost, worker=foreign)
    assert world.get(created).status is InvocationStatus.RUNNING


def test_nothing_acts_on_what_a_worker_says_of_its_own_container() -> None:
    world = World()
    created = world.create()
    world.store.changes.clear()  # the launch is never made known
    execution = world.execution_id(created)
    lie = "arn:aws:ecs:somebody-elses-task"
    executions.start(world.context, created, execution, worker_nonce="n", worker_identifier=lie)
    world.react()
    world.cancel(created)
    world.react()
    assert world.compute.stops == []  # the platform knows of no container: nobody else's is stopped
    assert world.get(created).terminated


def test_a_container_that_only_its_worker_told_of_is_looked_for_by_the_sweep() -> None:
    world = World()
    created = world.create()
    world.store.changes.clear()  # the launch is never made known
    execution = world.execution_id(created)
    executions.start(world.context, created, execution, worker_nonce="n", worker_identifier="a-lie")
    world.react()
    world.advance(61)
    world.sweep()
    worker = world.get(created).executions[0].worker
    assert worker is not None
    assert (worker.identifier, worker.logs_identifier) == (f"{execution}-1", f"{execution}-1.jsonl")


def test_events_of_what_does_not_exist_any_more_are_taken_without_an_error() -> None:
    world = World()
    gone = ContainerExit(ExitKind.EXITED, "exited", 0)
    assert task_events.container_ended(world.context, "inv-x", "exe-x", gone) is None


def test_an_event_repeated_after_a_retry_began_does_not_touch_the_new_execution() -> None:
    world = World((function_spec(max_retries=1),))
    created = world.started()
    old = world.get(created).executions[0]
    world.finish(created, FAILURE)
    world.container_ends(created)
    world.react()
    before = world.get(created)
    again = ContainerExit(ExitKind.EXITED, "exited", 0)
    task_events.container_ended(world.context, created, old.execution_id, again, worker=old.worker)
    assert world.get(created) == before


def test_a_launch_is_not_called_for_while_it_backs_off() -> None:
    world = World()
    created = world.create()
    pending = world.get(created)
    execution = replace(pending.executions[0], launch_after=world.after(10), launch_attempt=2)
    backing_off = replace(pending, executions=(execution,))
    assert effects(pending, backing_off, world.clock.now()) == ()
    nudged = replace(backing_off, nudges=1)
    assert effects(backing_off, nudged, world.after(11)) == (Launch(execution.execution_id, 2),)


def test_an_index_may_propose_what_is_no_invocation_or_no_more_there() -> None:
    world = World()
    created = world.create()
    world.react()
    stale = world.store.get(invocation_key(created))
    world.cancel(created)
    world.react()
    world.container_ends(created, ExitKind.STOPPED, "stopped", 143)
    project = world.store.get(project_key("p"))
    del world.store.items[f"INV#{created}", "INVOCATION"]
    assert stale is not None
    assert project is not None
    world.store.stale = {index: [stale, project] for index in Index}
    world.compute.visible = False
    report = world.sweep(reconcile=True)
    assert (report.due, report.settled) == (0, 0)


def test_reconciliation_leaves_alone_what_it_cannot_judge() -> None:
    world = World()
    waiting = world.create()
    react(world.reactor, world.store.changes.pop(0))  # admitted, not launched
    created = world.started()
    unknown = ContainerState(WorkerDetails("TEST", "x", "y"), "exe-x", None, None)
    world.compute.strangers = [unknown]
    report = world.sweep(reconcile=True)
    assert (report.settled, report.orphans, world.compute.stops) == (0, 0, [])
    assert {world.get(i).status for i in (waiting, created)} == {InvocationStatus.PENDING, InvocationStatus.RUNNING}


def test_a_stop_of_a_container_that_is_not_visible_yet_is_sent_all_the_same() -> None:
    world = World()
    created = world.started()
    world.compute.visible = False
    world.cancel(created)
    world.react()
    assert world.compute.stops == [world.token(created)]
    assert not world.get(created).terminated


def test_effects_that_come_too_late_do_nothing() -> None:
    world = World()
    created = world.create()
    admitted = world.store.changes.pop(0)
    world.cancel(created)
    cancelled = world.store.changes.pop(0)
    world.react()
    react(world.reactor, cancelled)
    react(world.reactor, admitted)  # the launch is no longer called for
    assert world.compute.containers == {}
    react(world.reactor, cancelled)  # nor is a stop of what has ended
    assert world.get(created).terminated


def test_an_event_for_an_invocation_of_another_kind_of_trouble_is_raised() -> None:
    world = World()
    created = world.started()
    world.store.fail_next("commit", Conflict("always"), times=inf)
    with pytest.raises(Refused):
        task_events.container_ended(
            world.context, created, world.execution_id(created), ContainerExit(ExitKind.EXITED, "exited", 0)
        )
