"""Block-wise negation: half of the values of a block become 255 - v, the same ones in all blocks.

Source: MaungMaung (AprilPyone), Kiya, "Block-wise Image Transformation with Secret Key for
Adversarially Robust Defense" (arXiv 2010.00801), transformation NP.
"""

from __future__ import annotations

import numpy

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import block_grid, block_values
from he_compare.block_scramble.engine.counting import log2_binomial
from he_compare.block_scramble.engine.permutations import BytePermutation, permuted_blocks
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.contracts import Parameters


class NpParameters(Parameters):
    """Options of ``np``."""

    patch: int = patch_side(4)


class Np(BlockwiseCipher):
    """Half of the values of each block negated under one key; nothing moves."""

    name = "np"
    parameters = NpParameters
    traits = CipherTraits(
        operations="negative-positive (255 - v) of half of the values of a block, the same for all "
        "blocks; nothing moves",
        protects="the value of each pixel up to negation; every pixel stays in its place",
        source="MaungMaung and Kiya, arXiv 2010.00801",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
        interpretation="published as a defence against adversarial examples, used here as a cipher",
    )

    def keyed(self, keys: SubKeys, parameters: NpParameters, shape: ImageShape) -> BytePermutation:
        """Draw which half is negated. Raises UsageError on a bad patch."""
        blocks, values = block_grid(shape, parameters.patch)
        order = numpy.arange(values)[None]
        negated = keys.stream("negative-positive").half(values)[None]
        return permuted_blocks(shape, parameters.patch, numpy.arange(blocks), order, negated)

    def key_bits(self, parameters: NpParameters, shape: ImageShape) -> float:
        """log2 of the number of ways to choose half of the values."""
        values = block_values(shape, parameters.patch)
        return log2_binomial(values, values // 2)

    def preserves(self, parameters: NpParameters) -> tuple[str, ...]:
        """Every value keeps its place and is known up to negation."""
        return (
            "place of every pixel",
            "multiset of folded values (v or 255 - v) of the image",
            "multiset of folded values (v or 255 - v) of each pixel",
            "correlations between positions of a block; equal blocks stay equal",
            "differences between images: one changed value changes one value",
        )


CIPHER = Np()
