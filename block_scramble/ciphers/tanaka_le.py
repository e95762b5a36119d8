"""Learnable encryption: 4-bit halves of all values of a block inverted and shuffled, one key.

Each M x M block is flattened, its bytes are split into low and high halves (all low ones, then all
high ones), halves are inverted (15 - v) where the key says, permuted and merged into bytes again;
all blocks share the key and stay where they are. Source: Tanaka, "Learnable Image Encryption",
ICCE-TW 2018 (arXiv 1804.00490). ``mask_from_order`` does what the reference code does (file
BlockScramble.py of the repository mastnk/ICCE-TW2018): it inverts before and after the permutation.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from pydantic import Field

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import block_count, block_values
from he_compare.block_scramble.engine.counting import log2_factorial
from he_compare.block_scramble.engine.permutations import NibblePermutation, permuted_nibble_blocks
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.contracts import Parameters
from he_compare.common.types import BoolArray, IntArray


class TanakaParameters(Parameters):
    """Options of ``tanaka_le``."""

    patch: int = patch_side(4)
    mask_from_order: bool = Field(
        default=False,
        description="Derive the inversion mask from the permutation and invert before and after "
        "it, as the reference code does",
    )


class TanakaLe(BlockwiseCipher):
    """Nibbles of each block inverted and permuted under one key for all blocks."""

    name = "tanaka_le"
    parameters = TanakaParameters
    traits = CipherTraits(
        operations="bytes split into 4-bit halves; inversion (15 - v) and permutation of all "
        "halves of a block, one key for all blocks; blocks stay in place",
        protects="what each block shows; the outline of the picture stays visible block by block",
        source="Tanaka, arXiv 1804.00490",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
        interpretation="the published mask is a key of its own; the reference code derives it from "
        "the permutation and inverts twice, before and after it (mask_from_order=true)",
    )

    def keyed(
        self, keys: SubKeys, parameters: TanakaParameters, shape: ImageShape
    ) -> NibblePermutation:
        """Draw one order and one mask of halves. Raises UsageError on a bad patch."""
        halves = 2 * block_values(shape, parameters.patch)
        order = keys.stream("nibble order").permutations(1, halves)
        if parameters.mask_from_order:
            inverted = mask_of_order(order)
        else:
            inverted = keys.stream("inversion").bits((1, halves))
        blocks = np.arange(block_count(shape, parameters.patch))
        return permuted_nibble_blocks(shape, parameters.patch, blocks, order, inverted)

    def key_bits(self, parameters: TanakaParameters, shape: ImageShape) -> float:
        """log2 of halves! * 2^halves, or of halves! where the order gives the mask."""
        halves = 2 * block_values(shape, parameters.patch)
        return log2_factorial(halves) + halves * (not parameters.mask_from_order)

    def preserves(self, parameters: TanakaParameters) -> tuple[str, ...]:
        """Folded halves survive, block by block, and what one key for all blocks keeps."""
        return (
            "order of blocks",
            "multiset of folded 4-bit halves (v or 15 - v) of each block",
            "correlations between positions of a block; equal blocks stay equal",
            "differences between images: one changed half changes one half",
        )


def mask_of_order(order: IntArray) -> BoolArray:
    """Return which halves end up inverted in the reference code, bool (1, halves).

    Ciphertext half j is plain half ``order[0, j]``. The code marks place j where ``order[0, j]`` is
    more than half of their number, and inverts at the marked places before and after the move.
    """
    marked = order > order.shape[1] // 2
    return cast(BoolArray, marked ^ marked[0, order])


CIPHER = TanakaLe()
