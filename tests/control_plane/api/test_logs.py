"""Reading logs: of one execution, and of an invocation as one log."""

from dataclasses import replace

import pytest

from multinode_control_plane.api.dispatch import build
from tests.support.api_client import FUNCTION, Answer, Api

RETRIED = {**FUNCTION, "execution_spec": {"max_retries": 5, "timeout_seconds": 600}}
FAILURE = {"outcome": "FAILED", "error_message": "ValueError: no"}


def write(api: Api, invocation_id: str, *messages: str, at: int = 0) -> None:
    execution = api.execution(invocation_id)
    for number, message in enumerate(messages):
        api.world.logs.write(execution, message, timestamp_ms=at + number)


def next_attempt(api: Api, invocation_id: str) -> None:
    """End the attempt in failure and let the next one's code start."""
    api.put(f"{api.execution_path(invocation_id)}/finish", FAILURE)
    api.world.container_ends(invocation_id)
    api.world.react()
    api.put(f"{api.execution_path(invocation_id)}/start")


def end(api: Api, invocation_id: str) -> None:
    api.put(f"{api.execution_path(invocation_id)}/finish", {"outcome": "SUCCEEDED"})
    api.world.container_ends(invocation_id)


def logs(api: Api, invocation_id: str, query: str = "") -> Answer:
    return api.get(f"/invocations/{invocation_id}/logs", query)


def messages(answer: Answer) -> list[str]:
    return [line["message"] for line in answer.body["lines"]]


# --- of one execution -----------------------------------------------------------------------------------------------


def test_the_lines_of_an_execution_come_in_pages_and_the_last_has_no_offset() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    write(api, invocation_id, "1", "2", "3", "4", "5")
    end(api, invocation_id)
    path = f"{api.execution_path(invocation_id)}/logs"
    first = api.get(path, "max_lines=2").body
    offset = first.pop("next_offset")
    assert first == {
        "project_name": "shop",
        "version_id": api.version_id,
        "function_name": "f",
        "invocation_id": invocation_id,
        "execution_id": api.execution(invocation_id).execution_id,
        "log_lines": ["1", "2"],
    }
    second = api.get(path, f"max_lines=3&initial_offset={offset}").body
    assert (second["log_lines"], second["next_offset"]) == (["3", "4", "5"], None)


def test_while_an_execution_runs_there_is_always_an_offset_to_go_on_from() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    path = f"{api.execution_path(invocation_id)}/logs"
    first = api.get(path).body
    assert first["log_lines"] == []
    write(api, invocation_id, "1")
    second = api.get(path, f"initial_offset={first['next_offset']}").body
    assert second["log_lines"] == ["1"]
    write(api, invocation_id, "2")
    end(api, invocation_id)
    third = api.get(path, f"initial_offset={second['next_offset']}").body
    assert (third["log_lines"], third["next_offset"]) == (["2"], None)


@pytest.mark.parametrize("query", ["initial_offset=garbage", "initial_offset={foreign}", "initial_offset=WyJhIl0"])
def test_a_foreign_offset_for_an_execution_is_invalid(query: str) -> None:
    api = Api().deploy()
    other = api.running()
    write(api, other, "1", "2")
    foreign = api.get(f"{api.execution_path(other)}/logs", "max_lines=1").body["next_offset"]
    invocation_id = api.running()
    answer = api.get(f"{api.execution_path(invocation_id)}/logs", query.format(foreign=foreign))
    assert (answer.status, answer.code) == (400, "OffsetIsInvalid")


# --- of an invocation -----------------------------------------------------------------------------------------------


def test_before_the_first_execution_there_are_no_lines_and_an_offset_from_the_start() -> None:
    api = Api().deploy()
    invocation_id = api.post(api.path(), {"input": "[]"}).body["invocation_id"]
    for query in ("", "tail=5", "tail=0"):
        first = logs(api, invocation_id, query).body
        assert (first["lines"], first["complete"], first["invocation_id"]) == ([], False, invocation_id)
    api.world.react()
    write(api, invocation_id, "1")
    assert messages(logs(api, invocation_id, f"offset={first['next_offset']}")) == ["1"]


