"""Jigsaw solver: whole pictures from ciphertexts alone, first inside blocks, then their places.

Where one key serves all images, the borders of all their blocks are evaluated together; where each
image has its own, each is solved by itself. Blocks may have been turned, mirrored and negated, and
those of single channels may have moved on their own (``tools.channel_blocks``).
Sources of the parts: Gallagher, CVPR 2012 (merging); Pomeranz, Shemesh, Ben-Shahar, CVPR 2011
(borders continued).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_requirements import BLOCKS, BYTES, Requirement
from he_compare.common.attack_score import SSIM, Detail, Picture, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.block_solving.reconstruct import Reconstruction, reconstruct
from he_compare.common.block_solving.tiles import as_bytes
from he_compare.common.similarity import gradient_similarity, psnr, ssim
from he_compare.common.target_facts import Facts
from he_compare.common.types import Aim, IntArray, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.alignment import aligned_one_by_one, aligned_together
from he_compare.comparisons.attacks.tools.channel_blocks import whole_blocks
from he_compare.comparisons.attacks.tools.scores import jigsaw_found, source_channel_blocks

SHOWN = 3
ALONE = 4


@dataclass(frozen=True)
class Solved:
    """Reconstructions: one for all images, or one per image where ``alone``.

    ``source``: (blocks,), the block of a channel that stands for each block of the first of them.
    """

    parts: tuple[Reconstruction, ...]
    source: IntArray
    alone: bool

    @property
    def pictures(self) -> UInt8Array:
        """All pictures, uint8 (n, h, w)."""
        return np.concatenate([part.pictures for part in self.parts])


WHOLE_VALUES = Requirement(
    "values are not kept whole or negated; this solver reads nothing else",
    lambda facts: facts.keeps_folded,
)
ONE_INSIDE = Requirement(
    "the inside of every block is moved in a way of its own; this solver finds one for all",
    lambda facts: facts.shared_key or facts.keeps_neighbours or not facts.keeps_blocks,
)


class Jigsaw(Attack):
    """Ciphertext only; correlation inside blocks followed by the placement of blocks."""

    name = "jigsaw"
    title = "Correlation and jigsaw solver"
    rung = Knowledge.MANY_CIPHERTEXTS
    aim = Aim.IMAGE
    aligns = True
    wants_images = 100
    requires = (BLOCKS, BYTES, WHOLE_VALUES, ONE_INSIDE)
    metric = SSIM
    limits = (
        "up to the eight symmetries of the square and a global negative, which ciphertexts do not "
        "determine",
        "recovered pictures are grey: the mean of the channels",
    )
    source = "Gallagher, CVPR 2012; Pomeranz et al., CVPR 2011; inside of blocks: this project"

    def rung_on(self, facts: Facts) -> Knowledge:
        """Images that have a key each are read one by one: a single ciphertext is enough."""
        return Knowledge.CIPHERTEXT_ONLY if facts.one_by_one else self.rung

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Solved:
        """Reconstruct all images together, or a few by themselves under keys of their own."""
        images = as_bytes(view.ciphertexts)
        alone = view.facts.one_by_one
        parts = [image[None] for image in images[:ALONE]] if alone else [images]
        wholes = [whole_blocks(part, view.facts) for part in parts]
        solved = tuple(reconstruct(whole.images, view.facts.side) for whole in wholes)
        return Solved(solved, wholes[0].source, alone)

    def score(self, guess: Solved, truth: Truth) -> Score:
        """Compare pictures with originals, and where the key is known blocks with their places."""
        pictures = guess.pictures
        originals = truth.originals[: len(pictures)]
        align = aligned_one_by_one if guess.alone else aligned_together
        found = align(pictures, originals)[..., None]
        alike = ssim(found, originals)
        details = [
            Detail("PSNR", float(psnr(found, originals).mean()), "dB"),
            Detail("gradient similarity", float(gradient_similarity(found, originals).mean())),
            Detail("held-out correlation of neighbours", guess.parts[0].neighbours),
            Detail("joints on which both halves of the evidence agree", guess.parts[0].agreement),
        ]
        source = None if guess.alone else source_channel_blocks(truth)
        if source is not None:
            jigsaw = jigsaw_found(source[guess.source][guess.parts[0].placement.block])
            details += [
                Detail("blocks in place (Dc)", jigsaw.direct),
                Detail("right neighbours (Nc)", jigsaw.neighbours),
                Detail("largest right part (Lc)", jigsaw.largest),
            ]
        shown = [
            Picture(i, found[i], f"SSIM {alike[i]:.2f}") for i in range(min(SHOWN, len(found)))
        ]
        return Score(
            float(alike.mean()),
            details,
            shown,
            {"ciphertexts": len(pictures)},
            images=truth.ids[: len(alike)],
            each=alike,
        )


ATTACK = Jigsaw()
