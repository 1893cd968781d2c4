"""get, wait and cancel."""

import json
from functools import partial

import pytest

from multinode_control_plane.core.records import ParentRef
from tests.cli.conftest import Multinode
from tests.support.bodies import CREATED, execution, execution_id, function_info, invocation_id, version_id
from tests.support.control_plane import FakeControlPlane
from tests.support.faulty_server import later


@pytest.fixture
def tsp(plane: FakeControlPlane) -> FakeControlPlane:
    plane.add_project("tsp", function_info("solve", ["n"]))
    return plane


def test_an_invocation_as_json_has_every_documented_field(multinode: Multinode, tsp: FakeControlPlane) -> None:
    tsp.add_project("tsp", function_info("solve", ["n"]), function_info("all"))
    parent = tsp.add_invocation(9, "tsp", "all")
    identifier = tsp.add_invocation(
        1,
        "tsp",
        "solve",
        "FAILED",
        input="[[8],{}]",
        error="ValueError: no",
        error_traceback="Traceback …",
        executions=[
            execution(1, outcome="FAILED", output="0.5", error_message="ValueError: no", error_type="ValueError")
        ],
        parent=ParentRef("all", parent),
    )
    assert json.loads(multinode("get", identifier, "--json").out) == {
        "invocation_id": identifier,
        "project_name": "tsp",
        "version_id": version_id(1),
        "function_name": "solve",
        "parent": {"function_name": "all", "invocation_id": parent},
        "status": "FAILED",
        "status_reason": "",
        "terminated": True,
        "input": [[8], {}],
        "progress": 0.5,
        "result": 0.5,
        "error": "ValueError: no",
        "error_traceback": "Traceback …",
        "num_failed_attempts": 1,
        "num_failed_launches": 0,
        "creation_time_ms": CREATED * 1000,
        "last_update_time_ms": CREATED * 1000,
        "finish_time_ms": CREATED * 1000 + 2500,
        "executions": [
            {
                "execution_id": execution_id(1),
                "attempt": 1,
                "worker_status": "TERMINATED",
                "outcome": "FAILED",
                "output": 0.5,
                "error": "ValueError: no",
                "error_type": "ValueError",
                "error_traceback": "Traceback …",
                "worker": {"type": "TEST", "identifier": "worker-1", "logs_identifier": "log"},
                "creation_time_ms": CREATED * 1000,
                "start_time_ms": CREATED * 1000 + 1000,
                "finish_time_ms": None,
            }
        ],
    }


def test_while_it_runs_what_it_yields_is_progress_and_no_result(multinode: Multinode, tsp: FakeControlPlane) -> None:
    """The API gives the newest value under `result` before the end, too."""
    identifier = tsp.add_invocation(1, "tsp", "solve", "RUNNING", result="0.5", executions=[execution(1, output="0.5")])
    printed = json.loads(multinode("get", identifier, "--json").out)
    assert (printed["progress"], printed["result"]) == (0.5, None)
    text = multinode("get", identifier).out
    assert "Progress" in text
    assert "Result" not in text


def test_an_invocation_for_people(multinode: Multinode, tsp: FakeControlPlane) -> None:
    identifier = tsp.add_invocation(
        1, "tsp", "solve", "SUCCEEDED", input='[[8],{"seed":"x"}]', result="[1, 2]", executions=[execution(1)]
    )
    lines = multinode("get", "--invocation-id", identifier).out.splitlines()
    shown = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in lines if "  " in line}
    assert shown["Call"] == 'solve(8, seed="x")'
    assert shown["Status"] == "SUCCEEDED"
    assert shown["Took"] == "2.5 s"
    assert shown["Result"] == "[1, 2]"
    assert lines[-1].split()[:2] == ["1", execution_id(1)]


@pytest.mark.parametrize("wanted", ["2", execution_id(2)])
def test_one_attempt_alone(multinode: Multinode, tsp: FakeControlPlane, wanted: str) -> None:
    executions = [
        execution(1),
        execution(2, outcome="SUCCEEDED", output="3", execution_finish_time_ms=CREATED * 1000 + 3000),
    ]
    identifier = tsp.add_invocation(1, "tsp", "solve", executions=executions)
    printed = json.loads(multinode("get", identifier, "--execution-id", wanted, "--json").out)
    assert (printed["execution_id"], printed["output"]) == (execution_id(2), 3)
    assert "Took       2 s" in multinode("get", identifier, "--execution-id", wanted).out


def test_an_attempt_that_is_not_there_lists_those_that_are(multinode: Multinode, tsp: FakeControlPlane) -> None:
    identifier = tsp.add_invocation(1, "tsp", "solve", executions=[execution(1)])
    outcome = multinode("get", identifier, "--execution-id", "2")
    assert outcome.code == 2
    assert outcome.err == f"error: {identifier} has no execution '2'. Its attempts: 1 ({execution_id(1)})\n"


