"""Extended learnable encryption: a key of its own for every block, and blocks that change places.

Learnable encryption (split into 4-bit halves, invert, permute, merge) with another key for each
block, then a permutation of the blocks. Source: Madono, Tanaka, Onishi, Ogawa, "Block-wise
Scrambled Image Recognition Using Adaptation Network" (arXiv 2001.07761).
"""

from __future__ import annotations

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import block_count, block_values
from he_compare.block_scramble.engine.counting import log2_factorial
from he_compare.block_scramble.engine.permutations import NibblePermutation, permuted_nibble_blocks
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.contracts import Parameters


class MadonoParameters(Parameters):
    """Options of ``madono_ele``."""

    patch: int = patch_side(4)


class MadonoEle(BlockwiseCipher):
    """Nibbles of each block inverted and permuted under a key of its own; blocks permuted."""

    name = "madono_ele"
    parameters = MadonoParameters
    traits = CipherTraits(
        operations="bytes split into 4-bit halves; inversion (15 - v) and permutation of all "
        "halves of a block, another key for each block; block permutation",
        protects="what blocks show and where they belong",
        source="Madono et al., arXiv 2001.07761",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
    )

    def keyed(
        self, keys: SubKeys, parameters: MadonoParameters, shape: ImageShape
    ) -> NibblePermutation:
        """Draw an order and a mask for each block, and the block order. Raises UsageError."""
        blocks = block_count(shape, parameters.patch)
        halves = 2 * block_values(shape, parameters.patch)
        return permuted_nibble_blocks(
            shape,
            parameters.patch,
            keys.stream("block order").permutation(blocks),
            keys.stream("nibble order").permutations(blocks, halves),
            keys.stream("inversion").bits((blocks, halves)),
        )

    def key_bits(self, parameters: MadonoParameters, shape: ImageShape) -> float:
        """log2 of (halves! * 2^halves)^blocks * blocks!."""
        blocks = block_count(shape, parameters.patch)
        halves = 2 * block_values(shape, parameters.patch)
        return blocks * (log2_factorial(halves) + halves) + log2_factorial(blocks)

    def preserves(self, parameters: MadonoParameters) -> tuple[str, ...]:
        """Folded halves survive, block by block."""
        return (
            "multiset of folded 4-bit halves (v or 15 - v) of each block",
            "differences between images: one changed half changes one half",
        )

    def keys_by_block(self, parameters: MadonoParameters) -> bool:
        """True: every block has a key of its own."""
        return True


CIPHER = MadonoEle()
