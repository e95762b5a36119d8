"""The frame of a Concrete ciphertext: which bytes are numbers, and which are structure.

Concrete's own parser of serialised values does not survive every change of their structure (a
flipped bit there can hang or end the process). All structure of a message is fixed by the circuit,
so a receiver learns it from two values of its own making and takes only messages that have exactly
the same structure around numbers of any value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.errors import CellError, MessageError

WORD = 8


@dataclass(frozen=True)
class ValueFrame:
    """Bytes before and after the numbers, and how many bytes of numbers lie between."""

    before: bytes
    payload_bytes: int
    after: bytes

    def __len__(self) -> int:
        return len(self.before) + self.payload_bytes + len(self.after)

    def check(self, message: bytes, what: str) -> None:
        """Refuse a message of any other structure. Raises MessageError."""
        if len(message) != len(self):
            raise MessageError(f"{what} of {len(message)} bytes, expected {len(self)}")
        if not (message.startswith(self.before) and message.endswith(self.after)):
            raise MessageError(f"{what} is not a ciphertext of this circuit")


def learn_frame(first: bytes, second: bytes, payload_bytes: int) -> ValueFrame:
    """Find the frame from two values of one circuit with independent randomness.

    Raises CellError where the two do not differ in one run of ``payload_bytes`` aligned to words.
    """
    if len(first) != len(second):
        raise CellError("two values of one circuit have different lengths")
    one, two = (np.frombuffer(value, dtype=np.uint8) for value in (first, second))
    differing = np.flatnonzero(one != two)
    if not len(differing):
        raise CellError("two encryptions of one circuit are equal")
    start = int(differing[0]) // WORD * WORD
    stop = start + payload_bytes
    if differing[-1] >= stop or stop > len(first):
        raise CellError("the numbers of a Concrete value do not lie in one run of bytes")
    return ValueFrame(first[:start], payload_bytes, first[stop:])
