"""Creating an invocation: once, whatever is repeated, and never for what does not exist."""

from dataclasses import replace
from math import inf

import pytest

from multinode_control_plane.core.errors import Refused
from multinode_control_plane.core.keys import project_key
from multinode_control_plane.core.records import Payload, Project
from multinode_control_plane.ports import Conflict, Delete, Put
from multinode_control_plane.services import commit, invocations
from multinode_protocol.error_codes import ErrorCode
from multinode_protocol.status import InvocationStatus
from tests.support.world import World, function_spec


def create(world: World, text: str = "[[1],{}]", invocation_id: str | None = "inv-1", function: str = "f"):  # type: ignore[no-untyped-def]
    return invocations.create(
        world.context, world.version, function, invocation_id=invocation_id, input_text=text, parent=None
    )


def code_of(action) -> ErrorCode:  # type: ignore[no-untyped-def]
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.code


SHORT, LONG = "é" * 64, "é" * 64 + "e"  # of 128 and of 129 bytes


@pytest.mark.parametrize(("text", "payloads"), [("", 0), (SHORT, 0), (LONG, 1)], ids=["empty", "short", "long"])
def test_a_new_invocation_is_pending_with_its_input_stored(text: str, payloads: int) -> None:
    world = World()
    created = create(world, text)
    assert (created.status, created.created_at) == (InvocationStatus.PENDING, world.clock.now())
    assert world.input_of("inv-1") == text
    assert len(world.store.records(Payload)) == payloads


@pytest.mark.parametrize(
    ("text", "other"),
    [(SHORT, LONG), (LONG, SHORT), (LONG, LONG.replace("e", "f"))],
    ids=["a longer one", "a shorter one", "as long"],
)
def test_the_same_id_with_another_input_is_another_request(text: str, other: str) -> None:
    world = World()
    create(world, text)
    assert create(world, text).invocation_id == "inv-1"
    assert code_of(lambda: create(world, other)) is ErrorCode.INVOCATION_ALREADY_EXISTS
    assert world.input_of("inv-1") == text


def test_the_same_request_again_is_the_same_invocation() -> None:
    world = World()
    first = create(world)
    world.react()
    again = create(world)
    assert again.invocation_id == first.invocation_id
    assert len(world.compute.containers) == 1


def test_a_repeated_request_is_answered_even_after_a_deploy_or_while_deleting() -> None:
    world = World()
    create(world)
    world.store.commit([Put(Project("p", world.clock.now(), world.clock.now()), 1)])
    world.version = replace(world.version, version_id="ver-2")
    assert create(world).version_id == "ver-1"


def test_the_same_id_with_another_request_is_refused() -> None:
    world = World((function_spec("f"), function_spec("g")))
    create(world)
    assert code_of(lambda: create(world, text="[[2],{}]")) is ErrorCode.INVOCATION_ALREADY_EXISTS
    assert code_of(lambda: create(world, function="g")) is ErrorCode.INVOCATION_ALREADY_EXISTS


def test_without_a_clients_id_every_request_is_a_new_invocation() -> None:
    world = World()
    assert create(world, invocation_id=None).invocation_id != create(world, invocation_id=None).invocation_id


def test_an_unknown_function_is_refused() -> None:
    world = World()
    assert code_of(lambda: create(world, function="nope")) is ErrorCode.FUNCTION_DOES_NOT_EXIST


def test_a_project_that_is_being_deleted_takes_nothing_new() -> None:
    world = World()
    world.store.commit([Put(Project("p", world.clock.now(), world.clock.now()), 1)])
    assert code_of(lambda: create(world)) is ErrorCode.PROJECT_IS_BEING_DELETED


def test_a_project_that_is_gone_takes_nothing_new() -> None:
    world = World()
    world.store.commit([Delete(project_key("p"), 1)])
    assert code_of(lambda: create(world)) is ErrorCode.PROJECT_DOES_NOT_EXIST


def test_a_deletion_that_races_a_start_wins_or_comes_after_it() -> None:
    world = World()
    deleted = Put(Project("p", world.clock.now(), world.clock.now()), 1)
    world.store.before("commit", lambda _: world.store.commit([deleted]))
    assert code_of(lambda: create(world)) is ErrorCode.PROJECT_IS_BEING_DELETED
    assert ("INV#inv-1", "INVOCATION") not in world.store.items


def test_endless_conflicts_end_as_busy() -> None:
    world = World()
    world.store.fail_next("commit", Conflict("busy"), times=inf)
    assert code_of(lambda: create(world)) is ErrorCode.CONTROL_PLANE_IS_BUSY
    assert len(world.clock.slept) == 12


def test_loading_an_unknown_invocation_is_refused() -> None:
    world = World()
    assert code_of(lambda: commit.load(world.context, "inv-x")) is ErrorCode.INVOCATION_DOES_NOT_EXIST
    create(world)
    assert commit.load(world.context, "inv-1").record.function_name == "f"