def test_the_attempts_of_an_invocation_are_one_log() -> None:
    api = Api().deploy(RETRIED)
    invocation_id = api.running()
    write(api, invocation_id, "a1", "a2", at=1000)
    first_id = api.execution(invocation_id).execution_id
    next_attempt(api, invocation_id)
    write(api, invocation_id, "b1", at=2000)
    answer = logs(api, invocation_id)
    assert answer.body["lines"] == [
        {"timestamp_ms": 1000, "execution_id": first_id, "attempt": 1, "stream": "stdout", "message": "a1"},
        {"timestamp_ms": 1001, "execution_id": first_id, "attempt": 1, "stream": "stdout", "message": "a2"},
        {
            "timestamp_ms": 2000,
            "execution_id": api.execution(invocation_id).execution_id,
            "attempt": 2,
            "stream": "stdout",
            "message": "b1",
        },
    ]
    assert answer.body["complete"] is False


@pytest.mark.parametrize("max_lines", [1, 2, 3, 100])
def test_following_the_offsets_gives_every_line_once_while_attempts_come_and_go(max_lines: int) -> None:
    api = Api().deploy(RETRIED)
    invocation_id = api.running()
    seen: list[str] = []
    written: list[str] = []
    offset = ""
    for attempt in range(4):
        for line in range(attempt):
            written.append(f"{attempt}.{line}")
            write(api, invocation_id, written[-1])
            answer = logs(api, invocation_id, f"max_lines={max_lines}&offset={offset}")
            seen += messages(answer)
            offset = answer.body["next_offset"]
        if attempt < 3:
            next_attempt(api, invocation_id)
    end(api, invocation_id)
    complete = False
    while not complete:
        answer = logs(api, invocation_id, f"max_lines={max_lines}&offset={offset}")
        seen += messages(answer)
        offset, complete = answer.body["next_offset"], answer.body["complete"]
    assert seen == written
    again = logs(api, invocation_id, f"offset={offset}").body
    assert (again["lines"], again["complete"], again["next_offset"]) == ([], True, offset)


def test_complete_means_terminated_and_read_to_the_end() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    write(api, invocation_id, "1", "2")
    api.put(f"{api.execution_path(invocation_id)}/finish", {"outcome": "SUCCEEDED"})
    assert logs(api, invocation_id).body["complete"] is False
    api.world.container_ends(invocation_id)
    assert logs(api, invocation_id, "max_lines=1").body["complete"] is False
    assert logs(api, invocation_id, "max_lines=2").body["complete"] is True


def test_lines_that_come_in_late_are_waited_for_before_the_log_is_complete() -> None:
    api = Api().deploy(RETRIED)
    invocation_id = api.running()
    write(api, invocation_id, "early")
    late = api.execution(invocation_id)
    next_attempt(api, invocation_id)
    write(api, invocation_id, "second attempt")
    end(api, invocation_id)
    api.world.logs.settling = {late.execution_id}
    first = logs(api, invocation_id)
    assert (messages(first), first.body["complete"]) == (["early"], False)
    api.world.logs.write(late, "late")
    api.world.logs.settling.clear()
    second = logs(api, invocation_id, f"offset={first.body['next_offset']}")
    assert (messages(second), second.body["complete"]) == (["late", "second attempt"], True)


def test_a_tail_whose_last_lines_may_still_come_in_is_not_complete() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    write(api, invocation_id, "1")
    end(api, invocation_id)
    api.world.logs.settling = {api.execution(invocation_id).execution_id}
    answer = logs(api, invocation_id, "tail=5")
    assert (messages(answer), answer.body["complete"]) == (["1"], False)


def test_a_backend_that_gives_empty_pages_before_the_end_is_read_on() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    write(api, invocation_id, "found")
    api.world.logs.empty_pages = 2
    assert messages(logs(api, invocation_id)) == ["found"]


