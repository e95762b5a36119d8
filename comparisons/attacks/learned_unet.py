"""Learned inversion by a small U-Net, from known pairs under the key that is attacked.

Blocks are first laid where their plain counterparts are (found by statistics that ciphers keep,
followed over the pairs), then inverted by one ridge regression in 4-bit halves for all blocks. The
network sees that estimate, made for each pair by the other half of the pairs, beside the
ciphertext, its folded values and statistics of its blocks, and learns the picture. Source: learned
inversion as threat, Chang and Case, arXiv 2004.13263; U-Net, Ronneberger et al., MICCAI 2015.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack_score import Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.backbones.device import memory_spent
from he_compare.common.block_solving.tiles import matched_blocks
from he_compare.common.scheme import PictureShape
from he_compare.common.types import (
    Aim,
    Float32Array,
    Float64Array,
    IntArray,
    Knowledge,
    PixelArray,
    UInt8Array,
)
from he_compare.comparisons.attacks.tools.descriptors import block_side, blocks_of
from he_compare.comparisons.attacks.tools.learned_inversion import LearnedInversion
from he_compare.comparisons.attacks.tools.likeness import score_pictures
from he_compare.comparisons.attacks.tools.planes import (
    bytes_of,
    constant_planes,
    halves_of,
    planes_of,
    rearranged,
)
from he_compare.comparisons.attacks.tools.unet import Learnt

HELD_OUT = 8
RIDGE = 1e-2


class LearnedUNet(LearnedInversion):
    """Known pairs; blocks matched, a linear map, and a network for the rest."""

    name = "learned_unet"
    title = "Learned inversion (U-Net, pairs of this key)"
    rung = Knowledge.KNOWN_PAIRS
    aim = Aim.IMAGE
    needs = frozenset({Need.PAIRS})
    limits = (
        "a network of some 100,000 weights, trained for 100 steps of 8 pictures: a larger "
        "network or more pairs may recover more",
        "recovered pictures are grey: the mean of the channels",
    )
    source = "U-Net (Ronneberger et al., MICCAI 2015) on known pairs; arXiv 2004.13263"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Learnt:
        """Match blocks, fit the linear map, train the network, apply all to the ciphertexts."""
        pairs, shape = view.pairs, view.facts.shape
        side = block_side(shape, view.facts.patch)
        source = _source(pairs.plain, pairs.ciphertexts, shape, side)
        known = rearranged(pairs.ciphertexts, source, side)
        attacked = rearranged(view.ciphertexts, source, side)
        estimate = _across(known, pairs.plain, side, random)
        learnt = _planes(known, estimate, pairs.plain, side)
        held = random.permutation(len(known))[: min(HELD_OUT, max(1, len(known) // 4))]
        trained = self.trained(learnt, pairs.plain, held, budget, random)
        estimate = _linear(known, pairs.plain, attacked, side)
        pictures = trained.pictures(_planes(attacked, estimate, pairs.plain, side))
        return Learnt(pictures, len(known), 1, trained.steps, trained.held_out, trained.at_once)

    def score(self, guess: Learnt, truth: Truth) -> Score:
        """Compare pictures with originals."""
        spent = {"pairs": guess.pairs, "training steps": guess.steps}
        spent |= memory_spent(guess.at_once)
        details = (Detail("SSIM on pairs held out", guess.held_out),)
        return score_pictures(guess.pictures, truth, details, spent)


def _planes(
    images: PixelArray, estimate: Float32Array, plain: UInt8Array, side: int
) -> Float32Array:
    """Stack the linear estimate (n, h, w), what ciphertexts keep, and what is the same for all."""
    return cast(
        Float32Array,
        np.concatenate(
            [estimate[:, None], planes_of(images, side), constant_planes(plain, len(images))],
            axis=1,
        ),
    )


def _source(plain: UInt8Array, ciphertexts: PixelArray, shape: PictureShape, side: int) -> IntArray:
    statistics = []
    ours = blocks_of(plain.reshape(len(plain), -1), shape, side)
    theirs = blocks_of(ciphertexts.reshape(len(plain), -1), shape, side)
    for describe in (_norm, _norm_about_middle, _halves):
        statistics.append((describe(ours), describe(theirs)))
    return matched_blocks(statistics)


def _norm(blocks: PixelArray) -> Float64Array:
    return cast(Float64Array, np.sqrt((blocks.astype(np.float64) ** 2).mean(axis=2)))


def _norm_about_middle(blocks: PixelArray) -> Float64Array:
    return cast(Float64Array, np.sqrt(((blocks.astype(np.float64) - 127.5) ** 2).mean(axis=2)))


def _halves(blocks: PixelArray) -> Float64Array:
    """Mean folded half, on the scale of the norms."""
    whole = bytes_of(blocks)
    low, high = whole & 15, whole >> 4
    halves = np.minimum(low, 15 - low) + np.minimum(high, 15 - high)
    return cast(Float64Array, halves.mean(axis=2) * 17.0)


def _across(
    images: PixelArray, plain: UInt8Array, side: int, random: np.random.Generator
) -> Float32Array:
    """Estimate each known picture by a map fitted on the half that it is not in."""
    half = np.arange(len(images)) % 2
    half = random.permutation(half)
    estimate = np.empty(images.shape[:3], np.float32)
    for part in (0, 1):
        mine, others = half == part, half != part
        estimate[mine] = _linear(images[others], plain[others], images[mine], side)
    return estimate


def _linear(known: PixelArray, plain: UInt8Array, attacked: PixelArray, side: int) -> Float32Array:
    """Estimate grey pictures (n, h, w), about -0.5 ... 0.5, by ridge regression of block on block.

    Solved in the smaller of its two forms: by values in a block or by blocks in the pairs.
    """
    shape = cast(PictureShape, plain.shape[1:])
    x, new = _inputs(known, shape, side), _inputs(attacked, shape, side)
    grey = plain.mean(axis=3, dtype=np.float32)[..., None] / np.float32(255) - np.float32(0.5)
    flat = grey.reshape(len(plain), -1)
    y = blocks_of(flat, (*shape[:2], 1), side)
    wide = x.shape[2]
    x, outputs, new_rows = x.reshape(-1, wide), y.reshape(-1, y.shape[2]), new.reshape(-1, wide)
    centre, offset = x.mean(axis=0), outputs.mean(axis=0)
    x, outputs, new_rows = x - centre, outputs - offset, new_rows - centre
    if len(x) < wide:
        kernel = _lifted(x @ x.T)
        found = (new_rows @ x.T) @ np.linalg.solve(kernel, outputs)
    else:
        found = new_rows @ np.linalg.solve(_lifted(x.T @ x), x.T @ outputs)
    return _joined((found + offset).reshape(*new.shape[:2], -1), shape, side)


def _inputs(images: PixelArray, shape: PictureShape, side: int) -> Float32Array:
    blocks = blocks_of(images.reshape(len(images), -1), shape, side)
    return halves_of(blocks, of_bytes=images.dtype == np.uint8)


def _lifted(gram: Float32Array) -> Float32Array:
    lifted = gram.copy()
    lifted[np.diag_indices_from(lifted)] += RIDGE * max(float(np.trace(gram)) / len(gram), 1e-9)
    return lifted


def _joined(blocks: Float32Array, shape: PictureShape, side: int) -> Float32Array:
    """Lay blocks (n, k, side * side) in rows: (n, h, w), 0 where no block lies."""
    down, across = shape[0] // side, shape[1] // side
    grid = blocks.reshape(-1, down, across, side, side).transpose(0, 1, 3, 2, 4)
    whole = np.zeros((len(blocks), *shape[:2]), np.float32)
    whole[:, : down * side, : across * side] = grid.reshape(-1, down * side, across * side)
    return whole


ATTACK = LearnedUNet()
