"""Aligns blocks of scrambled images with blocks of public images by their moments, without a key.

A cipher that moves, negates or rotates the values of all blocks in one way, and moves the blocks in
one way for all images, maps principal components to principal components. Components and places of
one set of images are matched with those of the other by moments: the mean of every component at
every place, its spread there, and its covariance with the components of the places beside it. So
the way back, an orthogonal map and an order of blocks, is found from ciphertexts and public images
of the same kind alone. Where neither set knows the other (a key for every block, noise, another
kind of picture) the aligned moments disagree, and ``agreement`` says so.

Tools: principal components, linear assignment (Kuhn 1955), orthogonal Procrustes (Schoenemann
1966).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from he_compare.common.types import Float64Array, IntArray, PixelArray

COMPONENTS = 64
# Agreement of sets that do not match was at most 0.4, of radiographs with synthetic ones 0.6 to 0.9
ALIKE = 0.5
# Values of one set that are used: more images than that add no precision worth their memory.
MOST_VALUES = 60_000_000
LEAST_IMAGES = 16
_WEAKEST = 1e-6
_ROUNDS, _SIGN_ROUNDS, _TURNS = 20, 50, 30
# Components by which places are distinguished: at first, where the best of several starts counts;
# later; and those whose covariances between all blocks are compared.
_STARTS, _LATER_COMPONENTS, _BETWEEN_COMPONENTS = (2, 4, 8), 16, 2

Float32Blocks = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Alignment:
    """The way from ciphertext blocks to what their plain blocks look like.

    plain ~ ``mean_to`` + (block - ``mean_from``) @ ``turn``, float64, (values,) and (values,
    values), in the units of the images; ciphertext block b is plain block ``block_order[b]``.
    ``agreement``: correlation of the aligned covariances between neighbours with those of the
    reference, 1 for equal ones; under ``ALIKE`` the alignment means nothing.
    """

    turn: Float64Array
    mean_from: Float64Array
    mean_to: Float64Array
    block_order: IntArray
    agreement: float

    @property
    def found(self) -> bool:
        """Say whether the two sets have enough in common for a meaningful alignment."""
        return self.agreement >= ALIKE


def align_blocks(ciphertexts: PixelArray, reference: PixelArray, patch: int) -> Alignment | None:
    """Align the blocks of two sets of images, (n, side, side, c) each, blocks of ``patch`` pixels.

    ``reference``: public images of the same kind and size. None where there is too little to align:
    fewer than ``LEAST_IMAGES`` images of a set, one block, or images without any contrast.
    """
    if min(len(ciphertexts), len(reference)) < LEAST_IMAGES or ciphertexts.shape[1] <= patch:
        return None
    ours, theirs = _components(ciphertexts, patch), _components(reference, patch)
    kept = min(ours.rank, theirs.rank)
    if kept < 2:
        return None
    ours, theirs = ours.first(kept), theirs.first(kept)
    tries = []
    for components in _STARTS:
        place, signs = _placed_and_signed(ours, theirs, components)
        tries.append((*_turned(ours, theirs, place, signs), place))
    turn, agreement, place = max(tries, key=lambda one: one[1])
    order = np.empty(len(place), np.int64)
    order[place] = np.arange(len(place))
    scaled_back = (ours.vectors / ours.scale) @ turn @ (theirs.vectors * ours.scale).T
    return Alignment(scaled_back, ours.mean, theirs.mean, order, agreement)


@dataclass(frozen=True)
class _Components:
    """Blocks in their own principal components: ``white`` (n, blocks, k) with unit variance."""

    mean: Float64Array
    vectors: Float64Array
    scale: Float64Array
    white: Float32Blocks

    @property
    def rank(self) -> int:
        return len(self.scale)

    def first(self, count: int) -> _Components:
        part = self.white[..., :count]
        return _Components(self.mean, self.vectors[:, :count], self.scale[:count], part)

    @property
    def means(self) -> Float64Array:
        return self.white.mean(axis=0, dtype=np.float64)

    @property
    def spreads(self) -> Float64Array:
        return np.log(self.white.std(axis=0, dtype=np.float64) + 1e-3)

    def beside(self, place: IntArray) -> Float64Array:
        """Covariances of each block with its neighbours, (pairs, k, k), blocks taken in order."""
        white = (self.white - self.white.mean(axis=0)).transpose(1, 0, 2)[place]
        pairs = _neighbours(len(place))
        products = [white[a].T @ white[b] for a, b in pairs]
        return np.stack(products).astype(np.float64) / white.shape[1]

    def between(self) -> Float64Array:
        """Covariances of all blocks in each of the first components, (k, blocks, blocks)."""
        white = (self.white - self.white.mean(axis=0))[..., :_BETWEEN_COMPONENTS]
        by_component = white.transpose(2, 1, 0)
        products = by_component @ by_component.transpose(0, 2, 1)
        return cast(Float64Array, products.astype(np.float64) / len(white))


def most_images(values: int) -> int:
    """Return how many images of so many values each are used, the first ones of a set."""
    return max(LEAST_IMAGES, MOST_VALUES // values)


def _components(images: PixelArray, patch: int) -> _Components:
    few = images[: most_images(images[0].size)]
    n, side, _, channels = few.shape
    across = side // patch
    tiles = few.reshape(n, across, patch, across, patch, channels).transpose(0, 1, 3, 2, 4, 5)
    blocks = tiles.reshape(n, across * across, -1).astype(np.float32)
    flat = blocks.reshape(-1, blocks.shape[2])
    mean = flat.mean(axis=0, dtype=np.float64)
    flat -= mean.astype(np.float32)
    covariance = (flat.T @ flat).astype(np.float64) / len(flat)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1][:COMPONENTS], vectors[:, ::-1][:, :COMPONENTS]
    rank = int((values > max(_WEAKEST * values[0], 1e-12)).sum())
    scale, vectors = np.sqrt(values[:rank]), vectors[:, :rank]
    white = blocks @ (vectors / scale).astype(np.float32)
    return _Components(mean, vectors, scale, white)


def _neighbours(blocks: int) -> list[tuple[int, int]]:
    """All ordered pairs of blocks of a square grid that touch, corners included."""
    across = round(blocks**0.5)
    grid = np.arange(blocks).reshape(across, across)
    pairs = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = grid[: across - down, max(0, -right) : across - max(0, right)]
        there = grid[down:, max(0, right) : across - max(0, -right)]
        pairs += list(zip(here.ravel().tolist(), there.ravel().tolist(), strict=True))
    return pairs + [(b, a) for a, b in pairs]


def _placed_and_signed(
    ours: _Components, theirs: _Components, components: int
) -> tuple[IntArray, Float64Array]:
    """Return our block at each of their places, and the sign of each of our components.

    Signs are not known at first, so places are distinguished by what does not depend on them: sizes
    of the means, and spreads, of the first ``components``. Then both are found in turns, and blocks
    are distinguished by their covariances with all others as well, as these are placed.
    """
    reference = theirs.beside(np.arange(theirs.white.shape[1]))
    place = _assigned(_moments(ours, components, None), _moments(theirs, components, None))
    signs = _signs(ours, theirs, place, reference)
    everywhere = theirs.between()
    for _ in range(_ROUNDS):
        mine = _moments(ours, _LATER_COMPONENTS, signs)
        wanted = _moments(theirs, _LATER_COMPONENTS, np.ones_like(signs))
        others = ours.between()[:, :, place]
        found = _assigned(
            np.concatenate([mine, *others], axis=1), np.concatenate([wanted, *everywhere], axis=1)
        )
        if (found == place).all():
            break
        place = found
        signs = _signs(ours, theirs, place, reference)
    return place, signs


def _moments(blocks: _Components, count: int, sign: Float64Array | None) -> Float64Array:
    """Means, by the signs given or without any (None), and spreads: (blocks, 2 * count)."""
    means = np.abs(blocks.means) if sign is None else blocks.means * sign
    return np.concatenate([means[:, :count], blocks.spreads[:, :count]], axis=1)


def _assigned(mine: Float64Array, wanted: Float64Array) -> IntArray:
    """Assign our blocks to their places, features (blocks, k) as alike as can be."""
    lengths = (wanted**2).sum(axis=1)[:, None] + (mine**2).sum(axis=1)[None]
    best = linear_sum_assignment(lengths - 2 * wanted @ mine.T)[1]
    return cast(IntArray, np.asarray(best, dtype=np.int64))


def _signs(
    ours: _Components, theirs: _Components, place: IntArray, reference: Float64Array
) -> Float64Array:
    """Signs under which means and covariances of neighbours agree best, by coordinate ascent."""
    means = (ours.means[place] * theirs.means).sum(axis=0)
    pull = 0.5 * len(place) * means
    together = (ours.beside(place) * reference).sum(axis=0)
    together += together.T
    np.fill_diagonal(together, 0.0)
    signs = np.where(means >= 0, 1.0, -1.0)
    for _ in range(_SIGN_ROUNDS):
        before = signs.copy()
        for i in range(len(signs)):
            signs[i] = 1.0 if pull[i] + together[i] @ signs >= 0 else -1.0
        if (signs == before).all():
            break
    return signs


def _turned(
    ours: _Components, theirs: _Components, place: IntArray, signs: Float64Array
) -> tuple[Float64Array, float]:
    """Refine signs to a rotation of the components, which separates what near-equal ones mixed.

    Procrustes on the means, and on the covariances C = Q R Q^T with Q fixed on one side in turns.
    """
    mine, wanted = ours.beside(place), theirs.beside(np.arange(len(place)))
    means = len(place) * ours.means[place].T @ theirs.means
    turn = np.diag(signs)
    for _ in range(_TURNS):
        left, _, right = np.linalg.svd(means + (mine @ turn @ wanted.transpose(0, 2, 1)).sum(0))
        turn = left @ right
    aligned = turn.T @ mine @ turn
    return turn, _correlation(aligned, wanted)


def _correlation(aligned: Float64Array, wanted: Float64Array) -> float:
    """Correlation of covariances of the first components, those that rest on few images, too."""
    first = slice(None), slice(_LATER_COMPONENTS), slice(_LATER_COMPONENTS)
    a, b = aligned[first], wanted[first]
    return float((a * b).sum()) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12)
