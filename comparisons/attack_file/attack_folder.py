"""`compare audit attack-file`: reconstructs scrambled images without a key or an original.

The folder holds 8-bit PNG, JPEG or BMP of one size, or npz files, as `compare encrypt` writes them.
The side of the blocks is guessed from some of them, then readers are tried in turn: each learns one
kind of scrambling from some images and undoes it on all. Numbers that are no bytes are taken for
blocks under one rotation. What finds nothing is no evidence of safety, and the report says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from he_compare.common.block_solving.reconstruct import Sureness
from he_compare.common.contracts import Progress
from he_compare.common.errors import DataError, UsageError
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attack_file.judging import Alone, judged, overall
from he_compare.comparisons.attack_file.public_pictures import read_public
from he_compare.comparisons.attack_file.readers import NO_KEY, read_in_turn
from he_compare.comparisons.attack_file.reading import CiphertextFolder, list_ciphertexts
from he_compare.comparisons.attack_file.reading_cases import Attempt, Case, best_of
from he_compare.comparisons.attack_file.reconstruction_words import NOT_SCRAMBLED
from he_compare.comparisons.attack_file.rotated import attack_rotated
from he_compare.comparisons.attack_file.telling import Told, tell
from he_compare.comparisons.attack_file.writing import FolderAttack, stem
from he_compare.comparisons.attacks.tools.block_size import (
    FEWEST_BLOCKS,
    Guess,
    guess_block_size,
)

LEARNT_FROM = 50
MOST_WITH_PUBLIC, MOST_VALUES = 300, 30_000_000
PORTION = 32


def attack_folder(
    folder: Path,
    patch: int | None,
    out: Path | None,
    progress: Progress,
    public: str | None = None,
) -> FolderAttack:
    """Attack the images of a folder; write pictures of the same stems and ``attack.json``.

    ``patch``: side of the blocks, guessed where None. ``out``: new or empty folder, FOLDER.attacked
    where None. ``public``: folder of public pictures of the same kind. Raises UsageError or
    DataError in one line on anything that cannot be attacked.
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
        if public is not None:
            raise UsageError(
                "public pictures are used on bytes only, and these values are no bytes",
                fix="leave out --public",
            )
        return attack_rotated(found, images, patch, target, progress)
    return _attack_bytes(found, cast(UInt8Array, images), patch, target, progress, public)


def _attack_bytes(
    folder: CiphertextFolder,
    images: UInt8Array,
    patch: int | None,
    target: Path,
    progress: Progress,
    public: str | None,
) -> FolderAttack:
    channels = 1 if _is_grey(images) else 3
    images = images[..., :channels]
    jpegs = folder.jpegs()
    progress("looking for blocks", 0, 1)
    guess = guess_block_size(images, jpeg=jpegs > 0)
    side = patch if patch is not None else guess.patch
    if side is not None:
        _check_blocks(side, len(images), *images.shape[1:3])
    case = Case(images, side, guess.patch, guess.share, jpegs > 0)
    known = None
    if public is not None:
        progress("reading public pictures", 0, 1)
        known = read_public(public, *images.shape[1:])
        case = replace(case, public=known.images, many=_many(folder, images))
    progress("looking for the key", 0, 1)
    attempts = read_in_turn(case)
    best = best_of(attempts)
    attack = _begun(target, side, patch, channels, guess, attempts, best)
    attack.jpegs = jpegs
    attack.public = known
    if best is not None:
        _write(folder, best, attack, progress)
    attack.lines = tell(attack, Told(images.shape[1:3], len(folder.names), patch, guess, attempts))
    attack.write_report()
    return attack


def _many(folder: CiphertextFolder, images: UInt8Array) -> UInt8Array:
    """Read as many images as readers with public pictures use, not fewer than ``images``."""
    most = min(MOST_WITH_PUBLIC, MOST_VALUES // images[0].size)
    if most <= len(images) or len(folder.names) == len(images):
        return images
    names = [folder.names[i] for i in _spread(len(folder.names), most)]
    return cast(UInt8Array, folder.read(names))[..., : images.shape[3]]


def _begun(
    target: Path,
    side: int | None,
    patch: int | None,
    channels: int,
    guess: Guess,
    attempts: Sequence[Attempt],
    best: Attempt | None,
) -> FolderAttack:
    reading = None if best is None else best.reading
    attack = FolderAttack(
        out=target,
        patch=side,
        guessed=patch is None,
        channels=channels,
        keys=NO_KEY if reading is None else reading.keys,
        sureness=Sureness.NOTHING if reading is None else reading.sureness,
        found="nothing" if reading is None else reading.found,
        evidence={} if reading is None else reading.evidence,
        guess=guess,
    )
    attack.scrambled = None if reading is None else reading.scrambled
    attack.upright = reading is not None and reading.upright
    attack.tried = [
        {
            "reader": one.reader.name,
            "looks_for": one.reader.what,
            "result": f"not tried: needs {one.asked}"
            if one.asked
            else Sureness.NOTHING.value
            if one.reading is None
            else one.reading.sureness.value,
        }
        for one in attempts
    ]
    return attack


def _write(
    folder: CiphertextFolder, best: Attempt, attack: FolderAttack, progress: Progress
) -> None:
    assert best.reading is not None
    names, reading = folder.names, best.reading
    alone: list[Alone] = []
    for start in range(0, len(names), PORTION):
        progress("writing pictures", start, len(names))
        portion = names[start : start + PORTION]
        ciphertexts = cast(UInt8Array, folder.read(portion))[..., : attack.channels]
        pictures, said = reading.pictures(ciphertexts)
        alone += said
        side = attack.patch if reading.keys != NO_KEY else None
        attack.each += (
            [one.sureness for one in said] if said else judged(pictures, side, reading.sureness)
        )
        attack.write(portion, pictures)
    attack.sureness = overall(attack.each, None if alone else reading.sureness)
    if alone:
        _account(attack, alone)


def _account(attack: FolderAttack, alone: Sequence[Alone]) -> None:
    """Say of the folder what was found in its images, each of which was solved by itself."""
    scrambled = [one for one in alone if one.scrambled]
    attack.unscrambled = sum(one.sureness is Sureness.SURE and not one.scrambled for one in alone)
    attack.scrambled = bool(scrambled)
    told = Counter(one.found for one in scrambled if one.found != NOT_SCRAMBLED)
    if told:
        attack.found = told.most_common(1)[0][0]
    elif not scrambled and attack.sureness is not Sureness.SURE:
        attack.found = f"in those that are sure, {attack.found}"


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
