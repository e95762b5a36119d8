"""Block histories: pictures from many ciphertexts under one key, where every block has its own map.

A key for each block hides nothing of what a block shows from image to image, for it is the same key
in every image. The histories of a block tell its sign and its high halves; how they go together
with those of other blocks, and with public pictures of the same kind, tells where the block belongs
and how its pixels are ordered. Source: this project (measured); the assignment is that of Kuhn
1955, the components those of a factor model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack, AttackFailedError
from he_compare.common.attack_requirements import BLOCKS, BYTES, ONE_KEY, Requirement
from he_compare.common.attack_score import SSIM, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.similarity import ssim
from he_compare.common.target_facts import Facts
from he_compare.common.types import Float64Array, IntArray, Knowledge, UInt8Array
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
from he_compare.comparisons.attacks.tools.likeness import ranked_by_picture, score_pictures
from he_compare.comparisons.attacks.tools.move_keys import uses_nibbles
from he_compare.comparisons.attacks.tools.scores import source_blocks
from he_compare.comparisons.attacks.tools.tiles import as_bytes

LEAST = 12
KEPT_BLOCKS = Requirement(
    "blocks are not kept: values of different blocks of the image meet in one",
    lambda facts: facts.keeps_blocks,
)
OWN_MAPS = Requirement(
    "one map serves all blocks: attacks on a shared key read more",
    lambda facts: not facts.shared_key,
    by_construction=True,
)


@dataclass(frozen=True)
class Recovered:
    """Pictures of the attacked ciphertexts; the ciphertext block at each place, (blocks,).

    ``doing_nothing``: the mean of the public pictures, uint8 (h, w, c).
    """

    pictures: UInt8Array
    block: IntArray
    doing_nothing: UInt8Array


class BlockHistories(Attack):
    """Many ciphertexts under one key, and plain images of other people."""

    name = "block_histories"
    title = "Block histories with public images"
    rung = Knowledge.AUXILIARY_DATA
    needs = frozenset({Need.AUXILIARY})
    slow = True
    least_images = 40
    wants_images = 200
    requires = (BLOCKS, ONE_KEY, BYTES, KEPT_BLOCKS, OWN_MAPS)
    metric = SSIM
    limits = (
        "more ciphertexts under one key recover more: 20 place half of the blocks of radiographs, "
        "200 nearly all",
        "public images have to be of the same kind: they say where a block belongs",
        "pictures that have no common build, such as tissue, are hardly placed by this solver",
    )
    source = "attack of this project"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Recovered:
        """Read histories, place blocks and order what is inside. Raises AttackFailedError."""
        return recover(as_bytes(view.ciphertexts), view.auxiliary, view.facts)

    def score(self, guess: Recovered, truth: Truth) -> Score:
        """Compare pictures with originals; say what the mean public picture alone is worth."""
        still = np.broadcast_to(guess.doing_nothing, truth.originals.shape)
        details = [
            Detail("SSIM of the mean public picture", float(ssim(still, truth.originals).mean())),
            Detail("originals named among those attacked", named(guess.pictures, truth.originals)),
            Detail("chance to name one", 1 / len(truth.originals)),
        ]
        source = source_blocks(truth)
        if source is not None:
            right = source[guess.block] == np.arange(len(source))
            details.append(Detail("blocks in place", float(right.mean())))
        return score_pictures(guess.pictures, truth, details, {"ciphertexts": len(guess.pictures)})


def recover(ciphertexts: UInt8Array, public: UInt8Array, facts: Facts) -> Recovered:
    """Turn ciphertexts (n, h, w, c) into pictures with public images (N, h, w, c).

    Raises AttackFailedError where there are too few, or nothing goes together.
    """
    if min(len(ciphertexts), len(public)) < LEAST:
        raise AttackFailedError(f"fewer than {LEAST} ciphertexts, or public images")
    nibbles = uses_nibbles(facts)
    found = read_histories(ciphertexts, facts.side, nibbles=nibbles, negates=not facts.keeps_values)
    if found is None:
        raise AttackFailedError("what a block holds does not rise and fall together over images")
    height, width, channels = facts.shape
    geometry = Geometry(
        height // facts.side, width // facts.side, facts.side, channels // found.copies
    )
    sites, low = public_sites(public, geometry, nibbles=nibbles)
    places = _placed(found, block_means(sites, geometry), geometry, facts)
    high = order_inside(found, places, sites, geometry)
    rest = low_halves(found, places, high, (sites, low), geometry) if nibbles else None
    mean = np.rint(public.mean(axis=0)).astype(np.uint8)
    return Recovered(pictures_of(high, rest, geometry, found.copies), places.block, mean)


def _placed(histories: Histories, public: Float64Array, geometry: Geometry, facts: Facts) -> Places:
    if not facts.moves_blocks:
        return signs_in_place(histories.means, public, signed=histories.signed)
    return find_places(histories.means, public, geometry.rows, signed=histories.signed)


def named(pictures: UInt8Array, originals: UInt8Array) -> float:
    """Share of pictures that go together best with the original of the same number."""
    best = ranked_by_picture(pictures, originals)[:, 0]
    return float((best == np.arange(len(pictures))).mean())


ATTACK = BlockHistories()
