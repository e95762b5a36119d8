"""Pixel-based encryption: every value negated or not, every pixel's colours in one of six orders.

Nothing changes its place. Source: Sirichotedumrong, Maekawa, Kinoshita, Kiya, "Privacy-Preserving
Deep Neural Networks with Pixel-Based Image Encryption Considering Data Augmentation in the
Encrypted Domain", ICIP 2019 (arXiv 1905.01827).
"""

from __future__ import annotations

import numpy as np

from he_compare.block_scramble.cipher import Cipher, CipherTraits, SubKeys
from he_compare.block_scramble.engine.counting import log2_factorial
from he_compare.block_scramble.engine.permutations import BytePermutation
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.contracts import Parameters


class PixelNp(Cipher):
    """Negative-positive by value and a colour order by pixel, each with key bits of its own."""

    name = "pixel_np"
    traits = CipherTraits(
        operations="negative-positive (255 - v) of each value by a key bit of its own; one of six "
        "colour orders for each pixel; nothing moves",
        protects="the value of each pixel up to negation; every pixel stays in its place",
        source="Sirichotedumrong et al., arXiv 1905.01827",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
    )

    def keyed(self, keys: SubKeys, parameters: Parameters, shape: ImageShape) -> BytePermutation:
        """Draw one sign for each value and one colour order for each pixel."""
        pixels = shape.height * shape.width
        signs = keys.stream("negative-positive").bits((pixels * shape.channels,))
        colours = keys.stream("colour order").permutations(pixels, shape.channels)
        index = np.arange(pixels)[:, None] * shape.channels + colours
        return BytePermutation(shape, index.ravel().astype(np.intp), signs)

    def key_bits(self, parameters: Parameters, shape: ImageShape) -> float:
        """log2 of 2^values * (channels!)^pixels."""
        pixels = shape.height * shape.width
        return pixels * (shape.channels + log2_factorial(shape.channels))

    def preserves(self, parameters: Parameters) -> tuple[str, ...]:
        """Every pixel keeps its place and its folded values."""
        return (
            "place of every pixel",
            "multiset of folded values (v or 255 - v) of the image",
            "multiset of folded values (v or 255 - v) of each pixel",
            "differences between images: one changed value changes one value",
        )

    def obstacle(self, parameters: Parameters) -> str:
        """Patches of any size absorb the key, each with an embedding of its own."""
        return ""

    def keys_by_block(self, parameters: Parameters) -> bool:
        """True: every pixel has a key of its own, so patches differ."""
        return True


CIPHER = PixelNp()
