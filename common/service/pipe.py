"""Frames on the pipes between a front and its child: a JSON header and a body of bytes.

Layout: uint32 length of the header, uint64 length of the body (little endian), header, body. A body
is written in the pieces it is there in, and read as one.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from he_compare.common.errors import MessageError

SIZES = struct.Struct("<IQ")
MAX_HEADER = 1 << 20
# As much as Linux lets a user's pipe hold; with the usual 64 KiB a ciphertext takes many turns.
PIPE_BYTES = 1 << 20


@dataclass(frozen=True)
class PipeFrame:
    """What came over a pipe at once."""

    header: dict[str, Any]
    body: bytes = b""


def send_frame(
    descriptor: int, header: Mapping[str, Any], pieces: Iterable[bytes] = (), size: int = 0
) -> None:
    """Write a frame whose body is ``pieces``, ``size`` bytes in all. Raises OSError."""
    text = json.dumps(header, separators=(",", ":")).encode()
    _write(descriptor, SIZES.pack(len(text), size) + text)
    for piece in pieces:
        _write(descriptor, piece)


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def receive_frame(stream: BinaryIO, max_body: int) -> PipeFrame | None:
    """Read a frame; None where the other end closed the pipe between two frames.

    Raises MessageError on what is no frame, or one with a body of more than ``max_body`` bytes.
    """
    begin = stream.read(SIZES.size)
    if not begin:
        return None
    if len(begin) < SIZES.size:
        raise MessageError("a pipe ended within a frame")
    header_size, body_size = SIZES.unpack(begin)
    if header_size > MAX_HEADER or body_size > max_body:
        raise MessageError(f"a frame has a header of {header_size} and a body of {body_size} bytes")
    text, body = stream.read(header_size), stream.read(body_size)
    if len(text) + len(body) < header_size + body_size:
        raise MessageError("a pipe ended within a frame")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"the header of a frame is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise MessageError("the header of a frame is no JSON object")
    return PipeFrame(header, body)


def widen(descriptor: int) -> None:
    """Let a pipe hold more at a time, where the system can do that."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
