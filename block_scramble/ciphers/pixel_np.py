"""Pixel-based encryption: every value negated or not, every pixel's colours in one of six orders.

Nothing changes its place. Source: Sirichotedumrong, Maekawa, Kinoshita, Kiya, "Privacy-Preserving
Deep Neural Networks with Pixel-Based Image Encryption Considering Data Augmentation in the
Encrypted Domain", ICIP 2019 (arXiv 1905.01827).
"""

from __future__ import annotations

import numpy as np

from he_compare.block_scramble.cipher import (
    Cipher,
    CipherTraits,
    ImageShape,
    check_shape,
    log2_factorial,
    purpose_of,
)
from he_compare.block_scramble.engine.moves import KeyedMoves
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.contracts import Parameters


class PixelNpParameters(Parameters):
    """Pixel-based encryption has no options."""


class PixelNp(Cipher):
    """Negative-positive by value and a colour order by pixel, each with key bits of its own."""

    name = "pixel_np"
    parameters = PixelNpParameters
    traits = CipherTraits(
        operations="negative-positive (255 - v) of each value by a key bit of its own; one of six "
        "colour orders for each pixel; nothing moves",
        protects="the value of each pixel up to negation; every pixel stays in its place",
        source="Sirichotedumrong et al., arXiv 1905.01827",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
    )

    def prepare(
        self,
        key: ClientKey,
        parameters: PixelNpParameters,
        shape: ImageShape,
        *,
        sequence: str = "",
    ) -> KeyedMoves:
        """Draw one sign for each value and one colour order for each pixel."""
        check_shape(shape)
        purpose = purpose_of(self.name, parameters, shape)
        pixels = shape.height * shape.width
        signs = key.stream(*purpose, "negative-positive").bits((pixels * shape.channels,))
        colours = key.stream(*purpose, "colour order").permutations(pixels, shape.channels)
        index = np.arange(pixels)[:, None] * shape.channels + colours
        return KeyedMoves(shape, index.ravel().astype(np.intp), signs)

    def nominal_bits(self, parameters: PixelNpParameters, shape: ImageShape) -> float:
        """log2 of 2^values * (channels!)^pixels."""
        check_shape(shape)
        pixels = shape.height * shape.width
        return pixels * (shape.channels + log2_factorial(shape.channels))

    def preserves(self, parameters: PixelNpParameters) -> tuple[str, ...]:
        """Every pixel keeps its place and its folded values."""
        return (
            "place of every pixel",
            "multiset of folded values (v or 255 - v) of the image",
            "multiset of folded values (v or 255 - v) of each pixel",
            "differences between images: one changed value changes one value",
        )

    def keys_by_block(self, parameters: PixelNpParameters) -> bool:
        """True: every pixel has a key of its own, so patches differ."""
        return True


CIPHER = PixelNp()
