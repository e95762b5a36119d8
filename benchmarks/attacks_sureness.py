"""How reliable `compare audit attack-file` is: right and wrong block sizes, key by key.

Radiographs (real ones where COMPARE_DATA names them, else the synthetic cohort) are scrambled under
several keys and attacked with the right side of the blocks and with wrong ones. A reconstruction is
*right* where its SSIM to the originals is at least 0.8. Rows: how often "sure" was said of a wrong
reconstruction and of a right one (peer: the same without the look at seams), and how often the side
was guessed where none was given. ``n`` is the number of reconstructions or guesses.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmarks.attacks_solver import encrypted, radiographs
from benchmarks.rows import Row, main
from he_compare.common.block_solving.reconstruct import Sureness, reconstruct
from he_compare.common.similarity import ssim
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attacks.tools.alignment import aligned_together
from he_compare.comparisons.attacks.tools.block_size import guess_block_size

KEYS, QUICK_KEYS = 5, 1
RIGHT_FROM = 0.8
COUNT = 10
# Cipher, side of the images, side of its blocks, options, sides to believe.
BELIEVED = (
    ("vit_block", 224, 16, {"negative_positive": True}, (16, 8, 14, 32)),
    ("vit_block", 224, 14, {}, (14, 7, 16, 28)),
    ("al_amin", 200, 25, {}, (25, 8, 10, 20)),
    ("al_amin", 400, 25, {}, (16,)),
    ("etc", 224, 16, {}, (16, 7, 8, 14, 28, 32)),
    ("etc", 224, 8, {}, (8, 7, 14, 16, 28)),
    ("noise", 224, 16, None, (8, 16)),
)
GUESSED = (
    ("vit_block", 224, 16, {"negative_positive": True}),
    ("vit_block", 224, 16, {}),
    ("vit_block", 224, 14, {}),
    ("vit_block", 224, 8, {}),
    ("al_amin", 200, 25, {}),
    ("al_amin", 224, 16, {}),
    ("etc", 224, 16, {}),
    ("etc", 224, 8, {}),
    ("shf", 224, 4, {}),
    ("np", 224, 4, {}),
    ("tanaka_le", 224, 4, {}),
)
GUESSED_FROM = 10


def measure(quick: bool) -> list[Row]:
    """Attack under ``KEYS`` keys (``QUICK_KEYS`` with ``quick``)."""
    images, kind = radiographs()
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    guesses: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for key in range(QUICK_KEYS if quick else KEYS):
        for cipher, size, patch, options, sides in BELIEVED:
            originals = images(size, COUNT, key)
            given = {} if options is None else {"patch": patch, **options}
            ciphertexts, _ = encrypted(cipher, given, originals, key)
            for side in sides:
                name = f"{cipher} {patch} px of {size}, believed {side} px, {kind}"
                verdicts[name].append(_verdict(ciphertexts, originals, side))
                print(f"# key {key}: {name}: {verdicts[name][-1]}", flush=True)
        for cipher, size, patch, more in GUESSED:
            ciphertexts, _ = encrypted(
                cipher, {"patch": patch, **more}, images(size, GUESSED_FROM, key), key
            )
            guess = guess_block_size(ciphertexts)
            guesses[f"{cipher} {patch} px of {size}{_spelt(more)}, {kind}"].append(
                (guess.patch == patch, bool(guess.trace))
            )
            print(f"# key {key}: {cipher} {patch} px of {size}: {guess}", flush=True)
    return [*_about_sureness(verdicts), *_about_guesses(guesses)]


def _spelt(options: dict[str, bool]) -> str:
    return ", negated" if options.get("negative_positive") else ""


class Verdict(NamedTuple):
    """``sure``: was said; ``unseamed``: would have been without the look at seams."""

    sure: bool
    unseamed: bool
    right: bool
    seams: float


def _verdict(ciphertexts: UInt8Array, originals: UInt8Array, side: int) -> Verdict:
    found = reconstruct(ciphertexts, side)
    alike = ssim(aligned_together(found.pictures, originals)[..., None], originals)
    return Verdict(
        found.sureness is Sureness.SURE,
        replace(found, seams=1.0).sureness is Sureness.SURE,
        bool(alike.mean() >= RIGHT_FROM),
        round(found.seams, 2),
    )


def _about_sureness(verdicts: dict[str, list[Verdict]]) -> list[Row]:
    rows = []
    every = [one for several in verdicts.values() for one in several]
    for name, several in {**verdicts, "all": every}.items():
        for what, right in (("wrong, yet sure", False), ("right, and sure", True)):
            chosen = [one for one in several if one.right is right]
            if chosen:
                share = float(np.mean([one.sure for one in chosen]))
                before = float(np.mean([one.unseamed for one in chosen]))
                title = f"{name}: {what}"
                rows.append(Row(title, share, "share", len(chosen), "without seams", before))
    return rows


def _about_guesses(guesses: dict[str, list[tuple[bool, bool]]]) -> list[Row]:
    rows = []
    every = [pair for pairs in guesses.values() for pair in pairs]
    for name, pairs in {**guesses, "all ciphers": every}.items():
        right = [right for right, _ in pairs]
        traced = [right for right, trace in pairs if trace]
        rows.append(Row(f"side guessed, {name}: right", float(np.mean(right)), "share", len(right)))
        if traced:
            told = float(np.mean(traced))
            rows.append(
                Row(f"side guessed, {name}: right where a trace", told, "share", len(traced))
            )
    return rows


if __name__ == "__main__":
    main(measure, threads=1)
