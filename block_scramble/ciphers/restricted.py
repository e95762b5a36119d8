"""Only a share of the blocks and of the values inside them moves: learnability against secrecy.

``vit_block`` with restricted permutations: a keyed choice of blocks change places and a keyed
choice of the values of a block do, the same in all blocks; the rest stays where it is. Source:
Horio, Nishikawa, Kiya, "Privacy-Preserving Vision Transformer Using Images Encrypted with
Restricted Random Permutation Matrices" (arXiv 2408.08529).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from he_compare.block_scramble.cipher import BlockwiseCipher, CipherTraits, SubKeys, patch_side
from he_compare.block_scramble.engine.blocks import block_grid
from he_compare.block_scramble.engine.counting import log2_binomial, log2_derangements
from he_compare.block_scramble.engine.permutations import BytePermutation, permuted_blocks
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keys.keystream import Keystream
from he_compare.common.contracts import Parameters
from he_compare.common.types import IntArray


class RestrictedParameters(Parameters):
    """Options of ``restricted``."""

    patch: int = patch_side(16)
    fraction: float = Field(
        default=0.5, ge=0, le=1, description="Share of the values of a block that move"
    )
    block_fraction: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the blocks that move; none: the same as fraction",
    )

    @property
    def moved_blocks(self) -> float:
        """Share of the blocks that move."""
        return self.fraction if self.block_fraction is None else self.block_fraction


class Restricted(BlockwiseCipher):
    """A share of the blocks and of the values inside them moved, under one key for all blocks."""

    name = "restricted"
    parameters = RestrictedParameters
    traits = CipherTraits(
        operations="permutation of a share of the blocks; one permutation of a share of the values "
        "of a block for all blocks (channels mixed); the rest stays in place",
        protects="where the moved pixels and blocks belong; the share that stays is in the clear",
        source="Horio et al., arXiv 2408.08529",
        claim_type="heuristic",
        deterministic=True,
        keyed=True,
        interpretation="exactly the stated share moves, rounded to whole blocks and values: a "
        "keyed choice of them, in a uniform order in which none of them stays. One share serves "
        "blocks and values unless block_fraction says otherwise",
    )

    def keyed(
        self, keys: SubKeys, parameters: RestrictedParameters, shape: ImageShape
    ) -> BytePermutation:
        """Draw which blocks and values move, and their orders. Raises UsageError on a bad patch."""
        blocks, values = block_grid(shape, parameters.patch)
        moved = moved_count(parameters.moved_blocks, blocks)
        block_order = restricted_order(keys.stream("block order"), blocks, moved)
        moved = moved_count(parameters.fraction, values)
        value_order = restricted_order(keys.stream("value order"), values, moved)
        return permuted_blocks(shape, parameters.patch, block_order, value_order[None])

    def key_bits(self, parameters: RestrictedParameters, shape: ImageShape) -> float:
        """log2 of the choices of what moves and of the orders in which none of it stays."""
        blocks, values = block_grid(shape, parameters.patch)
        return _order_bits(parameters.moved_blocks, blocks) + _order_bits(
            parameters.fraction, values
        )

    def preserves(self, parameters: RestrictedParameters) -> tuple[str, ...]:
        """What ``vit_block`` keeps, and the shares that stay."""
        kept = [
            "multiset of values of the image",
            "multiset of values of each block",
            "correlations between positions of a block",
            "differences between images: one changed value changes one value",
        ]
        if parameters.fraction < 1:
            kept.append(f"place inside the block of {1 - parameters.fraction:.0%} of the values")
        if parameters.moved_blocks < 1:
            kept.append(f"place of {1 - parameters.moved_blocks:.0%} of the blocks")
        return tuple(kept)


def moved_count(fraction: float, size: int) -> int:
    """Return how many of ``size`` elements move: none, or at least two, since one alone cannot."""
    if fraction == 0 or size < 2:
        return 0
    return max(2, round(fraction * size))


def restricted_order(stream: Keystream, size: int, moved: int) -> IntArray:
    """Return a permutation, int64 (size,), that moves exactly ``moved`` of the elements.

    Uniform over all of them: a uniform choice, and a uniform order of the chosen that is drawn
    again until none stays (after e draws on average).
    """
    order = np.arange(size)
    if not moved:
        return order
    chosen = np.sort(stream.permutation(size)[:moved])
    places = stream.permutation(moved)
    while (places == np.arange(moved)).any():
        places = stream.permutation(moved)
    order[chosen] = chosen[places]
    return order


def _order_bits(fraction: float, size: int) -> float:
    moved = moved_count(fraction, size)
    return log2_binomial(size, moved) + log2_derangements(moved)


CIPHER = Restricted()