def test_what_a_terminal_would_obey_does_not_come_from_names_errors_or_results(
    multinode: Multinode, tsp: FakeControlPlane
) -> None:
    bad = "\x1b[31mred\x1b[0m\x07"
    identifier = tsp.add_invocation(
        1,
        "tsp",
        "solve",
        "FAILED",
        input=f"[[{json.dumps(bad)}],{{}}]",
        status_reason=bad,
        error=bad,
        error_traceback=bad,
    )
    printed = multinode("get", identifier).out
    assert "\x1b" not in printed
    assert "\x07" not in printed


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (("--project-name", "web"), "belongs to project tsp, not to web"),
        (("--function-name", "other"), "belongs to function solve, not to other"),
        (("--version-id", version_id(7)), f"belongs to version {version_id(1)}, not to {version_id(7)}"),
    ],
)
@pytest.mark.parametrize("command", ["get", "wait", "cancel", "logs"])
def test_an_id_that_is_not_where_it_is_said_to_be_is_refused(
    multinode: Multinode, tsp: FakeControlPlane, command: str, scope: tuple[str, ...], message: str
) -> None:
    identifier = tsp.add_invocation(1, "tsp", "solve")
    outcome = multinode(command, identifier, *scope)
    assert (outcome.code, outcome.err) == (2, f"error: {identifier} {message}\n")
    assert tsp.invocations[identifier]["status"] == "RUNNING"


def test_an_id_that_is_where_it_is_said_to_be_is_shown(multinode: Multinode, tsp: FakeControlPlane) -> None:
    identifier = tsp.add_invocation(1, "tsp", "solve")
    scope = ("--project-name", "tsp", "--function-name", "solve", "--version-id", "latest")
    assert multinode("get", identifier, *scope).code == 0


@pytest.mark.parametrize("command", ["get", "wait", "cancel", "logs"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (invocation_id(2), f"Did you mean '{invocation_id(1)}'?"),
        ("inv-" + "f" * 32, f"there is no invocation 'inv-{'f' * 32}'. To list those of a function: multinode list"),
        (execution_id(1), f"{execution_id(1)} is the id of an execution; give the id of an invocation"),
        (version_id(1), "is the id of a version"),
        ("../projects", "there is no invocation '../projects'"),
        ("..", "there is no invocation '..'"),
        ("$(id)", "there is no invocation '$(id)'"),
        ("{{7*7}}", "there is no invocation '{{7*7}}'"),
        ("%s%n", "there is no invocation '%s%n'"),
        ("\x1b[2J", "there is no invocation ''"),
        ("\u202egnp", "there is no invocation 'gnp'"),
        ("\udcff", "there is no invocation"),
        ("latest", "there is no invocation 'latest'"),
    ],
)
def test_an_unknown_invocation_is_exit_code_2(
    multinode: Multinode, tsp: FakeControlPlane, command: str, wrong: str, message: str
) -> None:
    tsp.add_invocation(1, "tsp", "solve")
    outcome = multinode(command, wrong)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert tsp.invocations[invocation_id(1)]["status"] == "RUNNING"


def test_the_corrected_command_of_a_nearly_right_id_is_complete(multinode: Multinode, tsp: FakeControlPlane) -> None:
    tsp.add_invocation(1, "tsp", "solve")
    outcome = multinode("logs", "-f", invocation_id(2), "--tail", "5")
    assert outcome.err.endswith(f"\n  multinode logs -f {invocation_id(1)} --tail 5\n")


# --- wait ---


def test_the_result_of_one_invocation_alone_is_printed(multinode: Multinode, tsp: FakeControlPlane) -> None:
    identifier = tsp.add_invocation(1, "tsp", "solve", "SUCCEEDED", result='"done"')
    outcome = multinode("wait", identifier)
    assert (outcome.code, outcome.out, outcome.err) == (0, '"done"\n', "")


def test_a_result_that_json_cannot_hold_is_printed_by_its_repr(multinode: Multinode, tsp: FakeControlPlane) -> None:
    envelope = json.dumps(
        {"__multinode__": "cloudpickle", "data": "gASV", "repr": "Thing(3)", "python": "3", "packages": {}}
    )
    identifier = tsp.add_invocation(1, "tsp", "solve", "SUCCEEDED", result=envelope)
    assert multinode("wait", identifier).out == "Thing(3)\n"


def test_no_result_is_null(multinode: Multinode, tsp: FakeControlPlane) -> None:
    identifier = tsp.add_invocation(1, "tsp", "solve", "SUCCEEDED", result=None)
    assert multinode("wait", identifier).out == "null\n"


