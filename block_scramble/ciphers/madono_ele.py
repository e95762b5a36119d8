"""Extended learnable encryption: a key of its own for every block, and blocks that change places.

Learnable encryption (split into 4-bit halves, invert, permute, merge) with another key for each
block, then a permutation of the blocks. Source: Madono, Tanaka, Onishi, Ogawa, "Block-wise
Scrambled Image Recognition Using Adaptation Network" (arXiv 2001.07761).
"""

from __future__ import annotations

from pydantic import Field

from he_compare.block_scramble.cipher import (
    Cipher,
    CipherTraits,
    ImageShape,
    log2_factorial,
    purpose_of,
)
from he_compare.block_scramble.engine.blocks import block_count, block_values, check_patch
from he_compare.block_scramble.engine.moves import KeyedNibbles, keyed_nibble_blocks
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.contracts import Parameters


class MadonoParameters(Parameters):
    """Options of ``madono_ele``."""

    patch: int = Field(default=4, ge=2, le=512, description="Side of a block in pixels")


class MadonoEle(Cipher):
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

    def prepare(
        self,
        key: ClientKey,
        parameters: MadonoParameters,
        shape: ImageShape,
        *,
        sequence: str = "",
    ) -> KeyedNibbles:
        """Draw an order and a mask for each block, and the block order. Raises UsageError."""
        check_patch(shape, parameters.patch)
        purpose = purpose_of(self.name, parameters, shape)
        blocks = block_count(shape, parameters.patch)
        halves = 2 * block_values(shape, parameters.patch)
        return keyed_nibble_blocks(
            shape,
            parameters.patch,
            key.stream(*purpose, "block order").permutation(blocks),
            key.stream(*purpose, "nibble order").permutations(blocks, halves),
            key.stream(*purpose, "inversion").bits((blocks, halves)),
        )

    def nominal_bits(self, parameters: MadonoParameters, shape: ImageShape) -> float:
        """log2 of (halves! * 2^halves)^blocks * blocks!."""
        check_patch(shape, parameters.patch)
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
