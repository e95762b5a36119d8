"""Frames between a front and its child: whole or refused, whatever the bytes are."""

from __future__ import annotations

import io
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_compare.common.errors import MessageError
from he_compare.common.service.pipe import SIZES, receive_frame, send_frame, widen


def through(header: dict[str, object], pieces: list[bytes], most: int = 1 << 30) -> object:
    """Send a frame through a pipe, in a thread: a large one does not fit into it at once."""
    reading, writing = os.pipe()
    widen(writing)

    def send() -> None:
        try:
            send_frame(writing, header, pieces, sum(map(len, pieces)))
        except BrokenPipeError:  # the other end had enough of it
            pass
        finally:
            os.close(writing)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with os.fdopen(reading, "rb") as stream:
            return receive_frame(stream, most)
    finally:
        thread.join()


@given(st.dictionaries(st.text(max_size=5), st.integers()), st.lists(st.binary(max_size=50)))
def test_a_frame_comes_as_it_was_sent(header: dict[str, object], pieces: list[bytes]) -> None:
    frame = through(header, pieces)
    assert (frame.header, frame.body) == (header, b"".join(pieces))  # type: ignore[attr-defined]


def test_a_body_of_many_megabytes_in_pieces_is_one() -> None:
    pieces = [os.urandom(3_000_000), b"", os.urandom(5_000_001)]
    assert through({}, pieces).body == b"".join(pieces)  # type: ignore[attr-defined]


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(MessageError, match="a body of 11 bytes"):
        through({}, [b"x" * 11], most=10)


@pytest.mark.parametrize(
    "data",
    [
        SIZES.pack(1 << 31, 0) + b"{}",
        SIZES.pack(2, 1 << 63) + b"{}",
        SIZES.pack(2, 5) + b"{}abc",
        SIZES.pack(9, 0) + b"{}",
        SIZES.pack(2, 0)[:-1],
        SIZES.pack(2, 0) + b"[]",
        SIZES.pack(4, 0) + b"\xff\xfe{}",
        SIZES.pack(100_000, 0) + b"[" * 100_000,
        SIZES.pack(5000, 0) + b"1" * 5000,
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        receive_frame(io.BytesIO(data), 1 << 30)


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_a_frame_or_refused(data: bytes) -> None:
    try:
        frame = receive_frame(io.BytesIO(data), 1 << 10)
    except MessageError:
        return
    assert frame is None or isinstance(frame.header, dict)