def test_one_execution_alone_is_read_by_its_id() -> None:
    api = Api().deploy(RETRIED)
    invocation_id = api.running()
    write(api, invocation_id, "a1")
    first_id = api.execution(invocation_id).execution_id
    next_attempt(api, invocation_id)
    write(api, invocation_id, "b1")
    second_id = api.execution(invocation_id).execution_id
    first = logs(api, invocation_id, f"execution_id={first_id}")
    assert (messages(first), first.body["complete"]) == (["a1"], True)
    second = logs(api, invocation_id, f"execution_id={second_id}")
    assert (messages(second), second.body["complete"]) == (["b1"], False)
    assert messages(logs(api, invocation_id, f"execution_id={first_id}&tail=3")) == ["a1"]
    unknown = logs(api, invocation_id, "execution_id=exe-" + "f" * 32)
    assert (unknown.status, unknown.code) == (404, "ExecutionDoesNotExist")
    mixed = logs(api, invocation_id, f"execution_id={second_id}&offset={first.body['next_offset']}")
    assert (mixed.status, mixed.code) == (400, "OffsetIsInvalid")


@pytest.mark.parametrize(
    ("tail", "expected"),
    [(0, []), (1, ["c2"]), (2, ["c1", "c2"]), (3, ["a3", "c1", "c2"]), (100, ["a1", "a2", "a3", "c1", "c2"])],
)
def test_the_tail_reaches_back_over_attempts_and_goes_on_after_the_end(tail: int, expected: list[str]) -> None:
    api = Api().deploy(RETRIED)
    invocation_id = api.running()
    write(api, invocation_id, "a1", "a2", "a3")
    next_attempt(api, invocation_id)
    next_attempt(api, invocation_id)
    write(api, invocation_id, "c1", "c2")
    answer = logs(api, invocation_id, f"tail={tail}")
    assert (messages(answer), answer.body["complete"]) == (expected, False)
    write(api, invocation_id, "c3")
    end(api, invocation_id)
    after = logs(api, invocation_id, f"offset={answer.body['next_offset']}")
    assert (messages(after), after.body["complete"]) == (["c3"], True)


def test_the_tail_of_an_ended_invocation_is_complete() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    write(api, invocation_id, "1", "2")
    end(api, invocation_id)
    assert logs(api, invocation_id, "tail=1").body["complete"] is True


def test_lines_from_before_a_time_are_left_out_of_pages_and_of_the_tail() -> None:
    api = Api().deploy(RETRIED)
    invocation_id = api.running()
    write(api, invocation_id, "old", "older still", at=1000)
    next_attempt(api, invocation_id)
    write(api, invocation_id, "x", "new", "newer", at=1999)
    assert messages(logs(api, invocation_id, "since_ms=2000")) == ["new", "newer"]
    assert messages(logs(api, invocation_id, "since_ms=2000&tail=10")) == ["new", "newer"]
    assert messages(logs(api, invocation_id, "since_ms=2000&tail=1")) == ["newer"]


def test_a_long_log_is_read_a_bounded_number_of_times_per_request() -> None:
    """20 times, 1,000 lines each."""
    api = Api().deploy()
    invocation_id = api.running()
    write(api, invocation_id, *(str(number) for number in range(20_050)))
    first = logs(api, invocation_id, "since_ms=20045")
    assert (messages(first), first.body["complete"]) == ([], False)
    second = logs(api, invocation_id, f"since_ms=20045&offset={first.body['next_offset']}")
    assert messages(second) == ["20045", "20046", "20047", "20048", "20049"]


def test_lines_that_do_not_fit_into_one_answer_come_with_the_next() -> None:
    # A line of 1,000 characters takes 1,006 bytes in a body that is itself a JSON string, and 160 around it: 1,166.
    # 4,000,000 bytes hold 3,430 of them.
    api = Api().deploy()
    invocation_id = api.running()
    lines = [f"{number:04}" + "x" * 996 for number in range(3500)]
    write(api, invocation_id, *lines)
    end(api, invocation_id)
    first = logs(api, invocation_id, "max_lines=10000")
    assert (messages(first), first.body["complete"]) == (lines[:3430], False)
    second = logs(api, invocation_id, f"max_lines=10000&offset={first.body['next_offset']}")
    assert (messages(second), second.body["complete"]) == (lines[3430:], True)
    assert messages(logs(api, invocation_id, "tail=3500")) == lines[70:]


