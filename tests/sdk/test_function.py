"""Deployed functions over real HTTP: start, get, cancel, list, await, and what runs inside a worker."""

import json
import pickle
import re
from datetime import timedelta
from math import inf
from typing import Any

import pytest

from multinode import Function, InvocationStatus, Multinode, get_deployed_function
from multinode.errors import (
    ControlPlaneNotConfiguredError,
    FunctionDoesNotExist,
    FunctionInputSizeLimitExceeded,
    InvalidUseError,
    InvocationCancelledError,
    InvocationDoesNotExist,
    InvocationFailedError,
    InvocationTimedOutError,
    OffsetIsInvalid,
    ParameterValidationError,
    PayloadError,
    ProjectDoesNotExist,
    VersionDoesNotExist,
    WaitTimedOutError,
)
from multinode.payload import decode_arguments, encode_value
from tests.sdk.conftest import FUNCTIONS, PROJECT
from tests.support.bodies import function_info, invocation_id, version_id
from tests.support.control_plane import FakeControlPlane
from tests.support.faulty_server import cut, says

ADD = "/projects/shop/versions/latest/functions/add/invocations"
SUCCEEDED = InvocationStatus.SUCCEEDED
FIRST, SECOND = version_id(1), version_id(2)
PARENT = invocation_id(9)


