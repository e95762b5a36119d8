"""Whether two encryptions of one thing have anything in common, and whether bytes look random."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import MessageError
from common.types import IntArray, Message, UInt8Array

LEAST_BYTES = 2048


@dataclass(frozen=True)
class Randomness:
    """How far the bytes of ciphertexts are from uniform ones.

    ``entropy``: bits a byte, of the histogram of all bytes (uniform bytes of this length give a
    little less than 8, ``uniform_entropy``). ``deflated``: size after zlib against before.
    """

    size: int
    entropy: float
    uniform_entropy: float
    deflated: float


def agreement(first: Message, second: Message, skip: int = 0) -> float:
    """Return the share of places, past ``skip`` bytes, at which two messages hold one byte."""
    one, two = (np.frombuffer(message, np.uint8)[skip:] for message in (first, second))
    size = min(len(one), len(two))
    return float((one[:size] == two[:size]).mean()) if size else 1.0


def longest_common_run(first: Message, second: Message, skip: int = 0) -> int:
    """Return the longest run of equal bytes at equal places past ``skip``."""
    size = min(len(first), len(second))
    one, two = (np.frombuffer(message[skip:size], np.uint8) for message in (first, second))
    differ = np.flatnonzero(np.concatenate([[True], one != two, [True]]))
    return int(np.diff(differ).max() - 1)


def randomness(data: bytes) -> Randomness:
    """Judge the bytes of a ciphertext's body. Raises MessageError on fewer than ``LEAST_BYTES``."""
    if len(data) < LEAST_BYTES:
        raise MessageError(f"{len(data)} bytes are too few to judge, {LEAST_BYTES} are needed")
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    return Randomness(
        size=len(data),
        entropy=_entropy(counts),
        # Miller and Madow: the histogram of n uniform bytes loses (256 - 1) / (2 n ln 2) bits.
        uniform_entropy=8 - 255 / (2 * len(data) * np.log(2)),
        deflated=len(zlib.compress(data, 9)) / len(data),
    )


def residue_deviation(ciphertext: Any, primes: Sequence[int]) -> float:
    """Judge how evenly a CKKS ciphertext's residues fill their primes.

    Chi-square over 256 equal bins of residue / prime, all polynomials and primes together, in
    standard deviations from what uniform residues give: within +-4 nothing is to be seen.
    """
    degree, count = ciphertext.poly_modulus_degree(), len(primes)
    values = np.fromiter(
        (ciphertext[i] for i in range(ciphertext.size() * count * degree)), np.float64
    ).reshape(ciphertext.size(), count, degree)
    shares = values / np.array(primes, np.float64)[None, :, None]
    counts = np.histogram(shares, bins=256, range=(0.0, 1.0))[0]
    expected = values.size / 256
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return (statistic - 255) / float(np.sqrt(2 * 255))


def _entropy(counts: IntArray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def as_pictures(messages: Sequence[Message], shape: tuple[int, int, int]) -> UInt8Array:
    """Fold the bytes of ciphertexts into pictures, uint8 (n, h, w, c), from their middle on.

    Shorter ones are repeated: a picture is to look at and to attack, nothing is read from it.
    """
    size = int(np.prod(shape))
    pictures = np.zeros((len(messages), size), np.uint8)
    for picture, message in zip(pictures, messages, strict=True):
        start = max(0, (len(message) - size) // 2)
        picture[:] = np.resize(np.frombuffer(message[start : start + size], np.uint8), size)
    return pictures.reshape(len(messages), *shape)