def test_waiting_ends_when_the_invocation_does(multinode: Multinode, tsp: FakeControlPlane) -> None:
    identifier = tsp.add_invocation(1, "tsp", "solve", "RUNNING")

    thread = later(
        partial(tsp.until_asked, "invocation"),
        partial(tsp.change, identifier, status_reason="nearly there"),
        partial(tsp.change, identifier, status="SUCCEEDED", result="7"),
    )
    assert multinode("wait", identifier).out == "7\n"
    thread.join()


def test_the_traceback_of_a_failure_is_shown_on_stderr(multinode: Multinode, tsp: FakeControlPlane) -> None:
    traceback = "Traceback (most recent call last):\n  File main.py\nValueError: no"
    identifier = tsp.add_invocation(1, "tsp", "solve", "FAILED", error="ValueError: no", error_traceback=traceback)
    outcome = multinode("wait", identifier)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"{traceback}\nerror: {identifier} FAILED: ValueError: no\n"


def test_what_a_cancelled_function_still_returned_is_shown(multinode: Multinode, tsp: FakeControlPlane) -> None:
    identifier = tsp.add_invocation(1, "tsp", "solve", "CANCELLED", result="41", status_reason="by the user")
    outcome = multinode("wait", identifier)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"It returned: 41\nerror: {identifier} CANCELLED: The invocation was cancelled: by the user\n"


def test_several_are_printed_as_they_end_and_one_failure_is_exit_code_1(
    multinode: Multinode, tsp: FakeControlPlane
) -> None:
    first = tsp.add_invocation(1, "tsp", "solve", "RUNNING")
    second = tsp.add_invocation(2, "tsp", "solve", "SUCCEEDED", result="2")
    third = tsp.add_invocation(3, "tsp", "solve", "FAILED", error="ValueError:\nno")
    thread = later(partial(tsp.until_asked, "invocation"), partial(tsp.change, first, status="SUCCEEDED", result="1"))
    outcome = multinode("wait", first, second, "--invocation-id", third)
    thread.join()
    lines = outcome.out.splitlines()
    assert sorted(lines[:2]) == sorted([f"{second} SUCCEEDED 2", f"{third} FAILED: ValueError: no"])
    assert lines[2] == f"{first} SUCCEEDED 1"
    assert (outcome.code, outcome.err) == (1, f"error: 1 of 3 did not succeed: {third}\n")


def test_several_as_json_are_one_object_per_line(multinode: Multinode, tsp: FakeControlPlane) -> None:
    ids = [tsp.add_invocation(number, "tsp", "solve", "SUCCEEDED", result=str(number)) for number in range(1, 101)]
    outcome = multinode("wait", *ids, ids[0], "--json")
    objects = [json.loads(line) for line in outcome.out.splitlines()]
    assert outcome.code == 0
    assert {each["invocation_id"]: each["result"] for each in objects} == dict(zip(ids, range(1, 101), strict=True))
    assert len(objects) == 100


def test_one_unknown_among_several_is_said_before_anything_is_waited_for(
    multinode: Multinode, tsp: FakeControlPlane
) -> None:
    running = tsp.add_invocation(1, "tsp", "solve", "RUNNING")
    assert multinode("wait", running, "inv-" + "f" * 32).code == 2


def test_only_one_can_be_followed(multinode: Multinode, tsp: FakeControlPlane) -> None:
    outcome = multinode("wait", "inv-1", "inv-2", "--follow")
    assert (outcome.code, outcome.err.startswith("error: --follow shows one invocation")) == (2, True)


# --- cancel ---


def test_a_cancelled_invocation_is_printed_with_its_status(multinode: Multinode, tsp: FakeControlPlane) -> None:
    pending = tsp.add_invocation(1, "tsp", "solve", "PENDING")
    running = tsp.add_invocation(2, "tsp", "solve", "RUNNING")
    outcome = multinode("cancel", pending, running)
    assert (outcome.code, outcome.out) == (0, f"{pending} CANCELLED\n{running} CANCELLING\n")
    assert json.loads(multinode("cancel", running, "--json").out)["status"] == "CANCELLING"


def test_cancelling_what_has_ended_is_refused_and_the_others_are_cancelled(
    multinode: Multinode, tsp: FakeControlPlane
) -> None:
    ended = tsp.add_invocation(1, "tsp", "solve", "SUCCEEDED")
    running = tsp.add_invocation(2, "tsp", "solve", "RUNNING")
    outcome = multinode("cancel", ended, running)
    assert (outcome.code, outcome.out) == (2, f"{running} CANCELLING\n")
    assert outcome.err == f"error: cannot cancel: {ended} has already ended: SUCCEEDED\n"


def test_cancelling_twice_is_as_once(multinode: Multinode, tsp: FakeControlPlane) -> None:
    pending = tsp.add_invocation(1, "tsp", "solve", "PENDING")
    assert multinode("cancel", pending).code == 0
    assert (multinode("cancel", pending).code, multinode("cancel", pending).out) == (0, f"{pending} CANCELLED\n")
