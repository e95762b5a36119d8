"""From ciphertexts under one key, a map for each block, to pictures: histories, places, insides.

What the steps are is told in the modules that do them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.attack import AttackFailedError
from he_compare.common.attack_requirements import (
    BLOCKS,
    BYTES,
    KEPT_BLOCKS,
    ONE_KEY,
    Requirement,
)
from he_compare.common.scheme import PictureShape
from he_compare.common.target_facts import Facts
from he_compare.common.types import Float64Array, IntArray, UInt8Array
from he_compare.comparisons.attacks.tools.block_places import Places, find_places, signs_in_place
from he_compare.comparisons.attacks.tools.histories import Histories, read_histories
from he_compare.comparisons.attacks.tools.inside_blocks import (
    Geometry,
    block_means,
    low_halves,
    order_inside,
    pictures_of,
    public_sites,
)
from he_compare.comparisons.attacks.tools.move_keys import uses_nibbles

FEWEST_HISTORIES = 12
OWN_MAPS = Requirement(
    "one map serves all blocks: attacks on a shared key read more",
    lambda facts: not facts.shared_key,
    by_construction=True,
)
MAPS_OF_BLOCKS = (BLOCKS, ONE_KEY, BYTES, KEPT_BLOCKS, OWN_MAPS)


@dataclass(frozen=True)
class Recovered:
    """Pictures of the attacked ciphertexts; the ciphertext block at each place, (blocks,).

    ``doing_nothing``: the mean of the public pictures, uint8 (h, w, c).
    """

    pictures: UInt8Array
    block: IntArray
    doing_nothing: UInt8Array


@dataclass(frozen=True)
class Blocks:
    """What is known, or assumed, of ciphertexts: blocks of ``patch`` pixels in images of ``shape``.

    ``nibbles``: 4-bit halves move, not whole values; ``negates``: some may be negated; ``moves``:
    blocks change places.
    """

    patch: int
    shape: PictureShape
    nibbles: bool
    negates: bool
    moves: bool


def blocks_of_target(facts: Facts) -> Blocks:
    """Return what the behaviour of a target says of its blocks."""
    nibbles, negates = uses_nibbles(facts), not facts.keeps_values
    return Blocks(facts.side, facts.shape, nibbles, negates, facts.moves_blocks)


def recover(ciphertexts: UInt8Array, public: UInt8Array, blocks: Blocks) -> Recovered:
    """Turn ciphertexts (n, h, w, c) into pictures with public images (N, h, w, c).

    Raises AttackFailedError where there are too few, or nothing goes together.
    """
    if min(len(ciphertexts), len(public)) < FEWEST_HISTORIES:
        raise AttackFailedError(f"fewer than {FEWEST_HISTORIES} ciphertexts, or public images")
    nibbles, side = blocks.nibbles, blocks.patch
    found = read_histories(ciphertexts, side, nibbles=nibbles, negates=blocks.negates)
    if found is None:
        raise AttackFailedError("what a block holds does not rise and fall together over images")
    height, width, channels = blocks.shape
    geometry = Geometry(height // side, width // side, side, channels // found.copies)
    sites, low = public_sites(public, geometry, nibbles=nibbles)
    places = _placed(found, block_means(sites, geometry), geometry, blocks)
    high = order_inside(found, places, sites, geometry)
    rest = low_halves(found, places, high, (sites, low), geometry) if nibbles else None
    mean = np.rint(public.mean(axis=0)).astype(np.uint8)
    return Recovered(pictures_of(high, rest, geometry, found.copies), places.block, mean)


def _placed(
    histories: Histories, public: Float64Array, geometry: Geometry, blocks: Blocks
) -> Places:
    if not blocks.moves:
        return signs_in_place(histories.means, public, signed=histories.signed)
    return find_places(histories.means, public, geometry.rows, signed=histories.signed)
