"""Block-wise shuffling: one permutation of the values of a block, the same for all blocks.

Source: MaungMaung (AprilPyone), Kiya, "Block-wise Image Transformation with Secret Key for
Adversarially Robust Defense" (arXiv 2010.00801), transformation SHF.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from he_compare.block_scramble.cipher import (
    Cipher,
    CipherTraits,
    ImageShape,
    log2_factorial,
    purpose_of,
)
from he_compare.block_scramble.engine.blocks import block_count, block_values, check_patch
from he_compare.block_scramble.engine.moves import KeyedMoves, keyed_blocks
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.contracts import Parameters


class ShfParameters(Parameters):
    """Options of ``shf``."""

    patch: int = Field(default=4, ge=2, le=512, description="Side of a block in pixels")


class Shf(Cipher):
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

    def prepare(
        self,
        key: ClientKey,
        parameters: ShfParameters,
        shape: ImageShape,
        *,
        sequence: str = "",
    ) -> KeyedMoves:
        """Draw one order of values. Raises UsageError on a bad patch."""
        check_patch(shape, parameters.patch)
        values = block_values(shape, parameters.patch)
        stream = key.stream(*purpose_of(self.name, parameters, shape), "value order")
        blocks = np.arange(block_count(shape, parameters.patch))
        return keyed_blocks(shape, parameters.patch, blocks, stream.permutations(1, values))

    def nominal_bits(self, parameters: ShfParameters, shape: ImageShape) -> float:
        """log2 of values!."""
        check_patch(shape, parameters.patch)
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