def test_a_page_of_which_nothing_more_fits_stays_where_it_is() -> None:
    # The first page of 1,000 lines takes 1,000 times 3,966 bytes of 4,000,000; the next line needs 100,166.
    api = Api().deploy()
    invocation_id = api.running()
    write(api, invocation_id, *["a" * 3800] * 1000, "b" * 100_000)
    first = logs(api, invocation_id, "max_lines=10000")
    assert messages(first) == ["a" * 3800] * 1000
    assert messages(logs(api, invocation_id, f"offset={first.body['next_offset']}")) == ["b" * 100_000]


def test_a_line_too_long_for_any_answer_is_cut() -> None:
    """To an eighth of the 4,000,000 bytes: a character takes seven at most."""
    api = Api().deploy()
    invocation_id = api.running()
    write(api, invocation_id, "x" * 4_000_000, "y")
    shown = "x" * 499_999 + "…"
    assert messages(logs(api, invocation_id)) == [shown, "y"]
    assert messages(logs(api, invocation_id, "tail=2")) == [shown, "y"]


def test_a_request_waits_for_lines() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    api.waiter.meanwhile = lambda: write(api, invocation_id, "1")
    assert messages(logs(api, invocation_id, "wait_s=5")) == ["1"]
    assert api.waiter.waits == [1.0]


def test_a_request_waits_until_the_log_is_complete() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    api.waiter.meanwhile = lambda: end(api, invocation_id)
    assert logs(api, invocation_id, "wait_s=5").body["complete"] is True


def test_a_request_in_vain_looks_once_a_second_and_gives_up_in_time() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    answer = logs(api, invocation_id, "wait_s=2.5").body
    assert (answer["lines"], answer["complete"], api.waiter.waits) == ([], False, [1.0, 1.0, 1.0])
    logs(api, invocation_id, "wait_s=0.5")
    assert api.waiter.waits[3:] == [0.5]


def test_where_a_look_at_lines_has_a_price_nobody_waits_for_them() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    api.handler = build(replace(api.ports, longest_log_wait_s=0))
    assert logs(api, invocation_id, "wait_s=5").status == 200
    assert api.waiter.waits == []


def test_where_lines_are_nobody_waits() -> None:
    api = Api().deploy()
    invocation_id = api.running()
    write(api, invocation_id, "1")
    assert messages(logs(api, invocation_id, "wait_s=5")) == ["1"]
    assert api.waiter.waits == []


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("max_lines=0", 422, "RequestIsInvalid"),
        ("tail=-1", 422, "RequestIsInvalid"),
        ("tail=1&offset=x", 422, "RequestIsInvalid"),
        ("since_ms=x", 422, "RequestIsInvalid"),
        ("wait_s=x", 422, "RequestIsInvalid"),
        ("offset=garbage", 400, "OffsetIsInvalid"),
    ],
)
def test_bad_parameters_are_refused(query: str, status: int, code: str) -> None:
    api = Api().deploy()
    answer = logs(api, api.running(), query)
    assert (answer.status, answer.code) == (status, code)


def test_an_offset_of_an_execution_that_is_no_more_is_invalid() -> None:
    from multinode_control_plane.core import offsets

    api = Api().deploy()
    invocation_id = api.running()
    offset = offsets.pack(("logs", invocation_id, None), ("exe-gone", "1"))
    assert logs(api, invocation_id, f"offset={offset}").code == "OffsetIsInvalid"
    offset = offsets.pack(("logs", invocation_id, None), (api.execution(invocation_id).execution_id, "99"))
    assert logs(api, invocation_id, f"offset={offset}").code == "OffsetIsInvalid"


def test_the_logs_of_nothing_are_not_found() -> None:
    assert logs(Api(), "inv-" + "f" * 32).code == "InvocationDoesNotExist"
