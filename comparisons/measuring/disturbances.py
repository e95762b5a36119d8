"""Ways to disturb a message on its way: flipped bits and Gaussian noise, drawn from a generator.

After Al Amin et al. (arXiv 2501.15363), who test both on scrambled images.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import MessageError, UsageError
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Message

# Above this share drawing a bit for every bit is cheaper than drawing positions.
DENSE_SHARE = 0.01
CHUNK_BYTES = 1 << 20

Values = TypeVar("Values", bound=npt.NDArray[Any])


@dataclass(frozen=True)
class Disturbance:
    """A way to disturb a message. ``apply``: message, level, generator; UsageError if undefined.

    ``draws``: how often each message is disturbed anew at a level. ``expected``: the number of
    changes to expect in a message at a level, where changes are rare enough to be counted.
    """

    name: str
    unit: str
    applied_to: str
    levels: tuple[float, ...]
    apply: Callable[[Message, float, np.random.Generator], Message]
    draws: int = 1
    expected: Callable[[Message, float], float] | None = None


def flip_bits(message: bytes, share: float, generator: np.random.Generator) -> bytes:
    """Flip each bit of a message independently with probability ``share``."""
    if not 0 <= share <= 1:
        raise UsageError(f"share of flipped bits {share} is out of range", fix="pass 0 to 1")
    data = np.frombuffer(message, np.uint8).copy()
    if share > DENSE_SHARE:
        for start in range(0, len(data), CHUNK_BYTES):
            piece = data[start : start + CHUNK_BYTES]
            piece ^= np.packbits(generator.random((len(piece), 8)) < share, axis=1)[:, 0]
    else:
        # As many distinct positions as a binomial draw says: the same distribution.
        count = generator.binomial(8 * len(data), share)
        positions = generator.choice(8 * len(data), count, replace=False, shuffle=False)
        np.bitwise_xor.at(data, positions // 8, (1 << (positions % 8)).astype(np.uint8))
    return data.tobytes()


def flip_value_bits(message: Message, share: float, generator: np.random.Generator) -> Message:
    """Flip bits of the values of a packed message, not of its header; of any other message, all."""
    start = _values_start(message)
    return message[:start] + flip_bits(message[start:], share, generator)


def expected_flips(message: Message, share: float) -> float:
    """Return how many bits ``flip_value_bits`` flips on average."""
    return share * 8 * (len(message) - _values_start(message))


def count_flips(before: Message, after: Message) -> int:
    """Return in how many bits two messages of one length differ."""
    return (int.from_bytes(before, "little") ^ int.from_bytes(after, "little")).bit_count()


def _values_start(message: Message) -> int:
    """Offset of the values of a packed message (``service.wire``); 0 elsewhere."""
    try:
        unpack(message)
    except MessageError:
        return 0
    (header,) = struct.unpack("<Q", message[:8])
    return 8 + int(header)


def add_noise(values: Values, sigma: float, generator: np.random.Generator) -> Values:
    """Add Gaussian noise of ``sigma`` byte values; bytes are rounded and clipped to 0 and 255."""
    if not 0 <= sigma < np.inf:
        raise UsageError(f"sigma {sigma} is out of range", fix="pass 0 or more")
    noisy = values + generator.normal(0.0, sigma, values.shape)
    if values.dtype == np.uint8:
        noisy = np.clip(np.rint(noisy), 0, 255)
    return noisy.astype(values.dtype)


def add_image_noise(message: Message, sigma: float, generator: np.random.Generator) -> Message:
    """Add noise to the pictures in a packed message: arrays of three axes, uint8 or float32.

    Raises UsageError where there are none: noise on the bytes of a number means nothing.
    """
    try:
        arrays, metadata = unpack(message)
    except MessageError:
        arrays, metadata = {}, {}
    pictures = [name for name, array in sorted(arrays.items()) if _is_picture(array)]
    if not pictures:
        raise UsageError(
            "Gaussian noise needs pictures; the messages of this pipeline contain none",
            fix="flip bits instead",
        )
    disturbed = {name: add_noise(arrays[name], sigma, generator) for name in pictures}
    return pack(arrays | disturbed, metadata)


def _is_picture(array: npt.NDArray[Any]) -> bool:
    return array.ndim == 3 and array.dtype in (np.dtype(np.uint8), np.dtype(np.float32))


BIT_FLIPS = Disturbance(
    name="bit flips",
    unit="share of bits",
    applied_to="the values of every message, not its header; the whole message if it has no header",
    levels=(0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    apply=flip_value_bits,
    # At the weakest levels most messages are spared: one draw says more of its luck than of the
    # protection.
    draws=3,
    expected=expected_flips,
)
GAUSSIAN_NOISE = Disturbance(
    name="Gaussian noise",
    unit="sigma in byte values",
    applied_to="the values of every ciphertext that is a picture; bytes are rounded and clipped",
    levels=(0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0),
    apply=add_image_noise,
)
