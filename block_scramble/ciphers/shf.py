"""Block-wise shuffling: one permutation of the values of a block, the same for all blocks.

Source: MaungMaung (AprilPyone), Kiya, "Block-wise Image Transformation with Secret Key for
Adversarially Robust Defense" (arXiv 2010.00801), transformation SHF.
"""

from __future__ import annotations

import numpy as np

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import block_grid, block_values
from he_compare.block_scramble.engine.counting import log2_factorial
from he_compare.block_scramble.engine.permutations import BytePermutation, permuted_blocks
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.contracts import Parameters


class ShfParameters(Parameters):
    """Options of ``shf``."""

    patch: int = patch_side(4)


class Shf(BlockwiseCipher):
    """Values permuted inside each block under one key; blocks stay in place."""

    name = "shf"
    parameters = ShfParameters
    traits = CipherTraits(
        operations="one permutation of all values of a block (channels mixed), the same for all "
        "blocks; blocks stay in place",
        protects="what each block shows; the outline of the picture stays visible block by block",
        source="MaungMaung and Kiya, arXiv 2010.00801",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
        interpretation="published as a defence against adversarial examples, used here as a cipher",
    )

    def keyed(self, keys: SubKeys, parameters: ShfParameters, shape: ImageShape) -> BytePermutation:
        """Draw one order of values. Raises UsageError on a bad patch."""
        blocks, values = block_grid(shape, parameters.patch)
        order = keys.stream("value order").permutations(1, values)
        return permuted_blocks(shape, parameters.patch, np.arange(blocks), order)

    def key_bits(self, parameters: ShfParameters, shape: ImageShape) -> float:
        """log2 of values!."""
        return log2_factorial(block_values(shape, parameters.patch))

    def preserves(self, parameters: ShfParameters) -> tuple[str, ...]:
        """Values survive block by block, and blocks stay."""
        return (
            "order of blocks",
            "multiset of values of the image",
            "multiset of values of each block",
            "correlations between positions of a block; equal blocks stay equal",
            "differences between images: one changed value changes one value",
        )


CIPHER = Shf()
