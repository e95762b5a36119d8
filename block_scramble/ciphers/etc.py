"""Encryption-then-compression: blocks permuted, rotated, mirrored, negated, colours exchanged.

Made so that the encrypted image still compresses as JPEG: pixels stay beside their neighbours.
Source: Chuman, Sirichotedumrong, Kiya, "Encryption-Then-Compression Systems Using Grayscale-Based
Image Encryption for JPEG Images", IEEE TIFS 2019 (arXiv 1811.00236), and its colour predecessors.
"""

from __future__ import annotations

import numpy as np

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import (
    SYMMETRY_BITS,
    block_count,
    block_grid,
    symmetries,
)
from he_compare.block_scramble.engine.counting import log2_factorial
from he_compare.block_scramble.engine.permutations import BytePermutation, permuted_blocks
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.contracts import Parameters


class EtcParameters(Parameters):
    """Options of ``etc``."""

    patch: int = patch_side(16)


class Etc(BlockwiseCipher):
    """Whole blocks moved, turned, mirrored, negated, and their colours exchanged."""

    name = "etc"
    parameters = EtcParameters
    traits = CipherTraits(
        operations="block permutation; for each block one of eight rotations and mirrorings, "
        "negative-positive (255 - v) or not, one of six colour orders",
        protects="where blocks belong; inside a block everything stays beside its neighbours",
        source="Chuman et al., arXiv 1811.00236",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
    )

    def keyed(self, keys: SubKeys, parameters: EtcParameters, shape: ImageShape) -> BytePermutation:
        """Draw the block order and each block's symmetry, sign and colours. Raises UsageError."""
        blocks, values = block_grid(shape, parameters.patch)
        bits = keys.stream("symmetry").bits((blocks, SYMMETRY_BITS))
        symmetry = bits @ np.array([1, 2, 4])
        colours = keys.stream("colour order").permutations(blocks, shape.channels)
        places = symmetries(parameters.patch)[symmetry]
        order = places[:, :, None] * shape.channels + colours[:, None, :]
        signs = keys.stream("negative-positive").bits((blocks, 1))
        return permuted_blocks(
            shape,
            parameters.patch,
            keys.stream("block order").permutation(blocks),
            order.reshape(blocks, values),
            np.repeat(signs, values, axis=1),
        )

    def key_bits(self, parameters: EtcParameters, shape: ImageShape) -> float:
        """log2 of blocks! * 8^blocks * 2^blocks * (channels!)^blocks."""
        blocks = block_count(shape, parameters.patch)
        each = SYMMETRY_BITS + 1 + log2_factorial(shape.channels)
        return log2_factorial(blocks) + blocks * each

    def preserves(self, parameters: EtcParameters) -> tuple[str, ...]:
        """The inside of blocks survives up to symmetry."""
        return (
            "multiset of folded values (v or 255 - v) of the image",
            "multiset of values of each block, or of 255 minus each of them",
            "neighbourhoods inside blocks, up to rotation and mirroring",
            "differences between images: one changed value changes one value",
        )

    def keys_by_block(self, parameters: EtcParameters) -> bool:
        """True: every block is turned, negated and coloured by itself."""
        return True


CIPHER = Etc()
