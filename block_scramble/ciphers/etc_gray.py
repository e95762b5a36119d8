"""Grayscale-based encryption-then-compression: the channels as one grey picture, then small blocks.

The channels are laid below each other as one grey picture of three times the height; its blocks are
permuted (also between channels), turned, mirrored and negated. Blocks may be smaller than with
colour, and there are three times as many. Source: Chuman, Sirichotedumrong, Kiya,
"Encryption-Then-Compression Systems Using Grayscale-Based Image Encryption for JPEG Images", IEEE
TIFS 2019 (arXiv 1811.00236); colour spaces: Sirichotedumrong et al. (arXiv 1812.06799).
"""

from __future__ import annotations

import numpy as np

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import (
    SYMMETRY_BITS,
    block_count,
    planar_positions,
    symmetries,
)
from he_compare.block_scramble.engine.counting import log2_factorial
from he_compare.block_scramble.engine.permutations import (
    BytePermutation,
    permuted_blocks,
    relaid,
)
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.contracts import Parameters

BETWEEN_CHANNELS = (
    "blocks of single channels move on their own, so a patch of the ciphertext holds values of "
    "several patches of the image: no patch embedding can absorb that"
)


class EtcGrayParameters(Parameters):
    """Options of ``etc_gray``."""

    patch: int = patch_side(8)


class EtcGray(BlockwiseCipher):
    """Blocks of single channels moved between places and channels, turned, mirrored, negated."""

    name = "etc_gray"
    parameters = EtcGrayParameters
    traits = CipherTraits(
        operations="channels laid below each other as one grey picture; permutation of its blocks, "
        "also between channels; for each block one of eight rotations and mirrorings, "
        "negative-positive (255 - v) or not",
        protects="where blocks belong and which channel they are of; inside a block everything "
        "stays beside its neighbours",
        source="Chuman et al., arXiv 1811.00236",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
        interpretation="the grey picture is made of the channels R, G and B: the luminance and "
        "chrominance planes that are published as well do not come back exactly from 8 bits. Its "
        "three thirds are returned as the three channels of the ciphertext, so that ciphertexts "
        "have the shape of images; no value is changed by that",
    )

    def keyed(
        self, keys: SubKeys, parameters: EtcGrayParameters, shape: ImageShape
    ) -> BytePermutation:
        """Draw the block order and each block's symmetry and sign. Raises UsageError."""
        grey = grey_picture(shape)
        blocks = block_count(grey, parameters.patch)
        symmetry = keys.stream("symmetry").bits((blocks, SYMMETRY_BITS)) @ np.array([1, 2, 4])
        signs = keys.stream("negative-positive").bits((blocks, 1))
        moved = permuted_blocks(
            grey,
            parameters.patch,
            keys.stream("block order").permutation(blocks),
            symmetries(parameters.patch)[symmetry],
            np.repeat(signs, parameters.patch**2, axis=1),
        )
        return relaid(moved, shape, planar_positions(shape))

    def key_bits(self, parameters: EtcGrayParameters, shape: ImageShape) -> float:
        """log2 of blocks! * 8^blocks * 2^blocks; every channel has blocks of its own."""
        blocks = block_count(grey_picture(shape), parameters.patch)
        return log2_factorial(blocks) + blocks * (SYMMETRY_BITS + 1)

    def preserves(self, parameters: EtcGrayParameters) -> tuple[str, ...]:
        """The inside of blocks of a channel survives up to symmetry."""
        return (
            "multiset of folded values (v or 255 - v) of the image",
            "multiset of values of each block of a channel, or of 255 minus each of them",
            "neighbourhoods inside blocks, up to rotation and mirroring",
            "differences between images: one changed value changes one value",
        )

    def obstacle(self, parameters: EtcGrayParameters) -> str:
        """Blocks move between channels."""
        return BETWEEN_CHANNELS


def grey_picture(shape: ImageShape) -> ImageShape:
    """Return the shape of the channels laid below each other."""
    return ImageShape(shape.height * shape.channels, shape.width, 1)


CIPHER = EtcGray()
