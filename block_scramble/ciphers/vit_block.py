"""Block order and one pixel order for all blocks: the Kiya group's cipher for Vision Transformers.

Sub-key 1 permutes the blocks, sub-key 2 permutes the values of every block alike, channels mixed;
optionally sub-key 3 negates values (255 - v), the same ones in every block. The block is the
transformer's patch. Source: Qi, MaungMaung, Kinoshita, Kiya, "Privacy-Preserving Image
Classification Using Vision Transformer" (arXiv 2205.12041); Kiya, Iijima, Nagamori, "Block-Wise
Encryption for Reliable Vision Transformer models" (arXiv 2308.07612).
"""

from __future__ import annotations

from pydantic import Field

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import block_grid
from he_compare.block_scramble.engine.counting import log2_factorial
from he_compare.block_scramble.engine.permutations import BytePermutation, permuted_blocks
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.contracts import Parameters


class VitBlockParameters(Parameters):
    """Options of ``vit_block``."""

    patch: int = patch_side(16)
    negative_positive: bool = Field(
        default=False, description="Also replace v by 255 - v where the key says"
    )


class VitBlock(BlockwiseCipher):
    """Blocks permuted, values permuted inside them under one key for all blocks."""

    name = "vit_block"
    parameters = VitBlockParameters
    traits = CipherTraits(
        operations="block permutation; one permutation of all values of a block (channels mixed); "
        "optional negative-positive",
        protects="where pixels and blocks belong, and with it what the picture shows to the eye",
        source="Qi et al., arXiv 2205.12041; Kiya et al., arXiv 2308.07612",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
    )

    def keyed(
        self, keys: SubKeys, parameters: VitBlockParameters, shape: ImageShape
    ) -> BytePermutation:
        """Draw the block order, the value order and the signs. Raises UsageError on a bad patch."""
        blocks, values = block_grid(shape, parameters.patch)
        negated = None
        if parameters.negative_positive:
            negated = keys.stream("negative-positive").bits((1, values))
        return permuted_blocks(
            shape,
            parameters.patch,
            keys.stream("block order").permutation(blocks),
            keys.stream("value order").permutations(1, values),
            negated,
        )

    def key_bits(self, parameters: VitBlockParameters, shape: ImageShape) -> float:
        """log2 of blocks! * values!, and one bit per value with negative-positive."""
        blocks, values = block_grid(shape, parameters.patch)
        bits = log2_factorial(blocks) + log2_factorial(values)
        return bits + values * parameters.negative_positive

    def preserves(self, parameters: VitBlockParameters) -> tuple[str, ...]:
        """Values survive as multisets; one pixel order for all blocks keeps their correlations."""
        values = "folded values (v or 255 - v)" if parameters.negative_positive else "values"
        return (
            f"multiset of {values} of the image",
            f"multiset of {values} of each block",
            "correlations between positions of a block",
            "differences between images: one changed value changes one value",
        )


CIPHER = VitBlock()
