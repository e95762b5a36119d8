"""Block histories: pictures from many ciphertexts under one key, where every block has its own map.

A key for each block hides nothing of what a block shows from image to image, for it is the same key
in every image. The histories of a block tell its sign and its high halves; how they go together
with those of other blocks, and with public pictures of the same kind, tells where the block belongs
and how its pixels are ordered. Source: this project (measured); the assignment is that of Kuhn
1955, the components those of a factor model.
"""

from __future__ import annotations

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_score import SSIM, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.block_solving.tiles import as_bytes
from he_compare.common.similarity import ssim
from he_compare.common.types import Aim, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.block_recovery import (
    MAPS_OF_BLOCKS,
    Recovered,
    blocks_of_target,
    recover,
)
from he_compare.comparisons.attacks.tools.likeness import ranked_by_picture, score_pictures
from he_compare.comparisons.attacks.tools.scores import source_blocks


class BlockHistories(Attack):
    """Many ciphertexts under one key, and plain images of other people."""

    name = "block_histories"
    title = "Block histories with public images"
    rung = Knowledge.AUXILIARY_DATA
    aim = Aim.IMAGE
    needs = frozenset({Need.AUXILIARY})
    slow = True
    least_images = 40
    wants_images = 200
    requires = MAPS_OF_BLOCKS
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
        return recover(as_bytes(view.ciphertexts), view.auxiliary, blocks_of_target(view.facts))

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


def named(pictures: UInt8Array, originals: UInt8Array) -> float:
    """Share of pictures that go together best with the original of the same number."""
    best = ranked_by_picture(pictures, originals)[:, 0]
    return float((best == np.arange(len(pictures))).mean())


ATTACK = BlockHistories()
