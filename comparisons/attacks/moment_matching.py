"""Moment matching: pictures from ciphertexts under one key and public images of the same kind.

Principal components of ciphertext blocks are distinguished by their means, spreads and covariances
with the blocks beside them, and aligned with those of plain images of other people
(``common.block_moments``): the order of the blocks and one rotation inside all of them. Moves,
negations and secret rotations are special cases. Nothing of the pictures' way up is lost, since the
public images have one. Source: this project (measured); the same alignment lets a server read
ciphertexts with a model of plain images (``he_compare.block_scramble.deployment.matching``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_requirements import BLOCKS, ONE_KEY
from he_compare.common.attack_score import SSIM, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.block_moments import Alignment, align_blocks
from he_compare.common.block_solving.tiles import join
from he_compare.common.target_facts import Facts
from he_compare.common.types import Aim, Knowledge, PixelArray, UInt8Array
from he_compare.comparisons.attacks.tools.descriptors import blocks_of
from he_compare.comparisons.attacks.tools.likeness import score_pictures

TRIED = "agreement of moments with those of the public images"


@dataclass(frozen=True)
class Matched:
    """Pictures of the attacked ciphertexts, and the alignment that shows them."""

    pictures: UInt8Array
    alignment: Alignment | None


class MomentMatching(Attack):
    """Many ciphertexts under one key, and plain images of other people."""

    name = "moment_matching"
    title = "Moment matching"
    rung = Knowledge.AUXILIARY_DATA
    aim = Aim.IMAGE
    needs = frozenset({Need.AUXILIARY})
    slow = True
    least_images = 40
    requires = (BLOCKS,)
    metric = SSIM
    limits = (
        "directions inside blocks that vary little, and those that the public images do not have, "
        "are recovered blurred; more ciphertexts recover more of them",
    )
    source = "attack of this project; orthogonal Procrustes (Schoenemann 1966)"

    def cannot_read(self, facts: Facts) -> str:
        """Only where blocks tile square images, and one key serves all of them."""
        height, width, _ = facts.shape
        if height != width or height % facts.side:
            return f"blocks of {facts.side} px do not tile a {height} x {width} image in a square"
        if facts.deterministic and not facts.one_key:
            return ONE_KEY.obstacle
        return ""

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Matched:
        """Align ciphertexts with public images, and turn them into pictures by the alignment."""
        patch = view.facts.side
        alignment = align_blocks(view.ciphertexts, view.auxiliary, patch)
        if alignment is None:
            return Matched(np.zeros(view.ciphertexts.shape, np.uint8), None)
        return Matched(shown(view.ciphertexts, alignment, patch), alignment)

    def score(self, guess: Matched, truth: Truth) -> Score:
        """Compare pictures with originals."""
        agreement = 0.0 if guess.alignment is None else guess.alignment.agreement
        return score_pictures(
            guess.pictures,
            truth,
            (Detail(TRIED, agreement),),
            {"ciphertexts": len(guess.pictures)},
        )


def shown(ciphertexts: PixelArray, alignment: Alignment, patch: int) -> UInt8Array:
    """Return what ciphertexts (n, h, w, c) show by an alignment: uint8 (n, h, w, c)."""
    count, height, width, channels = ciphertexts.shape
    flat = ciphertexts.reshape(count, -1).astype(np.float64)
    blocks = blocks_of(flat, (height, width, channels), patch)
    turned = alignment.mean_to + (blocks - alignment.mean_from) @ alignment.turn
    plain = np.empty_like(turned)
    plain[:, alignment.block_order] = turned
    pixels = np.clip(np.rint(plain), 0, 255).astype(np.uint8)
    return join(pixels, height // patch, width // patch, channels)


ATTACK = MomentMatching()
