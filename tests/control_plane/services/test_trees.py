"""Parents and children: links made in the child's own commit, cascades down to the last descendant."""

import pytest

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.external_transitions import ExitKind
from multinode_control_plane.core.keys import children_prefix
from multinode_control_plane.core.records import ParentRef
from multinode_control_plane.services import invocations
from multinode_control_plane.services.context import Limits
from multinode_control_plane.services.reactor import cancel_children
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.status import InvocationStatus
from tests.support.world import FAILURE, SUCCESS, World, function_spec

WIDE = (function_spec(max_concurrency=1000, max_retries=0),)


def test_a_child_is_linked_to_its_parent() -> None:
    world = World(WIDE)
    parent = world.started()
    child = world.create(parent=parent)
    assert [s.record.child_invocation_id for s in world.store.query(children_prefix(parent))] == [child]
    assert (world.get(child).parent, world.get(child).depth) == (ParentRef("f", parent), 1)


@pytest.mark.parametrize("ending", ["cancel", "failure", "lost"])
def test_every_descendant_ends_with_its_ancestor(ending: str) -> None:
    world = World(WIDE)
    parent = world.started()
    children = [world.started(parent=parent) for _ in range(3)]
    grandchildren = [world.started(parent=child) for child in children]
    if ending == "cancel":
        world.cancel(parent)
    elif ending == "failure":
        world.finish(parent, FAILURE)
    else:
        world.container_ends(parent, ExitKind.INTERRUPTED, "host lost", None)
    world.react()
    statuses = {world.get(i).status for i in children + grandchildren}
    assert statuses == {InvocationStatus.CANCELLING}
    assert len(set(world.compute.stops) & {world.token(i) for i in children + grandchildren}) == 6
    assert not world.get(parent).cascade_pending


def test_the_cause_of_a_cascade_is_told() -> None:
    world = World(WIDE)
    parent = world.started()
    child = world.create(parent=parent)
    world.finish(parent, FAILURE)
    world.react()
    assert world.get(child).status_reason.startswith(f"the invocation that started it, {parent}, ended as FAILED")


def test_a_success_leaves_its_children_running() -> None:
    world = World(WIDE)
    parent = world.started()
    child = world.started(parent=parent)
    world.finish(parent, SUCCESS)
    world.react()
    assert world.get(child).status is InvocationStatus.RUNNING


def test_an_attempt_that_is_tried_again_leaves_its_children_running() -> None:
    world = World((function_spec(max_concurrency=10, max_retries=1),))
    parent = world.started()
    child = world.started(parent=parent)
    world.finish(parent, FAILURE)
    world.container_ends(parent)
    world.react()
    assert world.get(child).status is InvocationStatus.RUNNING


def test_a_thousand_children_are_cancelled() -> None:
    world = World(WIDE)
    parent = world.started()
    children = [world.create(parent=parent) for _ in range(1000)]
    world.cancel(parent)
    world.react()
    assert {world.get(child).status for child in children} == {InvocationStatus.CANCELLED}


@pytest.mark.parametrize("ending", ["cancelled", "succeeded"])
def test_nothing_joins_a_parent_that_has_ended_or_is_being_cancelled(ending: str) -> None:
    world = World(WIDE)
    parent = world.started()
    world.cancel(parent) if ending == "cancelled" else world.finish(parent)
    with pytest.raises(Refused) as refused:
        world.create(parent=parent)
    assert refused.value.code is ErrorCode.PARENT_INVOCATION_HAS_ENDED


def test_a_parent_cancelled_while_its_child_is_being_created_wins() -> None:
    world = World(WIDE)
    parent = world.started()
    world.store.before("commit", lambda _: world.cancel(parent))
    with pytest.raises(Refused) as refused:
        world.create(parent=parent, invocation_id="inv-child")
    assert refused.value.code is ErrorCode.PARENT_INVOCATION_HAS_ENDED
    assert ("INV#inv-child", "INVOCATION") not in world.store.items


def test_a_child_of_a_cancelled_ancestor_does_not_start_before_the_cascade_either() -> None:
    world = World(WIDE)
    top = world.started()
    middle = world.started(parent=top)
    leaf = world.create(parent=middle)
    world.react()
    world.cancel(top)
    with pytest.raises(Refused) as refused:
        world.start(leaf)
    assert refused.value.code is ErrorCode.EXECUTION_IS_ALREADY_TERMINATED


def test_a_child_of_a_parent_that_succeeded_may_still_start() -> None:
    world = World(WIDE)
    parent = world.started()
    child = world.create(parent=parent)
    world.react()
    world.finish(parent)
    assert world.start(child).status is InvocationStatus.RUNNING


def test_a_child_whose_parent_was_removed_may_still_start() -> None:
    world = World(WIDE)
    parent = world.started()
    child = world.create(parent=parent)
    world.react()
    del world.store.items[f"INV#{parent}", "INVOCATION"]
    assert world.start(child).status is InvocationStatus.RUNNING


def test_a_lost_cascade_is_repeated_by_the_sweep() -> None:
    world = World(WIDE)
    parent = world.started()
    child = world.create(parent=parent)
    world.react()
    world.finish(parent, FAILURE)
    world.store.changes.clear()  # the reactor never saw it
    world.container_ends(parent)
    world.store.changes.clear()
    world.advance(61)
    world.sweep()
    assert world.get(child).status is InvocationStatus.CANCELLED
    assert world.get(parent).due_at is None


@pytest.mark.parametrize("parent", [ParentRef("f", "inv-unknown"), ParentRef("g", "PARENT"), ParentRef("f", "SELF")])
def test_a_parent_that_is_none_is_refused(parent: ParentRef) -> None:
    world = World(WIDE)
    real = world.started()
    own_id = "inv-self"
    ids = {"PARENT": real, "SELF": own_id}
    ref = ParentRef(parent.function_name, ids.get(parent.invocation_id, parent.invocation_id))
    with pytest.raises(Refused) as refused:
        invocations.create(world.context, world.version, "f", invocation_id=own_id, input_text="", parent=ref)
    assert refused.value.code is ErrorCode.PARENT_INVOCATION_DOES_NOT_EXIST


def test_trees_have_a_greatest_depth() -> None:
    world = World(WIDE, limits=Limits(max_depth=2))
    top = world.started()
    middle = world.started(parent=top)
    leaf = world.started(parent=middle)
    with pytest.raises(Refused) as refused:
        world.create(parent=leaf)
    assert refused.value.code is ErrorCode.LIMIT_IS_REACHED
    assert refused.value.message == "A limit of this deployment is reached: subtasks may be nested 2 deep"


def test_children_whose_records_are_gone_do_not_stop_a_cascade() -> None:
    world = World(WIDE)
    parent = world.started()
    gone, kept = world.create(parent=parent), world.create(parent=parent)
    world.store.changes.clear()
    del world.store.items[f"INV#{gone}", "INVOCATION"]
    world.cancel(parent)
    cancel_children(world.context, parent)
    assert world.get(kept).status is InvocationStatus.CANCELLED
    cancel_children(world.context, "inv-unknown")
    assert not world.get(parent).cascade_pending
