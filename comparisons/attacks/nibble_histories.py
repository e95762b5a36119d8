"""Nibble histories: pictures from ciphertexts whose 4-bit halves move alike in all blocks.

A cipher that moves and inverts halves of values leaves each half its history: what a position holds
over all blocks. High halves are known by their correlations, their layout by the likeness of
neighbours, and low halves by the direction in which high ones are off from their neighbours
(``comparisons.attacks.tools.nibbles``). Blocks that changed places as well are put together by the
jigsaw solver. Source: this project (measured).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack, AttackFailedError
from he_compare.common.attack_requirements import BLOCKS, BYTES, SHARED_KEY, Requirement
from he_compare.common.attack_score import SSIM, Detail, Picture, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.block_solving.reconstruct import reconstruct
from he_compare.common.block_solving.tiles import as_bytes, cut, join
from he_compare.common.similarity import gradient_similarity, psnr, ssim
from he_compare.common.types import Aim, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.alignment import aligned_one_by_one, aligned_together
from he_compare.comparisons.attacks.tools.move_keys import uses_nibbles
from he_compare.comparisons.attacks.tools.nibbles import (
    HalvesOrder,
    find_halves_order,
    turned_to_fit,
)

SHOWN = 3
# Images that are read one by one where each has a key of its own; fewer where blocks are large.
ALONE, ALONE_HALVES = 4, 6000

HALVES = Requirement(
    "values do not move in 4-bit halves (whole values: see shared-key correlation and the jigsaw "
    "solver)",
    uses_nibbles,
    by_construction=lambda facts: facts.keeps_folded or facts.tables_in_place,
)


@dataclass(frozen=True)
class HalvesRead:
    """Pictures, uint8 (n, h, w), and the order of halves in the first; ``alone``: one by one."""

    pictures: UInt8Array
    order: HalvesOrder
    alone: bool


class NibbleHistories(Attack):
    """Ciphertext only; one ciphertext is enough where it has many blocks."""

    name = "nibble_histories"
    title = "Nibble histories"
    rung = Knowledge.CIPHERTEXT_ONLY
    aim = Aim.IMAGE
    aligns = True
    requires = (BLOCKS, BYTES, HALVES, SHARED_KEY)
    metric = SSIM
    limits = (
        "up to the eight symmetries of the square and a global negative, which ciphertexts do not "
        "determine",
        "recovered pictures are grey: the mean of the channels",
        "few large blocks in one image tell little: many ciphertexts under one key are needed then",
    )
    source = "attack of this project; prior art: correlation attacks on permutation-only ciphers"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> HalvesRead:
        """Read all ciphertexts together, or a few one by one under keys of their own."""
        images = as_bytes(view.ciphertexts)
        side, moved = view.facts.side, view.facts.moves_blocks
        if view.facts.one_key and view.facts.deterministic:
            pictures, order = read_halves(images, side, moved=moved)
            return HalvesRead(pictures, order, alone=False)
        halves = 2 * side * side * images.shape[3]
        few = images[: max(1, min(ALONE, ALONE_HALVES // halves))]
        each = [read_halves(image[None], side, moved=moved) for image in few]
        return HalvesRead(np.concatenate([one for one, _ in each]), each[0][1], alone=True)

    def score(self, guess: HalvesRead, truth: Truth) -> Score:
        """Compare pictures with originals."""
        originals = truth.originals[: len(guess.pictures)]
        align = aligned_one_by_one if guess.alone else aligned_together
        found = align(guess.pictures, originals)[..., None]
        alike = ssim(found, originals)
        details = (
            Detail("PSNR", float(psnr(found, originals).mean()), "dB"),
            Detail("gradient similarity", float(gradient_similarity(found, originals).mean())),
            Detail("held-out correlation of neighbours", guess.order.neighbours),
            Detail("correlation that placed the low halves", guess.order.sure),
        )
        shown = [
            Picture(i, found[i], f"SSIM {alike[i]:.2f}") for i in range(min(SHOWN, len(found)))
        ]
        return Score(
            float(alike.mean()),
            details,
            shown,
            {"ciphertexts": len(found)},
            images=truth.ids[: len(alike)],
            each=alike,
        )


def read_halves(images: UInt8Array, patch: int, *, moved: bool) -> tuple[UInt8Array, HalvesOrder]:
    """Read images (n, h, w, c) whose blocks hold halves in one order: pictures (n, h, w).

    ``moved``: blocks changed places as well. Raises AttackFailedError.
    """
    blocks = cut(images, patch)
    order = find_halves_order(blocks.reshape(-1, blocks.shape[2]))
    if order is None:
        raise AttackFailedError("blocks show no order of their halves")
    pixels = np.rint(order.undo(blocks).mean(axis=3)).astype(np.uint8)
    rows, columns = images.shape[1] // patch, images.shape[2] // patch
    pictures = join(pixels, rows, columns, 1)
    if moved:
        return reconstruct(pictures, patch).pictures, order
    return turned_to_fit(pictures[..., 0], patch), order


ATTACK = NibbleHistories()
