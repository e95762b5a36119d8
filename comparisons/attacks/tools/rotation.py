"""Undoes one secret rotation of all blocks from ciphertexts alone: pictures are smooth.

A block vector times an orthogonal matrix keeps its norm and its scalar products with all others, so
that blocks are known up to one common rotation, and they lie where they lay. The leading direction
of all of them is their brightness: block means come out at once. The thumbnail they make is blown
up, and the rotation that comes nearest to it is taken (orthogonal Procrustes, Schoenemann 1966);
the picture it gives is smoothed across all borders and is the next target, with less and less
smoothing: each round raises the smoothness of what a rotation can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import ndimage

from he_compare.common.types import Float64Array, PixelArray, UInt8Array
from he_compare.comparisons.attacks.tools.descriptors import blocks_of

ROUNDS = 32
WIDEST, NARROWEST, SHRINK = 0.5, 0.7, 0.9
LEARNT_BLOCKS = 20_000
KEPT, LIFT = 0.75, 1e-3


@dataclass(frozen=True)
class Rotation:
    """What turns ciphertext blocks (values,) into grey blocks (side * side,).

    ``matrix``: (values, side * side), orthonormal columns. ``agreement``: correlation, beyond block
    means, of the pictures that two rotations show which were found from other images each; 0 by
    chance, and where there is but one image.
    """

    side: int
    matrix: Float64Array
    agreement: float

    def pictures(self, ciphertexts: PixelArray) -> UInt8Array:
        """Return grey pictures of ciphertexts (n, h, w, c): uint8 (n, h, w)."""
        return show_rotation(ciphertexts, self.side, self.matrix)


def show_rotation(ciphertexts: PixelArray, side: int, matrix: Float64Array) -> UInt8Array:
    """Return grey pictures of ciphertexts (n, h, w, c) by a rotation: uint8 (n, h, w)."""
    found = _pictures(_blocks(ciphertexts, side), matrix, ciphertexts.shape, side)
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def find_rotation(ciphertexts: PixelArray, side: int) -> Rotation:
    """Find the rotation of the blocks of ciphertexts (n, h, w, c); ``side`` divides h and w."""
    return Rotation(side, learn_rotation(ciphertexts, side), _agreement(ciphertexts, side))


def _agreement(ciphertexts: PixelArray, side: int) -> float:
    if len(ciphertexts) < 2:
        return 0.0
    blocks = _blocks(ciphertexts, side)
    details = []
    for half in (ciphertexts[::2], ciphertexts[1::2]):
        found = blocks @ learn_rotation(half, side)
        details.append(found - found.mean(axis=2, keepdims=True))
    first, second = details
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / max(float(scale), 1e-9))


def learn_rotation(ciphertexts: PixelArray, side: int) -> Float64Array:
    """Return the rotation (values, side * side) that makes the smoothest pictures."""
    most = max(1, LEARNT_BLOCKS * side**2 // int(np.prod(ciphertexts.shape[1:3])))
    images = ciphertexts[:: -(-len(ciphertexts) // most)]
    blocks = _blocks(images, side)
    shape = images.shape
    picture = _blown_up(_brightness(blocks), shape, side)
    matrix = _nearest(blocks, picture, side)
    for round_ in range(ROUNDS):
        width = max(NARROWEST, WIDEST * side * SHRINK**round_)
        smooth = ndimage.gaussian_filter(_pictures(blocks, matrix, shape, side), (0, width, width))
        matrix = _nearest(blocks, smooth, side)
    return matrix


def _brightness(blocks: Float64Array) -> Float64Array:
    """Mean of each block (n, k, values): its share in the leading direction, (n, k)."""
    flat = blocks.reshape(-1, blocks.shape[2])
    leading = np.linalg.eigh(flat.T @ flat)[1][:, -1]
    found = blocks @ leading / np.sqrt(blocks.shape[2])
    return cast(Float64Array, found if found.mean() >= 0 else -found)


def _blown_up(means: Float64Array, shape: tuple[int, ...], side: int) -> Float64Array:
    grid = means.reshape(len(means), shape[1] // side, shape[2] // side)
    return cast(
        Float64Array, ndimage.zoom(grid, (1, side, side), order=3, mode="nearest", grid_mode=True)
    )


def _nearest(blocks: Float64Array, picture: Float64Array, side: int) -> Float64Array:
    """Return the rotation that turns blocks (n, k, values) nearest to a picture (n, h, w)."""
    flat = blocks.reshape(-1, blocks.shape[2])
    wanted = blocks_of(
        picture.reshape(len(picture), -1), (picture.shape[1], picture.shape[2], 1), side
    )
    left, _, right = np.linalg.svd(flat.T @ wanted.reshape(len(flat), -1), full_matrices=False)
    return cast(Float64Array, left @ right)


def _pictures(
    blocks: Float64Array, matrix: Float64Array, shape: tuple[int, ...], side: int
) -> Float64Array:
    """Return grey pictures (n, h, w); a block of c equal channels is longer by the root of c."""
    _, height, width, channels = shape
    grid = (blocks @ matrix / np.sqrt(channels)).reshape(
        len(blocks), height // side, width // side, side, side
    )
    return grid.transpose(0, 1, 3, 2, 4).reshape(len(blocks), height, width)


def _blocks(ciphertexts: PixelArray, side: int) -> Float64Array:
    n, height, width, channels = ciphertexts.shape
    flat = ciphertexts.reshape(n, -1).astype(np.float64)
    return cast(Float64Array, blocks_of(flat, (height, width, channels), side))


def guess_rotated_side(ciphertexts: PixelArray, sides: Sequence[int]) -> tuple[int, float] | None:
    """Guess the side of rotated blocks: the smallest whose blocks have the shortest description.

    Returns the side and how many bits per value it saves against no structure; None where images
    are too few, or have none. A Gaussian is fitted to half of the blocks and predicts the other
    half: only blocks that are cut right are alike.
    """
    plain = _plain_bits(ciphertexts)
    saved = {side: plain - _bits(_blocks(ciphertexts, side)) for side in sides}
    if not saved or max(saved.values()) <= 0:
        return None
    most = max(saved.values())
    side = min(side for side, bits in saved.items() if bits >= KEPT * most)
    return side, saved[side]


def _plain_bits(ciphertexts: PixelArray) -> float:
    spread = float(ciphertexts.astype(np.float64).std())
    return float(0.5 * np.log2(2 * np.pi * np.e * max(spread**2, 1e-9)))


def _bits(blocks: Float64Array) -> float:
    """Bits per value of every other block under a Gaussian fitted to the rest."""
    flat = blocks.reshape(-1, blocks.shape[2])
    learnt, judged = flat[::2], flat[1::2]
    if len(learnt) < 2:
        return np.inf
    centre = learnt.mean(axis=0)
    learnt, judged = learnt - centre, judged - centre
    covariance = learnt.T @ learnt / len(learnt)
    covariance[np.diag_indices_from(covariance)] += LIFT * np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 1e-9)
    energy = ((judged @ vectors) ** 2 / values).mean(axis=0)
    return float(0.5 * np.mean(np.log2(2 * np.pi * values) + energy * np.log2(np.e)))
