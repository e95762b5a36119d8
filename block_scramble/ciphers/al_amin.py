"""Al Amin et al.'s learnable encryption: permute the pixels inside each patch, then the patches.

Source: Al Amin, Hasan, Ullah, Hossain, "ViT Enhanced Privacy-Preserving Secure Medical Data Sharing
and Classification" (arXiv 2411.05901): 64 patches of 25 x 25 x 3 of a 200 x 200 image. What the
paper leaves open is a parameter here; the defaults are an interpretation and are declared as one.
"""

from __future__ import annotations

from pydantic import Field

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import (
    block_count,
    block_values,
    value_order_of_pixels,
)
from he_compare.block_scramble.engine.counting import log2_factorial
from he_compare.block_scramble.engine.permutations import (
    BytePermutation,
    NibblePermutation,
    permuted_blocks,
    permuted_nibble_blocks,
)
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.contracts import Parameters
from he_compare.common.types import IntArray


class AlAminParameters(Parameters):
    """Options of ``al_amin``."""

    patch: int = patch_side(25)
    shared_pixel_key: bool = Field(
        default=True, description="One pixel order for all patches; false: one per patch"
    )
    mix_channels: bool = Field(
        default=True, description="Values move between channels; false: whole pixels move"
    )
    negative_positive: bool = Field(
        default=False, description="Also replace v by 255 - v where the key says"
    )
    nibble_split: bool = Field(
        default=False, description="4-bit halves of values move (and are negated) on their own"
    )


class AlAmin(BlockwiseCipher):
    """Pixels permuted inside each patch, then the patches permuted."""

    name = "al_amin"
    parameters = AlAminParameters
    traits = CipherTraits(
        operations="permutation inside each patch (shared or one per patch, channels mixed or "
        "not); patch permutation; optional negative-positive and split into 4-bit halves",
        protects="where pixels and patches belong, and with it what the picture shows to the eye",
        source="Al Amin et al., arXiv 2411.05901",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
        interpretation="the method is not published in full: that one pixel key serves all patches "
        "(shared_pixel_key), that values move between channels (mix_channels), that nothing is "
        "negated (negative_positive) and that bytes stay whole (nibble_split) are this project's "
        "readings, each of them a parameter; so is any patch other than 25 pixels of a 200-pixel "
        "image",
    )

    def keyed(
        self, keys: SubKeys, parameters: AlAminParameters, shape: ImageShape
    ) -> BytePermutation | NibblePermutation:
        """Draw pixel orders, patch order and signs. Raises UsageError on a bad patch."""
        negated = None
        if parameters.negative_positive:
            signs = (_pixel_keys(parameters, shape), _pieces(parameters, shape))
            negated = keys.stream("negative-positive").bits(signs)
        blocks = block_count(shape, parameters.patch)
        keyed = permuted_nibble_blocks if parameters.nibble_split else permuted_blocks
        return keyed(
            shape,
            parameters.patch,
            keys.stream("patch order").permutation(blocks),
            self._value_order(keys, parameters, shape),
            negated,
        )

    @staticmethod
    def _value_order(keys: SubKeys, parameters: AlAminParameters, shape: ImageShape) -> IntArray:
        """Orders of the values or nibbles inside patches, (1 or patches, pieces)."""
        stream = keys.stream("pixel order")
        moved = _moved(parameters, shape)
        order = stream.permutations(_pixel_keys(parameters, shape), moved)
        return order if parameters.mix_channels else value_order_of_pixels(order, shape.channels)

    def key_bits(self, parameters: AlAminParameters, shape: ImageShape) -> float:
        """log2 of patches! * moved!^keys, and one bit per piece and key with negative-positive."""
        keys = _pixel_keys(parameters, shape)
        bits = log2_factorial(block_count(shape, parameters.patch))
        bits += keys * log2_factorial(_moved(parameters, shape))
        signs = keys * _pieces(parameters, shape)
        return bits + signs * parameters.negative_positive

    def preserves(self, parameters: AlAminParameters) -> tuple[str, ...]:
        """Values survive as multisets; a shared pixel key keeps correlations between positions."""
        values = "4-bit halves" if parameters.nibble_split else "values"
        if parameters.negative_positive:
            values = f"folded {values} (v or {15 if parameters.nibble_split else 255} - v)"
        kept = [f"multiset of {values} of the image", f"multiset of {values} of each patch"]
        if not parameters.mix_channels:
            kept.append(f"multiset of {values} of each channel, and which three move together")
        if parameters.shared_pixel_key:
            kept.append("correlations between positions of a patch")
        kept.append("differences between images: one changed value changes one value")
        return tuple(kept)

    def keys_by_block(self, parameters: AlAminParameters) -> bool:
        """True where every patch has a pixel key of its own."""
        return not parameters.shared_pixel_key


def _pixel_keys(parameters: AlAminParameters, shape: ImageShape) -> int:
    return 1 if parameters.shared_pixel_key else block_count(shape, parameters.patch)


def _pieces(parameters: AlAminParameters, shape: ImageShape) -> int:
    """Number of values of a patch, or of their 4-bit halves."""
    return block_values(shape, parameters.patch) * (2 if parameters.nibble_split else 1)


def _moved(parameters: AlAminParameters, shape: ImageShape) -> int:
    """Number of things that one pixel order permutes: pieces, or those of a pixel together."""
    return _pieces(parameters, shape) // (1 if parameters.mix_channels else shape.channels)


CIPHER = AlAmin()
