"""What each place inside a ciphertext block held over many images: histories, and their signs.

Under one key for all images a block of the ciphertexts holds the same values, or 4-bit halves, of
the same block of every picture. What one position held in image after image is its history. High
halves of neighbours rise and fall together and low ones hardly do, so the leading eigenvector of
the correlation of a block's histories picks the high halves and says which of them are negated, up
to one sign for the block. No two blocks need to have anything of their keys in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from he_compare.common.types import Float32Array, Float64Array, IntArray, UInt8Array
from he_compare.comparisons.attacks.tools.move_keys import unit_positions, units_of

BYTE_STEP = 17.0
CENTRE = 7.5
# Histories at chance have leading eigenvalues about (1 + sqrt(k / n))^2 (Marchenko, Pastur 1967).
ABOVE_CHANCE = 1.4
_CALM = 0.3


@dataclass(frozen=True)
class Histories:
    """Histories of all blocks, float32, -7.5 ... 7.5 where a unit is a sixteenth of the range.

    ``clear``: (blocks, n, k), whole values or high halves; those of a block rise and fall together.
    ``low``: (blocks, n, k), low halves as they are in the ciphertext, or (blocks, n, 0).
    ``copies``: equal histories for each that is listed, 3 for grey pictures of three channels.
    ``signed``: whether signs are right as they are, and not up to one for each block.
    """

    clear: Float32Array
    low: Float32Array
    copies: int
    signed: bool

    @property
    def means(self) -> Float64Array:
        """Mean of each block in each image, float64 (n, blocks)."""
        return cast(Float64Array, self.clear.mean(axis=2, dtype=np.float64).T)


def read_histories(
    ciphertexts: UInt8Array, patch: int, *, nibbles: bool, negates: bool
) -> Histories | None:
    """Read the histories of uint8 (n, h, w, c); None where those of a block do not move together.

    ``nibbles``: the units that move are 4-bit halves; ``negates``: some of them may be negated.
    """
    shape = ciphertexts.shape[1], ciphertexts.shape[2], ciphertexts.shape[3]
    positions = unit_positions(shape, patch, nibbles)
    units = units_of(ciphertexts, nibbles)[:, positions].transpose(1, 0, 2)
    top = 15 if nibbles else 255
    single = _one_of_equal(units, shape[2], top)
    copies = 1 if single is None else shape[2]
    histories = centred(units if single is None else single, nibbles=nibbles)
    leading, strength = _leading(histories)
    if np.median(strength) < ABOVE_CHANCE:
        return None
    if negates:
        signed = histories * np.where(leading < 0, -1, 1).astype(np.float32)[:, None]
    else:
        signed = centred(units if single is None else single, nibbles=nibbles)
    if not nibbles:
        return Histories(signed, signed[..., :0], copies, not negates)
    order = np.argsort(-np.abs(leading), axis=1, kind="stable")
    clear, low = np.split(order, 2, axis=1)
    return Histories(_taken(signed, clear), _taken(histories, low), copies, not negates)


def centred(units: UInt8Array, *, nibbles: bool) -> Float32Array:
    """Return bytes or halves as float32 of the same range, -7.5 ... 7.5."""
    step = 1.0 if nibbles else BYTE_STEP
    return units.astype(np.float32) / np.float32(step) - np.float32(CENTRE)


def _taken(histories: Float32Array, columns: IntArray) -> Float32Array:
    return np.take_along_axis(histories, columns[:, None], axis=2)


def _one_of_equal(units: UInt8Array, copies: int, top: int) -> UInt8Array | None:
    """Keep one of every ``copies`` histories that are equal, or equal after negation, (b, n, k).

    None where they do not come in such groups: the pictures are not grey.
    """
    if copies == 1:
        return units
    folded = np.where(units[:, :1] > top // 2, top - units, units).astype(np.uint8)
    weights = np.random.default_rng(0).integers(1, 1 << 62, units.shape[1], dtype=np.uint64)
    marks = (folded.astype(np.uint64) * weights[:, None]).sum(axis=1)
    order = np.argsort(marks, axis=1, kind="stable")
    blocks, images, count = units.shape
    if count % copies:
        return None
    grouped = np.take_along_axis(folded, order[:, None], axis=2)
    grouped = grouped.reshape(blocks, images, count // copies, copies)
    if not (grouped == grouped[..., :1]).all():
        return None
    return np.take_along_axis(units, order[:, None, ::copies], axis=2)


def _leading(histories: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Return the leading eigenvector of each block's correlations, (blocks, k), and its eigenvalue
    in units of what chance gives, (blocks,)."""
    moving = histories - histories.mean(axis=1, keepdims=True)
    moving = moving / (moving.std(axis=1, keepdims=True) + np.float32(_CALM))
    images, count = moving.shape[1:]
    turned = moving.transpose(0, 2, 1)
    if count <= images:
        values, vectors = np.linalg.eigh(turned @ moving)
        leading = vectors[..., -1]
    else:
        values, vectors = np.linalg.eigh(moving @ turned)
        leading = (turned @ vectors[..., -1:])[..., 0]
        leading /= np.linalg.norm(leading, axis=1, keepdims=True) + 1e-9
    chance = (1 + np.sqrt(count / images)) ** 2
    return leading.astype(np.float64), values[..., -1].astype(np.float64) / images / chance
