"""Several messages in one HTTP body: a count, the lengths, then the bytes.

Layout: 4 bytes magic, uint32 count, count x uint64 lengths (little endian), payloads in order.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from he_compare.common.errors import MessageError
from he_compare.common.types import Message

MAGIC = b"HEC1"
MAX_MESSAGES = 1 << 16


def join(messages: Sequence[Message]) -> bytes:
    """Put messages into one body."""
    lengths = struct.pack(f"<{len(messages)}Q", *(len(message) for message in messages))
    return b"".join([MAGIC, struct.pack("<I", len(messages)), lengths, *messages])


def split(body: bytes) -> list[Message]:
    """Take a body apart. Raises MessageError where it is malformed."""
    if len(body) < 8 or body[:4] != MAGIC:
        raise MessageError("body does not start with the frame header HEC1")
    (count,) = struct.unpack_from("<I", body, 4)
    if count > MAX_MESSAGES:
        raise MessageError(f"body claims {count} messages, more than {MAX_MESSAGES}")
    start = 8 + 8 * count
    if len(body) < start:
        raise MessageError(f"body of {len(body)} bytes is too short for {count} messages")
    lengths = struct.unpack_from(f"<{count}Q", body, 8)
    if start + sum(lengths) != len(body):
        raise MessageError(
            f"body has {len(body) - start} bytes of messages, the header says {sum(lengths)}"
        )
    messages = []
    for length in lengths:
        messages.append(body[start : start + length])
        start += length
    return messages
