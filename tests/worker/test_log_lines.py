"""Bytes into lines, and lines onto the worker's own stdout."""

import json
import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multinode.worker.logs import MAX_LINE_BYTES, PARTIAL_LINE_S, LineSplitter, LogPump, LogWriter


def test_lines_end_at_line_ends_whatever_the_chunks() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntw", 0.0) == ["one"]
    assert splitter.feed(b"o\n\nthree\n", 0.1) == ["two", "", "three"]
    assert splitter.flush() == []


def test_an_incomplete_line_is_due_a_second_after_its_first_byte() -> None:
    splitter = LineSplitter()
    assert splitter.due_at() is None
    splitter.feed(b"a", 5.0)
    splitter.feed(b"b", 5.9)
    assert splitter.due_at() == 5.0 + PARTIAL_LINE_S
    assert splitter.flush() == ["ab"]
    assert splitter.due_at() is None


def test_text_after_a_flushed_part_is_a_new_line_and_a_bare_line_end_is_none() -> None:
    splitter = LineSplitter()
    splitter.feed(b"part", 0.0)
    assert splitter.flush() == ["part"]
    assert splitter.feed(b"\n", 1.0) == []
    assert splitter.feed(b"\n", 1.0) == [""]
    splitter.feed(b"part", 2.0)
    splitter.flush()
    assert splitter.feed(b" of a line\r\n", 3.0) == [" of a line"]


def test_windows_line_ends_are_line_ends() -> None:
    assert LineSplitter().feed(b"one\r\ntwo\r\n", 0.0) == ["one", "two"]


def test_a_carriage_return_starts_the_line_again() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"\r 10%\r 50%\r100%\n", 0.0) == ["100%"]
    splitter.feed(b"\r 10%\r 20%", 1.0)
    assert splitter.flush() == [" 20%"]


def test_a_long_line_is_cut_between_characters() -> None:
    splitter = LineSplitter()
    lines = splitter.feed("ü".encode() * MAX_LINE_BYTES + b"\n", 0.0)  # two bytes each, so two full lines
    assert lines == ["ü" * (MAX_LINE_BYTES // 2)] * 2
    lines = splitter.feed(b"x" + "ü".encode() * MAX_LINE_BYTES, 0.0)
    assert lines == ["x" + "ü" * (MAX_LINE_BYTES // 2 - 1), "ü" * (MAX_LINE_BYTES // 2)]
    assert splitter.flush() == ["ü"]


def test_a_line_of_the_greatest_length_is_not_cut() -> None:
    assert LineSplitter().feed(b"x" * MAX_LINE_BYTES + b"\n", 0.0) == ["x" * MAX_LINE_BYTES]


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert LineSplitter().feed(b"caf\xe9 \xff\xfe\n", 0.0) == ["caf\ufffd \ufffd\ufffd"]


def test_half_a_character_waits_for_its_other_half() -> None:
    splitter = LineSplitter()
    splitter.feed(b"gr" + "ü".encode()[:1], 0.0)
    assert splitter.flush() == ["gr"]
    assert splitter.feed("ü".encode()[1:] + b"n\n", 1.0) == ["ün"]


def test_half_a_character_at_the_end_is_replaced() -> None:
    splitter = LineSplitter()
    splitter.feed(b"gr\xc3", 0.0)
    assert splitter.flush() == ["gr"]
    assert splitter.flush() == ["\ufffd"]
    assert splitter.flush() == []


@given(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])), st.integers(1, 9))
def test_short_lines_are_those_of_the_text_whatever_the_chunks(text, size) -> None:
    splitter = LineSplitter()
    data = text.encode()
    lines = [line for start in range(0, len(data), size) for line in splitter.feed(data[start : start + size], 0.0)]
    assert [*lines, *splitter.flush()] == [*text.split("\n")[:-1], *filter(None, text.split("\n")[-1:])]


def test_the_splitter_keeps_no_more_than_a_line() -> None:
    splitter = LineSplitter()
    for _ in range(100):
        splitter.feed(b"x" * 65_536, 0.0)
    assert sum(map(len, splitter.flush())) <= MAX_LINE_BYTES


@pytest.fixture
def pipe():
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for fd in (read_end, write_end):
        try:
            os.close(fd)
        except OSError:
            continue


def test_json_lines_have_time_stream_and_text(pipe) -> None:
    LogWriter(pipe[1], json_lines=True, clock=lambda: 12.3456).write("stderr", ["grün", 'say "x"'])
    assert os.read(pipe[0], 1000).decode() == (
        '{"t": 12345, "s": "stderr", "m": "grün"}\n{"t": 12345, "s": "stderr", "m": "say \\"x\\""}\n'
    )


def test_a_remark_is_one_short_line(pipe) -> None:
    LogWriter(pipe[1], json_lines=False).say("first\nsecond " + "x" * 10_000)
    written = os.read(pipe[0], 100_000).decode()
    assert written.startswith("[multinode] first second xxx")
    assert len(written) < 900


def test_a_remark_to_a_reader_that_stands_still_is_given_up(pipe) -> None:
    os.set_blocking(pipe[1], False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(pipe[1], b"x" * 65_536)
    os.set_blocking(pipe[1], True)
    writer = LogWriter(pipe[1], json_lines=True, clock=lambda: 0.0)
    writer.say("lost")
    os.set_blocking(pipe[0], False)
    while set(os.read(pipe[0], 65_536)) == {ord("x")}:
        if not _readable(pipe[0]):
            break
    writer.say("kept")
    lines = [json.loads(line)["m"] for line in os.read(pipe[0], 10_000).decode().lstrip("x").splitlines()]
    assert lines == ["1 log lines before this one could not be written", "kept"]


def _readable(fd):
    import select

    return bool(select.select([fd], [], [], 0)[0])


def test_lines_for_a_reader_that_is_gone_are_dropped_and_the_pump_goes_on(pipe) -> None:
    os.close(pipe[0])
    writer = LogWriter(pipe[1], json_lines=True)
    theirs_read, theirs_write = os.pipe()
    pump = LogPump({theirs_read: "stdout"}, writer)
    pump.start()
    os.write(theirs_write, b"line\n" * 10)
    os.close(theirs_write)
    assert pump.finish(30)


def test_the_pump_ends_while_another_process_holds_the_pipe_and_loses_nothing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        theirs_read, theirs_write = os.pipe()
        pump = LogPump({theirs_read: "stdout"}, LogWriter(log.fileno(), json_lines=False))
        pump.start()
        os.write(theirs_write, b"line\npart")
        assert pump.finish(30)
        os.close(theirs_write)
    assert (tmp_path / "log").read_text() == "line\npart\n"


def test_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (tmp_path / "log").open("wb") as log:
        writer = LogWriter(log.fileno(), json_lines=False)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            writer.write("stdout", ["0123456789", "lost"])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        writer.write("stdout", ["after"])
    assert (tmp_path / "log").read_text().splitlines() == [
        "0123456789[multinode] 2 log lines before this one could not be written",
        "after",
    ]
