"""The lines of an execution in CloudWatch Logs: read from the start, from the end, and as they come."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from multinode_control_plane.adapters.aws.clients import Clients
from multinode_control_plane.adapters.aws.cloudwatch_logs import CloudWatchLogs
from multinode_control_plane.adapters.aws.task_exit import worker_of
from multinode_control_plane.ports import LogsPage, StoreUnavailable
from tests.support.aws.records import EXECUTION_ID, NOW, TASK_ARN, execution
from tests.support.fakes import FakeClock

GROUP = "/multinode/main/workers"
STREAM = "worker/worker/4f1d2c3b5a6948d7bfa0c1d2e3f40516"
RUNNING = execution()
OTHER = execution(worker=worker_of(TASK_ARN + "0"), execution_id="exe-other")


def event(text: str, timestamp_ms: int = 1) -> dict[str, Any]:
    return {"timestamp": timestamp_ms, "message": text, "ingestionTime": 1}


def texts(page: LogsPage) -> list[str]:
    return [line["message"] for line in page.lines]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def logs(clients: Clients, clock: FakeClock) -> CloudWatchLogs:
    return CloudWatchLogs(clients, GROUP, clock)


class Stream:
    """The log stream of RUNNING, as the awslogs driver writes it."""

    def __init__(self, clients: Clients) -> None:
        self._logs = clients.logs
        self._logs.create_log_group(logGroupName=GROUP)
        self._logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
        self._time = 1795165200000

    def write(self, *lines: str) -> None:
        events = [{"timestamp": self._time + number, "message": line} for number, line in enumerate(lines)]
        self._time += len(lines)
        self._logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=events)  # type: ignore[arg-type]


@pytest.fixture
def stream(clients: Clients) -> Stream:
    return Stream(clients)


def test_lines_are_read_in_order_and_new_ones_from_where_the_last_read_ended(
    logs: CloudWatchLogs, stream: Stream
) -> None:
    stream.write("one", "two", "three")
    page = logs.read(RUNNING, limit=100)
    assert (texts(page), page.at_end) == (["one", "two", "three"], True)
    assert page.next_offset is not None
    nothing = logs.read(RUNNING, limit=100, offset=page.next_offset)
    assert (texts(nothing), nothing.at_end) == ([], True)
    stream.write("four")
    more = logs.read(RUNNING, limit=100, offset=nothing.next_offset)
    assert (texts(more), more.at_end) == (["four"], True)


def test_a_limit_cuts_the_page_and_says_that_there_is_more(logs: CloudWatchLogs, stream: Stream) -> None:
    stream.write(*(f"line {number}" for number in range(7)))
    first = logs.read(RUNNING, limit=5)
    assert (texts(first), first.at_end) == ([f"line {n}" for n in range(5)], False)
    rest = logs.read(RUNNING, limit=5, offset=first.next_offset)
    assert (texts(rest), rest.at_end) == (["line 5", "line 6"], True)


def test_the_tail_gives_the_last_lines_and_goes_on_behind_them(logs: CloudWatchLogs, stream: Stream) -> None:
    stream.write(*(f"line {number}" for number in range(7)))
    tail = logs.read(RUNNING, limit=3, tail=True)
    assert (texts(tail), tail.at_end) == (["line 4", "line 5", "line 6"], True)
    stream.write("line 7")
    assert texts(logs.read(RUNNING, limit=3, offset=tail.next_offset, tail=True)) == ["line 7"]


def test_a_line_in_the_workers_form_is_taken_apart(logs: CloudWatchLogs, stream: Stream) -> None:
    stream.write(
        json.dumps({"t": 1795165200123, "s": "stderr", "m": 'Träg "quoted"\ttab'}),
        json.dumps({"t": 1795165200124, "s": "worker", "m": "starting"}),
    )
    assert list(logs.read(RUNNING, limit=9).lines) == [
        {
            "timestamp_ms": 1795165200123,
            "execution_id": EXECUTION_ID,
            "attempt": 1,
            "stream": "stderr",
            "message": 'Träg "quoted"\ttab',
        },
        {
            "timestamp_ms": 1795165200124,
            "execution_id": EXECUTION_ID,
            "attempt": 1,
            "stream": "worker",
            "message": "starting",
        },
    ]


@pytest.mark.parametrize(
    "text",
    [
        "exec /usr/bin/python: exec format error",
        "{",
        "[1]",
        "7",
        '{"a": 1}',
        '{"m": 7}',
        '{"t":1,"s":"stdout","m":"cut o',
    ],
)
def test_any_other_line_is_shown_as_it_is(logs: CloudWatchLogs, stream: Stream, text: str) -> None:
    stream.write(text)
    (line,) = logs.read(RUNNING, limit=9).lines
    assert (line["message"], line["stream"], line["timestamp_ms"]) == (text, "worker", 1795165200000)


def test_an_odd_time_or_stream_of_a_line_does_no_harm(logs: CloudWatchLogs, stream: Stream) -> None:
    stream.write(json.dumps({"t": "noon", "s": "elsewhere", "m": "text"}))
    (line,) = logs.read(RUNNING, limit=9).lines
    assert (line["message"], line["stream"], line["timestamp_ms"]) == ("text", "worker", 1795165200000)


def test_an_execution_that_has_no_container_or_no_lines_yet_gives_an_empty_page(
    logs: CloudWatchLogs, stream: Stream
) -> None:
    assert logs.read(execution(worker=None), limit=9) == LogsPage((), None, at_end=True)
    assert logs.read(OTHER, limit=9) == LogsPage((), None, at_end=True)


def test_the_end_is_not_told_before_the_last_lines_can_have_come(
    logs: CloudWatchLogs, stream: Stream, clock: FakeClock
) -> None:
    ended = execution(terminated_at=NOW)
    stream.write("last words")
    clock.time = NOW + timedelta(seconds=5)
    assert logs.read(ended, limit=9).at_end is False
    assert logs.read(execution(terminated_at=NOW, worker=None), limit=9).at_end is False
    clock.time = NOW + timedelta(seconds=5, milliseconds=1)
    assert logs.read(ended, limit=9).at_end is True


@pytest.mark.parametrize("offset", ["", "x", "garbage!", "é", "AAAA", "W10", "WzEsMl0", "a" * 4000, "[" * 4000])
def test_an_offset_that_no_read_gave_is_refused(logs: CloudWatchLogs, stream: Stream, offset: str) -> None:
    with pytest.raises(ValueError, match="offset"):
        logs.read(RUNNING, limit=9, offset=offset)


def test_an_offset_of_another_execution_is_refused(logs: CloudWatchLogs, stream: Stream) -> None:
    stream.write("one")
    offset = logs.read(RUNNING, limit=9).next_offset
    with pytest.raises(ValueError, match="other logs"):
        logs.read(OTHER, limit=9, offset=offset)


def test_deleted_lines_are_gone_and_deleting_again_is_no_error(logs: CloudWatchLogs, stream: Stream) -> None:
    stream.write("one")
    logs.delete(RUNNING)
    logs.delete(RUNNING)
    logs.delete(execution(worker=None))
    assert logs.read(RUNNING, limit=9) == LogsPage((), None, at_end=True)


# --- what moto does not do --------------------------------------------------------------------------------------------


@pytest.fixture
def stub(clients: Clients) -> Iterator[Stubber]:
    with Stubber(clients.logs) as stubbed:
        yield stubbed
        stubbed.assert_no_pending_responses()


def page_of(stub: Stubber, lines: list[str], *, forward: str, backward: str = "b", **expected: Any) -> None:
    request = {"logGroupName": GROUP, "logStreamName": STREAM, "startFromHead": True, "limit": ANY, **expected}
    events = [event(line) for line in lines]
    answer = {"events": events, "nextForwardToken": forward, "nextBackwardToken": backward}
    stub.add_response("get_log_events", answer, request)


def test_an_empty_page_is_not_the_end_while_its_token_moves(logs: CloudWatchLogs, stub: Stubber) -> None:
    page_of(stub, [], forward="f/1")
    page_of(stub, ["one"], forward="f/2", nextToken="f/1")
    page_of(stub, [], forward="f/2", nextToken="f/2")
    page = logs.read(RUNNING, limit=9)
    assert (texts(page), page.at_end) == (["one"], True)


def test_a_read_makes_a_bounded_number_of_calls(logs: CloudWatchLogs, stub: Stubber) -> None:
    page_of(stub, [], forward="f/0")
    for number in range(4):
        page_of(stub, [], forward=f"f/{number + 1}", nextToken=f"f/{number}")
    page = logs.read(RUNNING, limit=9)
    assert (texts(page), page.at_end) == ([], False)
    page_of(stub, ["one"], forward="f/5", nextToken="f/4")
    page_of(stub, [], forward="f/5", nextToken="f/5")
    assert texts(logs.read(RUNNING, limit=9, offset=page.next_offset)) == ["one"]


def test_a_tail_is_filled_up_from_the_pages_before(logs: CloudWatchLogs, stub: Stubber) -> None:
    page_of(stub, ["four"], forward="f/9", backward="b/2", startFromHead=False)
    page_of(stub, [], forward="f/x", backward="b/1", startFromHead=False, nextToken="b/2")
    page_of(stub, ["two", "three"], forward="f/y", backward="b/0", startFromHead=False, nextToken="b/1")
    page = logs.read(RUNNING, limit=3, tail=True)
    assert texts(page) == ["two", "three", "four"]
    page_of(stub, [], forward="f/9", nextToken="f/9")
    assert logs.read(RUNNING, limit=3, offset=page.next_offset).at_end is True


def test_an_offset_that_cloudwatch_has_forgotten_is_refused(logs: CloudWatchLogs, stub: Stubber) -> None:
    page_of(stub, ["one"], forward="f/1")
    page = logs.read(RUNNING, limit=1)
    stub.add_client_error("get_log_events", "InvalidParameterException", "The specified nextToken is invalid.")
    with pytest.raises(ValueError, match="older than a day"):
        logs.read(RUNNING, limit=1, offset=page.next_offset)


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidParameterException"])
def test_a_read_that_cloudwatch_refuses_is_an_error(logs: CloudWatchLogs, stub: Stubber, code: str) -> None:
    stub.add_client_error("get_log_events", code)
    with pytest.raises(ClientError, match=code):
        logs.read(RUNNING, limit=1)


def test_a_read_that_stays_throttled_is_for_the_client_to_try_again(logs: CloudWatchLogs, stub: Stubber) -> None:
    stub.add_client_error("get_log_events", "ThrottlingException", "Rate exceeded")
    with pytest.raises(StoreUnavailable, match="asked too often"):
        logs.read(RUNNING, limit=1)


def test_a_deletion_that_cloudwatch_refuses_is_an_error(logs: CloudWatchLogs, stub: Stubber) -> None:
    stub.add_client_error("delete_log_stream", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        logs.delete(RUNNING)
