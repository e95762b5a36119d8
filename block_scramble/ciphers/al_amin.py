"""Al Amin et al.'s learnable encryption: permute the pixels inside each patch, then the patches.

Source: Al Amin, Hasan, Ullah, Hossain, "ViT Enhanced Privacy-Preserving Secure Medical Data Sharing
and Classification" (arXiv 2411.05901): 64 patches of 25 x 25 x 3 of a 200 x 200 image. What the
paper leaves open is a parameter here; the defaults are an interpretation and are declared as one.
"""

from __future__ import annotations

from pydantic import Field

from block_scramble.blocks import (
    KeyedBlocks,
    block_count,
    block_values,
    check_patch,
    value_order_of_pixels,
)
from block_scramble.cipher import CipherTraits, ImageShape, log2_factorial, purpose_of
from block_scramble.keys import ClientKey
from common.contracts import Parameters
from common.types import IntArray


class AlAminParameters(Parameters):
    """Options of ``al_amin``."""

    patch: int = Field(default=25, ge=2, le=512, description="Side of a patch in pixels")
    shared_pixel_key: bool = Field(
        default=True, description="One pixel order for all patches; false: one for each"
    )
    mix_channels: bool = Field(
        default=True, description="Values move between channels; false: whole pixels move"
    )
    negative_positive: bool = Field(
        default=False, description="Also replace v by 255 - v where the key says"
    )


class AlAmin:
    """Pixels permuted inside each patch, then the patches permuted."""

    name = "al_amin"
    parameters = AlAminParameters
    traits = CipherTraits(
        operations="permutation inside each patch (shared or one for each, channels mixed or not); "
        "patch permutation; optional negative-positive",
        protects="where pixels and patches belong, and with it what the picture shows to the eye",
        source="Al Amin et al., arXiv 2411.05901",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
        interpretation="the method is not published in full: that one pixel key serves all patches "
        "(shared_pixel_key), that values move between channels (mix_channels) and that nothing is "
        "negated (negative_positive) are this project's readings, each of them a parameter; so is "
        "any patch other than 25 pixels of a 200-pixel image",
    )

    def prepare(
        self,
        key: ClientKey,
        parameters: AlAminParameters,
        shape: ImageShape,
        *,
        sequence: str = "",
    ) -> KeyedBlocks:
        """Draw pixel orders, patch order and signs. Raises UsageError on a bad patch."""
        check_patch(shape, parameters.patch)
        purpose = purpose_of(self.name, parameters, shape)
        negated = None
        if parameters.negative_positive:
            rows = _pixel_keys(parameters, shape)
            values = block_values(shape, parameters.patch)
            negated = key.stream(*purpose, "negative-positive").bits((rows, values))
        blocks = block_count(shape, parameters.patch)
        return KeyedBlocks(
            shape,
            parameters.patch,
            key.stream(*purpose, "patch order").permutation(blocks),
            self._value_order(key, purpose, parameters, shape),
            negated,
        )

    @staticmethod
    def _value_order(
        key: ClientKey, purpose: tuple[str, ...], parameters: AlAminParameters, shape: ImageShape
    ) -> IntArray:
        """Orders of the values inside patches, (1 or patches, values)."""
        stream = key.stream(*purpose, "pixel order")
        moved = _moved(parameters, shape)
        order = stream.permutations(_pixel_keys(parameters, shape), moved)
        return order if parameters.mix_channels else value_order_of_pixels(order, shape.channels)

    def nominal_bits(self, parameters: AlAminParameters, shape: ImageShape) -> float:
        """log2 of patches! * moved!^keys, and one bit a value and key with negative-positive."""
        check_patch(shape, parameters.patch)
        keys = _pixel_keys(parameters, shape)
        bits = log2_factorial(block_count(shape, parameters.patch))
        bits += keys * log2_factorial(_moved(parameters, shape))
        signs = keys * block_values(shape, parameters.patch)
        return bits + signs * parameters.negative_positive

    def preserves(self, parameters: AlAminParameters) -> tuple[str, ...]:
        """Values survive as multisets; a shared pixel key keeps correlations between positions."""
        values = "folded values (v or 255 - v)" if parameters.negative_positive else "values"
        kept = [f"multiset of {values} of the image", f"multiset of {values} of each patch"]
        if not parameters.mix_channels:
            kept.append(f"multiset of {values} of each channel, and which three make a pixel")
        if parameters.shared_pixel_key:
            kept.append("correlations between positions of a patch")
        kept.append("differences between images: one changed value changes one value")
        return tuple(kept)

    def obstacle(self, parameters: AlAminParameters) -> str:
        """Independent pixel keys need an embedding for each position."""
        if parameters.shared_pixel_key:
            return ""
        return (
            "with shared_pixel_key=false every patch has a pixel key of its own, which one shared "
            "patch embedding cannot absorb"
        )


def _pixel_keys(parameters: AlAminParameters, shape: ImageShape) -> int:
    return 1 if parameters.shared_pixel_key else block_count(shape, parameters.patch)


def _moved(parameters: AlAminParameters, shape: ImageShape) -> int:
    """Number of things that one pixel order permutes: values, or whole pixels."""
    return parameters.patch**2 * (shape.channels if parameters.mix_channels else 1)


CIPHER = AlAmin()
