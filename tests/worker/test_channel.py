"""Frames between child and supervisor."""

import os

import pytest

from multinode.worker.channel import END, PROGRESS, BrokenChannel, Frame, FrameReader, FrameWriter


def written(*frames):
    """Return the bytes that FrameWriter makes of `frames`."""
    read_end, write_end = os.pipe()
    writer = FrameWriter(write_end)
    for frame in frames:
        writer.send(frame.kind, frame.text)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        return pipe.read()


FRAMES = [Frame(PROGRESS, ""), Frame(PROGRESS, "grün \ud800"), Frame(END, '{"a":1}')]


def test_a_frame_is_its_letter_its_length_in_four_bytes_and_its_text() -> None:
    assert written(Frame(PROGRESS, "ü")) == b"P\x00\x00\x00\x02\xc3\xbc"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_frames_come_out_as_they_went_in_however_the_bytes_are_cut(size) -> None:
    data = written(*FRAMES)
    reader = FrameReader()
    frames = []
    for start in range(0, len(data), size):
        frames += reader.feed(data[start : start + size])
    assert frames == FRAMES


def test_an_incomplete_frame_is_none() -> None:
    assert FrameReader().feed(written(Frame(END, "text"))[:-1]) == []


@pytest.mark.parametrize("garbage", [b"hello world", b"P\xff\xff\xff\xff", b"\x00" * 5])
def test_other_bytes_are_refused(garbage) -> None:
    with pytest.raises(BrokenChannel, match="a frame begins with"):
        FrameReader().feed(garbage)


def test_a_reader_that_is_gone_is_an_os_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with pytest.raises(BrokenPipeError):
        FrameWriter(write_end).send(END, "text")
    os.close(write_end)
