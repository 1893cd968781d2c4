"""invoke: arguments, their check, the request, and what is printed."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from multinode_protocol.failures import ErrorCode
from multinode_protocol.ids import new_invocation_id
from tests.cli.conftest import Multinode
from tests.cli.fake_control_plane import FakeControlPlane, Refusal
from tests.cli.records import function_info, invocation_id, version_id


@pytest.fixture
def tsp(plane: FakeControlPlane) -> FakeControlPlane:
    plane.add_project("tsp", function_info("solve", ["n", "rounds="]), function_info("any", None) | {"signature": None})
    return plane


@contextmanager
def meanwhile(plane: FakeControlPlane, **changes: Any) -> Iterator[None]:
    """Let the next invocation that is started end with `changes` while the command waits for it."""

    def end() -> None:
        with plane._changed:
            plane._changed.wait_for(lambda: plane.invocations, timeout=300)
        plane.change(next(iter(plane.invocations)), **changes)

    original = plane._start

    def start_and_tell(*arguments: Any) -> dict[str, Any]:
        answer = original(*arguments)
        with plane._changed:
            plane._changed.notify_all()
        return answer

    plane._start = start_and_tell  # type: ignore[method-assign]
    thread = threading.Thread(target=end)
    thread.start()
    yield
    thread.join()


def input_sent(plane: FakeControlPlane) -> Any:
    return json.loads(plane.bodies[-1]["input"])


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (("--args", "[3]"), [[3], {}]),
        (("--args", '{"n": 3}'), [[], {"n": 3}]),
        (("--arg", "n=3", "--arg", "rounds=five"), [[], {"n": 3, "rounds": "five"}]),
        (("--args", "[3]", "--arg", "rounds=5"), [[3], {"rounds": 5}]),
        (("--args-file", "-"), [[7], {}]),
    ],
)
def test_arguments_are_sent_and_the_id_alone_is_printed(
    multinode: Multinode, tsp: FakeControlPlane, arguments: tuple[str, ...], sent: Any
):
    outcome = multinode("invoke", "tsp", "solve", *arguments, stdin="[7]")
    (identifier,) = tsp.invocations
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{identifier}\n", "")
    assert input_sent(tsp) == sent


@pytest.mark.parametrize(
    "names",
    [
        ("tsp", "solve"),
        ("--project-name", "tsp", "--function-name", "solve"),
        ("solve", "--project-name", "tsp"),
        ("tsp", "--function-name", "solve"),
    ],
)
def test_names_are_given_by_position_or_by_option(multinode: Multinode, tsp: FakeControlPlane, names: tuple[str, ...]):
    assert multinode("invoke", *names, "--arg", "n=1").code == 0
    assert len(tsp.invocations) == 1


def test_the_newest_version_is_named_in_the_request_so_that_no_later_one_is_started(
    multinode: Multinode, tsp: FakeControlPlane
):
    multinode("invoke", "tsp", "solve", "--arg", "n=1")
    assert tsp.requests[-1] == (
        "POST",
        f"/projects/tsp/versions/{version_id(1)}/functions/solve/invocations",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: solve(n, rounds=...) cannot be called so: missing a required argument: 'n'"),
        (
            ("--arg", "n=1", "--arg", "m=2"),
            "cannot be called so: got an unexpected keyword argument 'm'",
        ),
        (("--args", "[1, 2, 3]"), "solve(n, rounds=...) cannot be called so: too many positional arguments"),
        (("--args", "{n: 3}"), "--args is not JSON"),
        (("--args", '["' + "x" * 250_000 + '"]'), "at most 250,000"),
    ],
)
def test_arguments_that_do_not_fit_start_nothing(
    multinode: Multinode, tsp: FakeControlPlane, arguments: tuple[str, ...], message: str
):
    outcome = multinode("invoke", "tsp", "solve", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert tsp.invocations == {}


def test_without_a_known_signature_any_arguments_are_sent(multinode: Multinode, tsp: FakeControlPlane):
    assert multinode("invoke", "tsp", "any", "--args", "[1, 2, 3]").code == 0


@pytest.mark.parametrize(
    ("names", "corrected"),
    [(("tps", "solve"), "invoke tsp solve"), (("tsp", "sovle"), "invoke tsp solve")],
)
def test_a_wrong_name_gets_the_whole_corrected_command(
    multinode: Multinode, tsp: FakeControlPlane, names: tuple[str, ...], corrected: str
):
    outcome = multinode("invoke", *names, "--args", '{"n": 1}', "--wait")
    assert outcome.code == 2
    assert f"multinode {corrected} --args '{{\"n\": 1}}' --wait\n" in outcome.err
    assert tsp.invocations == {}


def test_as_json_the_invocation_is_printed(multinode: Multinode, tsp: FakeControlPlane):
    printed = json.loads(multinode("invoke", "tsp", "solve", "--arg", "n=1", "--json").out)
    assert (printed["status"], printed["input"]) == ("PENDING", [[], {"n": 1}])


@pytest.mark.parametrize("option", ["--wait", "--follow"])
def test_the_result_alone_is_on_stdout(multinode: Multinode, tsp: FakeControlPlane, option: str):
    with meanwhile(tsp, status="SUCCEEDED", result='{"length": 7542}'):
        outcome = multinode("invoke", "tsp", "solve", "--arg", "n=1", option)
    assert (outcome.code, outcome.out) == (0, '{"length": 7542}\n')
    assert outcome.err.startswith(f"Started {next(iter(tsp.invocations))}\n")


@pytest.mark.parametrize("option", ["--wait", "--follow"])
@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "CANCELLED"])
def test_a_function_that_did_not_succeed_is_exit_code_1(
    multinode: Multinode, tsp: FakeControlPlane, option: str, status: str
):
    with meanwhile(tsp, status=status, error="ValueError: no"):
        outcome = multinode("invoke", "tsp", "solve", "--arg", "n=1", option)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.endswith(f"error: {next(iter(tsp.invocations))} {status}: ValueError: no\n")


def test_waiting_as_json_prints_the_ended_invocation_once(multinode: Multinode, tsp: FakeControlPlane):
    with meanwhile(tsp, status="FAILED", error="ValueError: no"):
        outcome = multinode("invoke", "tsp", "solve", "--arg", "n=1", "--wait", "--json")
    assert outcome.code == 1
    assert json.loads(outcome.out)["error"] == "ValueError: no"


def test_a_start_whose_answer_never_came_says_under_which_id_to_look(
    multinode: Multinode, tsp: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
):
    original = tsp._start

    def start_and_go_away(*arguments: Any) -> dict[str, Any]:
        tsp.away = True
        return original(*arguments)

    monkeypatch.setattr(tsp, "_start", start_and_go_away)
    outcome = multinode("invoke", "tsp", "solve", "--arg", "n=1")
    (identifier,) = tsp.invocations
    assert (outcome.code, outcome.out) == (3, "")
    assert f"Whether {identifier} was started is not known; look with `multinode get {identifier}`" in outcome.err


def test_an_answer_that_was_lost_once_starts_one_invocation(multinode: Multinode, tsp: FakeControlPlane):
    tsp.refuse_next = []
    original = tsp._start
    lost = iter([True])

    def start(*arguments: Any) -> dict[str, Any]:
        answer = original(*arguments)
        if next(lost, False):
            raise Refusal(ErrorCode.CONTROL_PLANE_IS_BUSY)
        return answer

    tsp._start = start  # type: ignore[method-assign]
    assert multinode("invoke", "tsp", "solve", "--arg", "n=1").code == 0
    assert len(tsp.invocations) == 1
    assert len({body["invocation_id"] for body in tsp.bodies}) == 1
    assert len(tsp.bodies) == 2


def test_a_limit_of_the_deployment_is_exit_code_3(
    multinode: Multinode, tsp: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_arguments: Any) -> dict[str, Any]:
        raise Refusal(ErrorCode.LIMIT_IS_REACHED, "A limit of this deployment is reached: 100000 wait")

    monkeypatch.setattr(tsp, "_start", refuse)
    outcome = multinode("invoke", "tsp", "solve", "--arg", "n=1")
    assert outcome.code == 3
    assert "100000 wait" in outcome.err


def test_ids_are_version_7_and_sort_by_time():
    ids = [new_invocation_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(re.fullmatch(r"inv-[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", each) for each in ids)
    assert [each[:16] for each in ids] == sorted(each[:16] for each in ids)
    assert invocation_id(1) < ids[0]
