"""Attacks a folder of ciphertexts that are no bytes: blocks taken for one rotation of plain ones.

What applies to them: block means from the leading direction, and the rotation that gives the
smoothest pictures. What does not: whatever reads values (leading bit, correlation of positions,
jigsaw), since no value survives, and whatever takes pairs, an oracle or candidates.
"""

from __future__ import annotations

from pathlib import Path

from he_compare.common.block_solving.reconstruct import Sureness
from he_compare.common.contracts import Progress
from he_compare.common.errors import DataError
from he_compare.common.types import PixelArray
from he_compare.comparisons.attack_file.judging import judged, overall
from he_compare.comparisons.attack_file.reading import CiphertextFolder
from he_compare.comparisons.attack_file.telling import NO_EVIDENCE, pictures_counted
from he_compare.comparisons.attack_file.writing import FolderAttack
from he_compare.comparisons.attacks.tools.block_size import candidates
from he_compare.comparisons.attacks.tools.rotation import (
    Rotation,
    find_rotation,
    guess_rotated_side,
)

PORTION = 32
SMALLEST, LARGEST = 4, 32
SURE, PARTLY = 0.7, 0.4
MOST_VALUES = 4096
NOTHING = "nothing"
VALUES_ARE_NOT_BYTES = (
    "values are not bytes, so blocks under one rotation are assumed: scalar products of blocks are "
    "kept, the smoothest pictures are chosen; attacks on single values do not apply"
)


def attack_rotated(
    folder: CiphertextFolder,
    images: PixelArray,
    patch: int | None,
    target: Path,
    progress: Progress,
) -> FolderAttack:
    """Attack float ciphertexts (n, h, w, c), of which ``images`` are learnt from.

    ``patch``: guessed where None; unknown where that cannot be. Raises DataError where blocks are
    too large.
    """
    height, width, channels = images.shape[1:]
    sides = [side for side in candidates(height, width) if SMALLEST <= side <= LARGEST]
    guess = guess_rotated_side(images, sides)
    if patch is None and guess is None:
        return _no_blocks(target, channels, len(folder.names), (height, width))
    side = patch if patch is not None or guess is None else guess[0]
    assert side is not None
    _check(side, channels)
    progress("looking for the rotation", 0, 1)
    rotation = find_rotation(images, side)
    sureness = sureness_of(rotation, guess)
    attack = FolderAttack(
        out=target,
        patch=side,
        guessed=patch is None,
        channels=channels,
        keys="one for all images",
        sureness=sureness,
        found=NOTHING if sureness is Sureness.NOTHING else "blocks rotated, in place",
        evidence={
            "agreement_of_halves": rotation.agreement,
            "bits_saved_a_value": 0.0 if guess is None else guess[1],
        },
    )
    attack.scrambled = None if sureness is Sureness.NOTHING else True
    for start in range(0, len(folder.names), PORTION):
        progress("writing pictures", start, len(folder.names))
        portion = folder.names[start : start + PORTION]
        pictures = rotation.pictures(folder.read(portion))
        if sureness is not Sureness.NOTHING:
            attack.each += judged(pictures, side, sureness)
        attack.write(portion, pictures)
    if attack.each:
        attack.sureness = overall(attack.each, sureness)
    attack.lines = _told(attack, rotation, guess)
    attack.write_report()
    return attack


def sureness_of(rotation: Rotation, guess: tuple[int, float] | None) -> Sureness:
    """Judge by the blocks' own account of their side, and by two halves of the images.

    Without an account (too few images) nothing is sure; blocks larger than they look are never.
    """
    if guess is None or rotation.side % guess[0]:
        return Sureness.NOTHING
    if rotation.agreement >= SURE and rotation.side == guess[0]:
        return Sureness.SURE
    return Sureness.PARTLY if rotation.agreement >= PARTLY else Sureness.NOTHING


def _no_blocks(target: Path, channels: int, count: int, size: tuple[int, int]) -> FolderAttack:
    """Report arrays in which no blocks under one rotation show: nothing is known of them."""
    attack = FolderAttack(
        out=target,
        patch=None,
        guessed=True,
        channels=channels,
        keys="none found",
        sureness=Sureness.NOTHING,
        found=NOTHING,
        evidence={},
    )
    attack.lines = [
        f"unknown: {count} arrays; no blocks of {SMALLEST} to {LARGEST} pixels show in these "
        f"arrays of {size[0]} x {size[1]}: too few, or no one rotation of blocks",
        "pass the width of the blocks with --patch, or add images",
        VALUES_ARE_NOT_BYTES,
        NO_EVIDENCE,
    ]
    attack.write_report()
    return attack


def _check(side: int, channels: int) -> None:
    if side * side * channels > MOST_VALUES:
        raise DataError(
            f"blocks of {side} x {side} x {channels} have more than {MOST_VALUES} values, too many "
            "to find a rotation of",
            fix="pass a smaller width with --patch",
        )


def _told(attack: FolderAttack, rotation: Rotation, guess: tuple[int, float] | None) -> list[str]:
    how = "guessed from how similar blocks are" if attack.guessed else "given"
    found = f", keys {attack.keys}: {attack.found}" if attack.found != NOTHING else ""
    lines = [
        f"{attack.sureness.value}: {len(attack.written)} arrays, blocks of {attack.patch} pixels "
        f"({how}){found}{pictures_counted(attack)}",
        VALUES_ARE_NOT_BYTES,
        f"pictures found from two halves of the images agree by {rotation.agreement:.2f} beyond "
        "block means (chance 0; unknown for one image)",
    ]
    if guess is not None and guess[0] != attack.patch:
        lines.append(f"blocks look like {guess[0]} pixels: try --patch {guess[0]}")
    if attack.sureness is Sureness.NOTHING:
        lines.append(NO_EVIDENCE)
    return [*lines, f"pictures: {attack.out}, grey"]
