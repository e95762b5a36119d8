"""`compare audit attack-file`: reconstructs scrambled images without a key or an original.

The folder holds 8-bit PNG, JPEG or BMP of one size, or npz files, as `compare encrypt` writes them.
The scrambling is learnt from some of them and undone on all; where no key is common to them, each
image is tried by itself. Numbers that are no bytes are taken for blocks under one rotation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from he_compare.common.contracts import Progress
from he_compare.common.errors import DataError, UsageError
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attack_file.reading import CiphertextFolder, list_ciphertexts
from he_compare.comparisons.attack_file.rotated import attack_rotated
from he_compare.comparisons.attack_file.writing import FolderAttack, stem
from he_compare.comparisons.attacks.tools.block_size import (
    FEWEST_BLOCKS,
    LARGEST,
    SMALLEST,
    Guess,
    guess_block_size,
)
from he_compare.comparisons.attacks.tools.reconstruct import (
    SEAMLESS,
    Reconstruction,
    Sureness,
    reconstruct,
)

LEARNT_FROM = 50
GUESSED_FROM = 10
PORTION = 32
MIXED_COLOURS = (
    "values inside blocks correlate: the key mixes colours, which this solver cannot separate; "
    "this is no sign of strength"
)


def attack_folder(
    folder: Path, patch: int | None, out: Path | None, progress: Progress
) -> FolderAttack:
    """Attack the images of a folder; write pictures of the same stems and ``attack.json``.

    ``patch``: side of the blocks, guessed where None. ``out``: new or empty folder, FOLDER.attacked
    where None. Raises UsageError or DataError in one line on anything that cannot be attacked.
    """
    found = list_ciphertexts(folder)
    names = found.names
    target = _target(folder, out, names)
    height, width = found.size()
    if patch is not None:
        _check_patch(patch, height, width)
    progress("reading images", 0, 1)
    images = found.read([names[i] for i in _spread(len(names), LEARNT_FROM)])
    if images.dtype != np.uint8:
        return attack_rotated(found, images, patch, target, progress)
    return _attack_bytes(found, cast(UInt8Array, images), patch, target, progress)


def _attack_bytes(
    folder: CiphertextFolder,
    images: UInt8Array,
    patch: int | None,
    target: Path,
    progress: Progress,
) -> FolderAttack:
    names, (height, width) = folder.names, images.shape[1:3]
    channels = 1 if _is_grey(images) else 3
    images = images[..., :channels]
    guess = None if patch is not None else _guessed(images)
    side = patch if patch is not None else _patch_of(guess)
    _check_blocks(side, len(images), height, width)
    progress("looking for the key", 0, 1)
    together = reconstruct(images, side)
    alone = _alone(images, side) if together.sureness is Sureness.NOTHING else None
    best = together if alone is None else alone
    attack = FolderAttack(
        out=target,
        patch=side,
        guessed=patch is None,
        channels=channels,
        keys="one for each image" if alone is not None else "one for all images",
        sureness=best.sureness,
        found=_found(best),
        evidence={
            "neighbour_correlation_held_out": best.neighbours,
            "joint_agreement_of_halves": best.agreement,
            "seams": best.seams,
        },
    )
    learnt = None if alone is not None else together
    for start in range(0, len(names), PORTION):
        progress("writing pictures", start, len(names))
        portion = names[start : start + PORTION]
        ciphertexts = cast(UInt8Array, folder.read(portion))[..., :channels]
        pictures, sureness = _pictures(ciphertexts, attack.patch, learnt)
        attack.each += sureness
        attack.write(portion, pictures)
    if attack.each:  # every image was solved by itself: no more is sure than the least sure of them
        attack.sureness = max(attack.each, key=list(Sureness).index)
    other = None
    if patch is not None and attack.sureness is not Sureness.SURE:
        other = guess_block_size(images[_spread(len(images), GUESSED_FROM)])
    attack.lines = _told(attack, best, guess, other)
    attack.write_report()
    return attack


def _target(folder: Path, out: Path | None, names: Sequence[str]) -> Path:
    target = out if out is not None else folder.with_name(folder.resolve().name + ".attacked")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not empty", fix="pass a new or empty folder with --out")
    if target.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{target} lies in {folder}", fix="pass a folder outside it with --out")
    stems = Counter(stem(name) for name in names)
    twice = [stem for stem, count in stems.items() if count > 1]
    if twice:
        raise DataError(f"{twice[0]!r} names two images", fix="rename one of them")
    return target


def _check_patch(patch: int, height: int, width: int) -> None:
    if patch < 2 or height % patch or width % patch:
        fitting = [s for s in range(2, min(height, width)) if height % s == 0 and width % s == 0]
        raise UsageError(
            f"patch {patch} does not divide images of {height} x {width}",
            fix="patches that divide them: " + ", ".join(map(str, fitting))
            if fitting
            else "no patch divides them",
        )


def _check_blocks(patch: int, images: int, height: int, width: int) -> None:
    blocks = images * (height // patch) * (width // patch)
    if blocks < FEWEST_BLOCKS:
        raise DataError(
            f"{images} image{'s' * (images > 1)} of {height} x {width} make {blocks} blocks of "
            f"{patch} pixels, too few to learn from",
            fix=f"add images: at least {FEWEST_BLOCKS} blocks are needed",
        )


def _spread(count: int, most: int) -> list[int]:
    return [int(i) for i in np.unique(np.linspace(0, count - 1, min(count, most)).round())]


def _is_grey(images: UInt8Array) -> bool:
    return bool((images == images[..., :1]).all())


def _guessed(images: UInt8Array) -> Guess:
    guess = guess_block_size(images[_spread(len(images), GUESSED_FROM)])
    if guess is None:
        height, width = images.shape[1:3]
        raise UsageError(
            f"no block of {SMALLEST} to {LARGEST} pixels tiles images of {height} x {width}",
            fix="pass the width of the blocks with --patch",
        )
    return guess


def _patch_of(guess: Guess | None) -> int:
    assert guess is not None
    return guess.patch


def _alone(images: UInt8Array, patch: int) -> Reconstruction | None:
    """Try a few images each by itself; return the one that is surest, if any shows structure."""
    if len(images) < 2:
        return None
    tried = [reconstruct(images[i : i + 1], patch) for i in _spread(len(images), 3)]
    best = max(tried, key=lambda one: one.neighbours + one.agreement)
    return None if best.sureness is Sureness.NOTHING else best


def _found(best: Reconstruction) -> str:
    if best.sureness is Sureness.NOTHING:
        return "nothing"
    parts = []
    if best.order is not None:
        negated = bool(best.order.negated.any())
        parts.append("values moved" + (" and negated" if negated else "") + " inside blocks")
    if best.turned:
        parts.append("each block turned or negated on its own")
    if not best.in_place:
        parts.append("blocks moved")
    return (
        "; ".join(parts) or "no scrambling found: blocks and pixels already fit best where they are"
    )


def _pictures(
    images: UInt8Array, patch: int, learnt: Reconstruction | None
) -> tuple[UInt8Array, list[Sureness]]:
    """Undo what was learnt, or learn from each image by itself: uint8 (n, h, w).

    In the second case also say how sure each one is.
    """
    if learnt is not None:
        return learnt.apply(images), []
    solved = [reconstruct(image[None], patch) for image in images]
    return np.concatenate([one.pictures for one in solved]), [one.sureness for one in solved]


def _told(
    attack: FolderAttack, best: Reconstruction, guess: Guess | None, other: Guess | None
) -> list[str]:
    """Tell what came out. ``other``: what the blocks look like, where their side was given."""
    count = len(attack.written)
    how = "given"
    if guess is not None:
        how = (
            f"guessed from {guess.trace}"
            if guess.trace
            else "guessed; no trace of blocks was found"
        )
    looked_at = f"{attack.sureness.value}: {count} images, blocks of {attack.patch} pixels ({how})"
    inside = f"correlation of neighbours inside blocks, held out: {best.neighbours:.2f} (chance 0)"
    hints = []
    if other is not None and other.trace and other.patch != attack.patch:
        hints.append(f"blocks look like {other.patch} pixels: try --patch {other.patch}")
    if attack.sureness is Sureness.NOTHING:
        told = [looked_at, inside, *hints, f"pictures: {attack.out} (they should show nothing)"]
        if guess is not None and guess.trace and attack.channels > 1:
            told.insert(1, MIXED_COLOURS)
        return told
    each = Counter(one.value for one in attack.each)
    counted = ", ".join(f"{count} {name}" for name, count in each.most_common())
    seams = f"steps at block borders are {best.seams:.1f} times those inside blocks"
    return [
        f"{looked_at}, keys {attack.keys}: {attack.found}" + (f" ({counted})" if counted else ""),
        f"{inside}; two halves of the evidence agree on {best.agreement:.0%} of the joints; {seams}"
        + (", unlike any picture: the blocks have another size" if best.seams > SEAMLESS else ""),
        *hints,
        f"pictures: {attack.out}, up to the 8 symmetries of the square and a global negative",
    ]
