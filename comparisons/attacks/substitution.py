"""Substitution: pictures from ciphertexts whose values were replaced through a keyed table.

A table of values is a simple substitution: it keeps which values are equal, and neighbours in a
picture are alike. Which positions of a block are in the clear, if any, and the table of the others
follow from that (``comparisons.attacks.tools.value_tables``). Source: this project (measured); the
idea is that of the frequency analysis of monoalphabetic ciphers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from he_compare.common.adversary import Truth, View
from he_compare.common.attack import Attack
from he_compare.common.attack_requirements import BYTES, Requirement
from he_compare.common.attack_score import SSIM, Detail, Picture, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.block_solving.tiles import as_bytes, cut
from he_compare.common.similarity import gradient_similarity, psnr, ssim
from he_compare.common.types import Aim, Knowledge, UInt8Array
from he_compare.comparisons.attacks.tools.value_tables import Tables, find_tables, painted

SHOWN = 3
# Images that are read one by one where each has a key of its own.
ALONE = 8

REPLACED = Requirement(
    "values are kept or negated, none is replaced through a table (see leading bit and minimum "
    "difference)",
    lambda facts: not (facts.keeps_values or facts.keeps_folded),
    by_construction=True,
)
TABLES_IN_PLACE = Requirement(
    "no table of values: what stands at a place does not depend on one value of that place alone",
    lambda facts: facts.tables_in_place,
    lambda facts: facts.keeps_nibbles,
)


@dataclass(frozen=True)
class Part:
    """Ciphertexts under one key, uint8 (n, h, w, c), and the tables found in them."""

    seen: UInt8Array
    tables: Tables


@dataclass(frozen=True)
class Substituted:
    """One part for all images, or one part an image; ``patch``: side of the blocks."""

    parts: tuple[Part, ...]
    patch: int


class Substitution(Attack):
    """Ciphertext only; one ciphertext is enough."""

    name = "substitution"
    title = "Substitution"
    rung = Knowledge.CIPHERTEXT_ONLY
    aim = Aim.IMAGE
    aligns = True
    requires = (BYTES, REPLACED, TABLES_IN_PLACE)
    metric = SSIM
    limits = (
        "where no position is in the clear, values are known in their order only, up to the "
        "negative: SSIM is the higher one of picture and negative then",
        "entries of the table are exact where copies of a value stand beside it in the clear, as "
        "in grey images in three channels; in colour images many are one level off",
    )
    source = "attack of this project; frequency analysis; seriation (Atkins et al. 1998)"

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Substituted:
        """Read all ciphertexts together, or a few one by one under keys of their own."""
        images = as_bytes(view.ciphertexts)
        patch = view.facts.patch or 1
        together = view.facts.one_key and view.facts.deterministic
        groups = [images] if together else [image[None] for image in images[:ALONE]]
        return Substituted(tuple(Part(one, find_tables(one, patch)) for one in groups), patch)

    def score(self, guess: Substituted, truth: Truth) -> Score:
        """Compare pictures, clear positions and tables with the originals."""
        count = sum(len(part.seen) for part in guess.parts)
        originals = _split_like(truth.originals[:count], guess.parts)
        pairs = list(zip(guess.parts, originals, strict=True))
        found = np.concatenate([_upright(part, own, guess.patch) for part, own in pairs])
        every = truth.originals[:count]
        alike = ssim(found, every)
        details = [
            Detail("PSNR", float(psnr(found, every).mean()), "dB"),
            Detail("gradient similarity", float(gradient_similarity(found, every).mean())),
            *_key_found(pairs, guess.patch),
        ]
        shown = [
            Picture(i, found[i], f"SSIM {alike[i]:.2f}") for i in range(min(SHOWN, len(found)))
        ]
        return Score(
            float(alike.mean()),
            details,
            shown,
            {"ciphertexts": count},
            images=truth.ids[: len(alike)],
            each=alike,
        )


def _split_like(images: UInt8Array, parts: Sequence[Part]) -> list[UInt8Array]:
    ends = np.cumsum([len(part.seen) for part in parts])[:-1]
    return cast(list[UInt8Array], np.split(images, ends))


def _upright(part: Part, originals: UInt8Array, patch: int) -> UInt8Array:
    """Return the pictures of a part; of the better sign where nothing was in the clear."""
    found = part.tables.undo(part.seen, patch)
    negative = cast(UInt8Array, 255 - found)
    if part.tables.clear or ssim(found, originals).mean() >= ssim(negative, originals).mean():
        return found
    return negative


def _key_found(pairs: Sequence[tuple[Part, UInt8Array]], patch: int) -> list[Detail]:
    """Count positions told apart rightly, and right ones of the entries that were used."""
    told, entries = [], []
    for part, originals in pairs:
        same = cut((part.seen == originals).astype(np.uint8), patch).min(axis=(0, 1)) == 1
        told.append(float((part.tables.second != same).mean()))
        replaced = ~painted(same, originals.shape, patch)
        values, first = np.unique(part.seen[:, replaced], return_index=True)
        right = part.tables.tables[1][values] == originals[:, replaced].ravel()[first]
        if len(values) and not same.all() and same.any():
            entries.append(float(right.mean()))
    details = []
    if entries:
        details.append(Detail("clear positions told from replaced ones", float(np.mean(told))))
        details.append(Detail("table entries right, of those used", float(np.mean(entries))))
    return details


ATTACK = Substitution()
