"""Log files: read page by page from any place that was given, however they were written and by whom."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from multinode_control_plane.adapters.local.data_dir import DataDirectory
from multinode_control_plane.adapters.local.logs import PAGE_BYTES, LocalLogs, last_words, log_file_name
from multinode_control_plane.core.records import Execution, WorkerDetails
from multinode_protocol.messages import LogLine
from multinode_protocol.status import WorkerStatus
from tests.support.records import NOW

NAME = log_file_name("inv-1", "exe-1")
RUNNING = Execution(
    execution_id="exe-1",
    attempt=2,
    worker_status=WorkerStatus.RUNNING,
    created_at=NOW,
    updated_at=NOW,
    launched_at=NOW + timedelta(seconds=1),
    worker=WorkerDetails("TEST", "exe-1-1", NAME),
)
ENDED = replace(RUNNING, worker_status=WorkerStatus.TERMINATED)
LAUNCHED_MS = int((NOW + timedelta(seconds=1)).timestamp() * 1000)


@pytest.fixture
def logs(directory: DataDirectory) -> LocalLogs:
    return LocalLogs(directory.logs)


@pytest.fixture
def path(directory: DataDirectory) -> Path:
    file = directory.logs / NAME
    file.parent.mkdir()
    return file


def written(number: int, stream: str = "stdout") -> str:
    return json.dumps({"t": number, "s": stream, "m": f"line {number}"}) + "\n"


def line(number: int, stream: str = "stdout") -> LogLine:
    return LogLine(timestamp_ms=number, execution_id="exe-1", attempt=2, stream=stream, message=f"line {number}")


def test_lines_come_with_their_time_stream_execution_and_attempt(logs: LocalLogs, path: Path) -> None:
    path.write_text(written(1) + written(2, "stderr") + written(3, "worker"))
    page = logs.read(RUNNING, limit=10)
    assert list(page.lines) == [line(1), line(2, "stderr"), line(3, "worker")]
    assert page.at_end


def test_pages_follow_one_another_without_gap_or_overlap(logs: LocalLogs, path: Path) -> None:
    path.write_text("".join(written(number) for number in range(7)))
    pages, ends, offset = [], [], None
    for _ in range(3):
        page = logs.read(RUNNING, limit=3, offset=offset)
        pages.append(list(page.lines))
        ends.append(page.at_end)
        offset = page.next_offset
    assert pages == [[line(0), line(1), line(2)], [line(3), line(4), line(5)], [line(6)]]
    assert ends == [False, False, True]


def test_at_the_end_the_offset_stays_and_later_lines_are_given_from_it(logs: LocalLogs, path: Path) -> None:
    path.write_text(written(1))
    offset = logs.read(RUNNING, limit=10).next_offset
    again = logs.read(RUNNING, limit=10, offset=offset)
    assert (list(again.lines), again.next_offset, again.at_end) == ([], offset, True)
    with path.open("a") as file:
        file.write(written(2))
    assert list(logs.read(RUNNING, limit=10, offset=offset).lines) == [line(2)]


def test_without_a_file_the_page_is_empty(logs: LocalLogs) -> None:
    page = logs.read(RUNNING, limit=10)
    assert (list(page.lines), page.next_offset, page.at_end) == ([], None, True)


def test_without_a_container_the_file_is_found_by_the_executions_id(logs: LocalLogs, path: Path) -> None:
    path.write_text(written(1))
    for unknown in (None, WorkerDetails("TEST", "exe-1-1", "")):
        assert list(logs.read(replace(RUNNING, worker=unknown), limit=10).lines) == [line(1)]


@pytest.mark.parametrize("name", ["../state.sqlite3", "/etc/passwd", "inv-1/../../keys.json", "inv-1", "a/b/c.jsonl"])
def test_a_name_that_leads_elsewhere_is_not_followed(logs: LocalLogs, directory: DataDirectory, name: str) -> None:
    (directory.root / "keys.json").write_text(written(1))
    stranger = replace(RUNNING, worker=WorkerDetails("TEST", "exe-1-1", name))
    assert list(logs.read(stranger, limit=10).lines) == []
    logs.delete(stranger)
    assert (directory.root / "keys.json").exists()


def test_the_tail_is_the_last_lines_and_goes_on_at_the_end(logs: LocalLogs, path: Path) -> None:
    path.write_text("".join(written(number) for number in range(7)))
    page = logs.read(RUNNING, limit=2, tail=True)
    assert list(page.lines) == [line(5), line(6)]
    assert list(logs.read(RUNNING, limit=9, offset=page.next_offset).lines) == []
    assert len(logs.read(RUNNING, limit=7, tail=True).lines) == 7
    assert len(logs.read(RUNNING, limit=100, tail=True).lines) == 7


def test_the_tail_of_a_log_longer_than_a_page_begins_with_a_whole_line(logs: LocalLogs, path: Path) -> None:
    long = json.dumps({"t": 1, "s": "stdout", "m": "x" * 1000}) + "\n"
    path.write_text(long * 1500)
    page = logs.read(RUNNING, limit=10_000, tail=True)
    assert {line["message"] for line in page.lines} == {"x" * 1000}
    # Whole lines of the last million bytes: one was cut off by the page's beginning.
    assert len(page.lines) == PAGE_BYTES // len(long)


def test_a_line_that_is_still_being_written_is_left_for_later(logs: LocalLogs, path: Path) -> None:
    path.write_text(written(1) + '{"t": 2, "s": "std')
    page = logs.read(RUNNING, limit=10)
    assert list(page.lines) == [line(1)]
    with path.open("a") as file:
        file.write('out", "m": "line 2"}\n')
    assert list(logs.read(RUNNING, limit=10, offset=page.next_offset).lines) == [line(2)]


def test_the_last_line_of_a_killed_worker_is_given_as_far_as_it_got(logs: LocalLogs, path: Path) -> None:
    path.write_text(written(1) + '{"t": 2, "s": "std')
    page = logs.read(ENDED, limit=10)
    assert [found["message"] for found in page.lines] == ["line 1", '{"t": 2, "s": "std']
    assert list(logs.read(ENDED, limit=10, offset=page.next_offset).lines) == []


@pytest.mark.parametrize(
    "text",
    [
        "ModuleNotFoundError: No module named 'x'",
        "{broken",
        "[1, 2]",
        '{"t": "late", "s": "stdout", "m": "x"}',
        '{"t": 1, "s": "nowhere", "m": "x"}',
        '{"t": 1, "s": "stdout"}',
        "[" * 100_000,
    ],
)
def test_what_the_worker_did_not_write_is_given_as_it_is(logs: LocalLogs, path: Path, text: str) -> None:
    path.write_text(text + "\n" + written(7) + text + "\n")
    first, middle, last = logs.read(RUNNING, limit=10).lines
    assert (first["stream"], first["message"], first["timestamp_ms"]) == ("worker", text, LAUNCHED_MS)
    assert middle == line(7)
    # It has no time of its own: that of the line before it keeps it in its place.
    assert (last["stream"], last["message"], last["timestamp_ms"]) == ("worker", text, 7)


def test_bytes_that_are_no_text_are_replaced(logs: LocalLogs, path: Path) -> None:
    path.write_bytes(b"\xff\xfe oops\n" + b'{"t": 1, "s": "stdout", "m": "\\ud800"}\n')
    messages = [found["message"] for found in logs.read(RUNNING, limit=10).lines]
    assert messages == ["\ufffd\ufffd oops", "?"]


def test_a_line_longer_than_a_page_is_cut_into_pieces(logs: LocalLogs, path: Path) -> None:
    path.write_text("x" * (2 * PAGE_BYTES + 5) + "\n" + written(1))
    sizes, offset, at_end = [], None, False
    while not at_end:
        page = logs.read(RUNNING, limit=10, offset=offset)
        sizes += [len(found["message"]) for found in page.lines]
        offset, at_end = page.next_offset, page.at_end
    assert sizes == [PAGE_BYTES, PAGE_BYTES, 5, len("line 1")]


@pytest.mark.parametrize("offset", ["", "x", "é", "!!!!", "ZXhlLTE", "ZXhlLTEgLTE", "ZXhlLTIgMA", "a" * 5000])
def test_an_offset_that_was_not_given_is_refused(logs: LocalLogs, path: Path, offset: str) -> None:
    # The last ones are "exe-1", "exe-1 -1" and "exe-2 0", the last being of another execution.
    path.write_text(written(1))
    with pytest.raises(ValueError, match="offset"):
        logs.read(RUNNING, limit=10, offset=offset)


def test_an_offset_past_the_end_is_refused(logs: LocalLogs, path: Path) -> None:
    path.write_text(written(1) + written(2))
    offset = logs.read(RUNNING, limit=10).next_offset
    path.write_text(written(1))
    with pytest.raises(ValueError, match="offset"):
        logs.read(RUNNING, limit=10, offset=offset)


def test_deleting_removes_the_file_and_with_the_last_one_the_folder(logs: LocalLogs, path: Path) -> None:
    other = path.with_name("exe-2.jsonl")
    path.write_text(written(1))
    other.write_text(written(1))
    logs.delete(RUNNING)
    assert other.exists()
    logs.delete(RUNNING)
    logs.delete(replace(RUNNING, execution_id="exe-2", worker=WorkerDetails("TEST", "exe-2-1", "inv-1/exe-2.jsonl")))
    assert not path.parent.exists()


def test_the_last_words_are_those_of_the_interpreter(path: Path) -> None:
    assert last_words(path) is None
    path.write_text(written(1))
    assert last_words(path) is None
    path.write_text("Traceback (most recent call last):\n  ...\nSyntaxError: no\n\n" + written(2))
    assert last_words(path) == "SyntaxError: no"