@pytest.fixture
def in_worker(plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the worker of the invocation PARENT of shop/outer, of the first version; a newer version is deployed."""
    plane.add_project(PROJECT, *FUNCTIONS, function_info("outer"))
    plane.add_invocation(9, PROJECT, "outer")
    plane.add_version(PROJECT, function_info("other", []))
    monkeypatch.setenv("MULTINODE_PROJECT_NAME", PROJECT)
    monkeypatch.setenv("MULTINODE_VERSION_ID", FIRST)
    monkeypatch.setenv("MULTINODE_FUNCTION_NAME", "outer")
    monkeypatch.setenv("MULTINODE_INVOCATION_ID", PARENT)


def adding(function_name: str, text: str) -> tuple[InvocationStatus, str]:
    args, kwargs = decode_arguments(text)
    return SUCCEEDED, encode_value(sum(args) + kwargs.get("b", 0))


# ── start ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_start_creates_an_invocation_and_returns_its_id(plane: FakeControlPlane, add: Function[..., int]) -> None:
    invocation_id = add.start(1, b=2)
    assert list(plane.invocations) == [invocation_id]
    assert re.fullmatch("inv-[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", invocation_id)
    [sent] = plane.sent("POST", ADD)
    assert sent.body == {"input": '[[1],{"b":2}]', "invocation_id": invocation_id}


def test_arguments_that_json_cannot_carry_go_as_a_pickle(plane: FakeControlPlane, add: Function[..., int]) -> None:
    add.start((1, 2), b={3})
    assert decode_arguments(plane.sent("POST")[0].body["input"]) == ([(1, 2)], {"b": {3}})


def test_a_start_whose_answer_is_lost_starts_once(plane: FakeControlPlane, add: Function[..., int]) -> None:
    plane.faults.extend([says(503, {}), cut(carried_out=True), cut(carried_out=True)])
    plane.faults.appendleft(cut(carried_out=True))  # the look at the version
    invocation_id = add.start(1)
    assert list(plane.invocations) == [invocation_id]
    assert {request.body["invocation_id"] for request in plane.sent("POST")} == {invocation_id}


def test_a_start_that_is_answered_as_existing_already_was_ours(
    plane: FakeControlPlane, add: Function[..., int]
) -> None:
    add.start(1)
    plane.faults.append(says(409, {"detail": "exists", "code": "InvocationAlreadyExists"}))
    assert add.start(2).startswith("inv-")


def test_arguments_named_like_anything_can_be_given(plane: FakeControlPlane) -> None:
    free = get_deployed_function(PROJECT, "free")
    free.start(self=1, args=2, kwargs=3, target=4)
    assert json.loads(plane.sent("POST")[0].body["input"]) == [[], {"self": 1, "args": 2, "kwargs": 3, "target": 4}]


def test_nothing_is_sent_before_a_function_is_used(plane: FakeControlPlane) -> None:
    function = get_deployed_function("no-such-project", "nor-function")
    assert repr(function) == "<multinode function no-such-project/nor-function, version latest>"
    assert plane.requests == []


def test_arguments_that_do_not_fit_are_refused_before_the_start(
    plane: FakeControlPlane, add: Function[..., int]
) -> None:
    with pytest.raises(ParameterValidationError, match="missing a required argument: 'a'"):
        add.start(b=1)
    with pytest.raises(ParameterValidationError, match="unexpected keyword argument 'c'"):
        add.start(1, c=2)
    assert plane.sent("POST") == []


def test_a_function_of_unknown_signature_takes_anything(plane: FakeControlPlane) -> None:
    get_deployed_function(PROJECT, "free").start(1, 2, x=3)
    assert len(plane.invocations) == 1


def test_a_function_without_parameters_takes_none(plane: FakeControlPlane) -> None:
    plane.add_version(PROJECT, function_info("none", []))
    with pytest.raises(ParameterValidationError, match="too many positional arguments"):
        get_deployed_function(PROJECT, "none").start(1)


def test_the_signature_is_asked_for_once(plane: FakeControlPlane, add: Function[..., int]) -> None:
    for n in range(3):
        add.start(n)
    assert len(plane.sent("GET", "/versions/latest")) == 1


def test_a_new_version_with_another_signature_is_noticed(plane: FakeControlPlane, add: Function[..., int]) -> None:
    add.start(1)
    plane.add_version(PROJECT, function_info("add", ["x", "y", "z="]))
    invocation_id = add.start(1, 2, z=3)  # does not fit what was seen
    assert plane.invocations[invocation_id]["version_id"] == SECOND
    with pytest.raises(ParameterValidationError, match="'y'"):
        add.start(1)


def test_a_new_version_is_looked_at_after_the_first_start_there(
    plane: FakeControlPlane, add: Function[..., int]
) -> None:
    add.start(1)
    plane.add_version(PROJECT, function_info("add", ["a"]))
    add.start(1)  # fits both
    with pytest.raises(ParameterValidationError, match="unexpected keyword argument 'b'"):
        add.start(1, b=2)


def test_one_version_can_be_had_for_good(plane: FakeControlPlane) -> None:
    plane.add_version(PROJECT, function_info("add", []))
    first = get_deployed_function(PROJECT, "add", FIRST)
    assert plane.invocations == {}
    invocation_id = first.start(1)
    assert plane.invocations[invocation_id]["version_id"] == FIRST
    assert repr(first) == f"<multinode function shop/add, version {FIRST}>"


def test_a_function_that_is_missing_is_told_with_its_like(plane: FakeControlPlane) -> None:
    with pytest.raises(FunctionDoesNotExist, match=rf"{FIRST} of shop has no function 'ad'; did you mean 'add'\?"):
        get_deployed_function(PROJECT, "ad").start(1)
    with pytest.raises(FunctionDoesNotExist, match="it has add, free"):
        get_deployed_function(PROJECT, "zzz").start(1)


def test_a_project_or_version_that_is_missing_says_so(plane: FakeControlPlane) -> None:
    with pytest.raises(ProjectDoesNotExist, match=r"GET /projects/nope/versions/latest.*multinode list"):
        get_deployed_function("nope", "add").start(1)
    with pytest.raises(VersionDoesNotExist, match="ver-9"):
        get_deployed_function(PROJECT, "add", "ver-9").start(1)


@pytest.mark.parametrize("names", [("", "f"), ("p", ""), (None, "f"), ("p", 5), ("p", "f", 7)])
def test_what_is_no_name_is_refused_at_once(names: Any) -> None:
    with pytest.raises(ParameterValidationError, match="allowed is a non-empty string"):
        get_deployed_function(*names)


def test_arguments_over_the_limit_start_nothing(plane: FakeControlPlane, add: Function[..., int]) -> None:
    with pytest.raises(FunctionInputSizeLimitExceeded):
        add.start("x" * 250_001)
    assert plane.invocations == {}


def test_without_a_control_plane_nothing_can_be_started() -> None:
    with pytest.raises(ControlPlaneNotConfiguredError):
        get_deployed_function(PROJECT, "add").start(1)


# ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_call_remote_returns_the_result(plane: FakeControlPlane, add: Function[..., int]) -> None:
    plane.ends = adding
    assert add.call_remote(1, b=41) == 42


def test_await_result_raises_what_became_of_the_invocation(plane: FakeControlPlane, add: Function[..., int]) -> None:
    failed, cancelled, timed_out, unreadable = (add.start(n) for n in range(4))
    plane.change(
        failed, status=InvocationStatus.FAILED, error="ValueError: bad", error_traceback='File "main.py", line 7'
    )
    plane.change(cancelled, status=InvocationStatus.CANCELLED)
    plane.change(timed_out, status=InvocationStatus.TIMED_OUT)
    plane.change(
        unreadable,
        status=SUCCEEDED,
        result='{"__multinode__":"cloudpickle","data":"gAVjbm8KVAou","packages":{"no":"1.0"}}',
    )
    with pytest.raises(InvocationFailedError, match=r'(?s)ValueError: bad.*File "main.py", line 7'):
        add.await_result(failed)
    with pytest.raises(InvocationCancelledError, match=cancelled):
        add.await_result(cancelled)
    with pytest.raises(InvocationTimedOutError, match=timed_out):
        add.await_result(timed_out)
    with pytest.raises(PayloadError, match=r"no 1\.0 there, not installed here"):
        add.await_result(unreadable)
    assert add.get(unreadable).status is SUCCEEDED


@pytest.mark.parametrize("timeout", [0, timedelta(0), 0.0])
def test_await_result_gives_up_after_its_timeout(
    plane: FakeControlPlane, add: Function[..., int], timeout: Any
) -> None:
    invocation_id = add.start(1)
    with pytest.raises(WaitTimedOutError, match=invocation_id):
        add.await_result(invocation_id, timeout=timeout)
    assert plane.invocations[invocation_id]["status"] == "PENDING"


@pytest.mark.parametrize("timeout", [-1, timedelta(seconds=-1), "5", float("nan"), True])
def test_a_timeout_that_is_no_time_is_refused(plane: FakeControlPlane, add: Function[..., int], timeout: Any) -> None:
    with pytest.raises(ParameterValidationError, match="timeout is"):
        add.await_result("inv-1", timeout=timeout)


def test_get_returns_the_invocation_as_it_stands(plane: FakeControlPlane, add: Function[..., int]) -> None:
    invocation_id = add.start(1)
    assert add.get(invocation_id).status is InvocationStatus.PENDING
    plane.change(invocation_id, status=SUCCEEDED, result="1")
    assert add.get(invocation_id).result == 1


def test_an_invocation_of_an_older_version_can_still_be_asked_about(
    plane: FakeControlPlane, add: Function[..., int]
) -> None:
    invocation_id = add.start(1)
    plane.add_version(PROJECT, function_info("add", ["a"]))
    assert add.get(invocation_id).version_id == FIRST
    assert add.cancel(invocation_id).status is InvocationStatus.CANCELLED


def test_an_invocation_of_another_function_is_not_this_ones(plane: FakeControlPlane, add: Function[..., int]) -> None:
    other = get_deployed_function(PROJECT, "free").start()
    plane.change(other, status=SUCCEEDED, result="1")
    for ask in (add.get, add.cancel, add.await_result):
        with pytest.raises(InvocationDoesNotExist, match=rf"{other} is an invocation of shop/free, not of shop/add"):
            ask(other)


@pytest.mark.parametrize("invocation_id", ["inv-nope", "../projects", "inv-1?x=1"])
def test_an_unknown_id_says_so(plane: FakeControlPlane, add: Function[..., int], invocation_id: str) -> None:
    for ask in (add.get, add.cancel, add.await_result):
        with pytest.raises(InvocationDoesNotExist):
            ask(invocation_id)


@pytest.mark.parametrize("invocation_id", [None, 5, "", ".."])
def test_what_cannot_be_an_id_is_refused(plane: FakeControlPlane, add: Function[..., int], invocation_id: Any) -> None:
    with pytest.raises(ParameterValidationError):
        add.get(invocation_id)


def test_a_cancelled_invocation_may_be_cancelled_again(plane: FakeControlPlane, add: Function[..., int]) -> None:
    invocation_id = add.start(1)
    assert add.cancel(invocation_id).status is InvocationStatus.CANCELLED
    assert add.cancel(invocation_id).status is InvocationStatus.CANCELLED


def test_list_gives_ids_page_by_page_newest_first(plane: FakeControlPlane, add: Function[..., int]) -> None:
    """A page has at most 50."""
    plane.on("POST", after=lambda _: plane.world.advance(1), times=inf)
    ids = [add.start(n) for n in range(51)]
    first = add.list()
    assert first.invocation_ids == ids[:0:-1]
    assert first.next_offset is not None
    second = add.list(first.next_offset)
    assert (second.invocation_ids, second.next_offset) == ([ids[0]], None)


def test_list_with_a_wrong_offset_is_refused(plane: FakeControlPlane, add: Function[..., int]) -> None:
    with pytest.raises(OffsetIsInvalid, match="next_offset"):
        add.list("garbage")


def test_a_deployed_function_has_no_code_here(plane: FakeControlPlane, add: Function[..., int]) -> None:
    for call in (add, add.call_local):
        with pytest.raises(InvalidUseError, match=r"call_remote"):
            call(1)
    with pytest.raises(InvalidUseError, match="deployed already"):
        add.spec()


def test_a_deployed_function_can_be_pickled(plane: FakeControlPlane, add: Function[..., int]) -> None:
    add.start(1)
    again = pickle.loads(pickle.dumps(add))
    plane.ends = adding
    assert again.call_remote(2, 3) == 5


# ── inside a worker ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("in_worker")
def test_inside_a_worker_the_projects_functions_start_subtasks_of_the_same_version(plane: FakeControlPlane) -> None:
    mn = Multinode()

    @mn.function
    def add(a: int, b: int = 0) -> int:
        return a + b

    plane.ends = adding
    assert add.call_remote(1, 2) == 3
    [sent] = plane.sent("POST")
    assert sent.path == f"/projects/shop/versions/{FIRST}/functions/add/invocations"
    assert sent.body["parent_invocation"] == {"function_name": "outer", "invocation_id": PARENT}
    [read] = plane.sent("GET")
    assert add.get(read.path.rpartition("/")[2]).parent_invocation_id == PARENT


@pytest.mark.usefixtures("in_worker")
def test_inside_a_worker_calling_a_function_still_runs_it_right_there(plane: FakeControlPlane) -> None:
    mn = Multinode()

    @mn.function
    def add(a: int) -> int:
        return a + 1

    assert add(1) == 2
    assert plane.requests == []


@pytest.mark.usefixtures("in_worker")
def test_inside_a_worker_arguments_are_checked_against_the_code(plane: FakeControlPlane) -> None:
    mn = Multinode()

    @mn.function
    def add(a: int) -> int:
        return a

    with pytest.raises(ParameterValidationError, match=r"add\(a.*missing a required argument: 'a'"):
        add.start()  # type: ignore[call-arg]
    assert plane.requests == []


@pytest.mark.usefixtures("in_worker")
def test_inside_a_worker_a_deployed_function_of_its_project_is_of_its_version(plane: FakeControlPlane) -> None:
    get_deployed_function(PROJECT, "add").start(1)
    assert plane.sent("POST")[0].path.startswith(f"/projects/shop/versions/{FIRST}/")
    assert "parent_invocation" in plane.sent("POST")[0].body


@pytest.mark.usefixtures("in_worker")
def test_inside_a_worker_another_projects_function_is_no_subtask(plane: FakeControlPlane) -> None:
    with pytest.raises(ProjectDoesNotExist):
        get_deployed_function("elsewhere", "add").start(1)
    assert plane.requests[0].path == "/projects/elsewhere/versions/latest"


@pytest.mark.usefixtures("in_worker")
def test_inside_a_worker_list_asks_for_its_own_subtasks(plane: FakeControlPlane) -> None:
    get_deployed_function(PROJECT, "add").list()
    assert plane.requests[0].query == {"parent_function_name": "outer", "parent_invocation_id": PARENT}


@pytest.mark.usefixtures("in_worker")
def test_inside_a_worker_map_starts_subtasks_too(plane: FakeControlPlane) -> None:
    plane.ends = adding
    assert list(get_deployed_function(PROJECT, "add").map([1, 2])) == [1, 2]
    assert all("parent_invocation" in request.body for request in plane.sent("POST"))
