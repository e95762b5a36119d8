"""`compare audit attack-file`: reconstructs scrambled images without a key or an original.

The folder holds 8-bit PNG, JPEG or BMP of one size, as `compare encrypt` writes them. The
scrambling is learnt from some of them and undone on all; where no key is common to them, each image
is tried by itself.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from common.contracts import Progress
from common.datasets.foldertree import IGNORED
from common.datasets.images import SUFFIXES, as_rgb, image_size, open_image
from common.errors import DataError, UsageError
from common.store import write_atomic
from common.types import UInt8Array
from comparisons.attacks.artefacts import png
from comparisons.attacks.solvers.block_size import (
    FEWEST_BLOCKS,
    LARGEST,
    SMALLEST,
    Guess,
    guess_block_size,
)
from comparisons.attacks.solvers.reconstruct import Reconstruction, Sureness, reconstruct

LEARNT_FROM = 50
GUESSED_FROM = 10
PORTION = 32
REPORT = "attack.json"
MIXED_COLOURS = (
    "values inside blocks do correlate: colours mixed by the key are not told apart by this "
    "solver, which is no sign of strength"
)


@dataclass
class FolderAttack:
    """What came out. ``neighbours`` and ``agreement`` are about the images learnt from.

    ``sureness``: of one key for all, or of the least sure image where each has its own; then
    ``each`` has one for every picture. ``written``: pictures, relative to ``out``. ``lines``: what
    to tell the user.
    """

    out: Path
    patch: int
    guessed: bool
    channels: int
    keys: str
    sureness: Sureness
    neighbours: float
    agreement: float
    found: str
    written: list[str] = field(default_factory=list)
    each: list[Sureness] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def attack_folder(
    folder: Path, patch: int | None, out: Path | None, progress: Progress
) -> FolderAttack:
    """Attack the images of a folder; write pictures of the same stems and ``attack.json``.

    ``patch``: side of the blocks, guessed where None. ``out``: new or empty folder, FOLDER.attacked
    where None. Raises UsageError or DataError in one line on anything that cannot be attacked.
    """
    names = _listed(folder)
    target = _target(folder, out, names)
    height, width = _common_size(folder, names)
    if patch is not None:
        _check_patch(patch, height, width)
    chosen = [names[i] for i in _spread(len(names), LEARNT_FROM)]
    progress("reading images", 0, 1)
    images = _read(folder, chosen)
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
        neighbours=best.neighbours,
        agreement=best.agreement,
        found=_found(best),
    )
    learnt = None if alone is not None else together
    for start in range(0, len(names), PORTION):
        progress("writing pictures", start, len(names))
        portion = names[start : start + PORTION]
        ciphertexts = _read(folder, portion)[..., :channels]
        pictures, sureness = _pictures(ciphertexts, attack.patch, learnt)
        attack.each += sureness
        _write(attack, portion, pictures)
    if attack.each:  # every image was solved by itself: no more is sure than the least sure of them
        attack.sureness = max(attack.each, key=list(Sureness).index)
    _write_report(attack)
    attack.lines = _told(attack, guess, len(names))
    return attack


def _listed(folder: Path) -> list[str]:
    """Return images below the folder, relative, in order of name."""
    if not folder.is_dir():
        state = "no folder" if folder.exists() else "not there"
        raise UsageError(f"{folder} is {state}", fix="name a folder of scrambled images")
    names, arrays = [], []
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            relative = (Path(path) / name).relative_to(folder).as_posix()
            ending = PurePosixPath(name).suffix.lower()
            if name.startswith(".") or name in IGNORED:
                continue
            if ending in SUFFIXES:
                names.append(relative)
            elif ending == ".npz":
                arrays.append(relative)
    if arrays:
        raise DataError(
            f"{folder} holds {len(names) or 'no'} pictures and {len(arrays)} arrays of numbers "
            f"({arrays[0]})",
            fix="this attack reads 8-bit pictures; for other ciphertexts: `compare audit run`",
        )
    if not names:
        raise DataError(f"{folder} has no {', '.join(sorted(SUFFIXES))} images", fix="add images")
    return sorted(names)


def _target(folder: Path, out: Path | None, names: Sequence[str]) -> Path:
    target = out if out is not None else folder.with_name(folder.resolve().name + ".attacked")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not empty", fix="name a new or empty folder with --out")
    if target.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{target} lies in {folder}", fix="name a folder beside it with --out")
    stems = Counter(_stem(name) for name in names)
    twice = [stem for stem, count in stems.items() if count > 1]
    if twice:
        raise DataError(f"{twice[0]!r} is the name of two images", fix="rename one of them")
    return target


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _common_size(folder: Path, names: Sequence[str]) -> tuple[int, int]:
    """Return (height, width) of all images, from their headers."""
    sizes: dict[tuple[int, int], list[str]] = {}
    for name in names:
        sizes.setdefault(image_size(folder / name, name), []).append(name)
    if len(sizes) > 1:
        (first, ones), (second, others), *_ = sorted(sizes.items(), key=lambda s: -len(s[1]))
        raise DataError(
            f"images have {len(sizes)} sizes: {first[0]} x {first[1]} ({len(ones)} images) and "
            f"{second[0]} x {second[1]} ({others[0]}); keys depend on the size",
            fix="put each size into a folder of its own",
        )
    width, height = next(iter(sizes))
    return height, width


def _check_patch(patch: int, height: int, width: int) -> None:
    if patch < 2 or height % patch or width % patch:
        fitting = [s for s in range(2, min(height, width)) if height % s == 0 and width % s == 0]
        raise UsageError(
            f"patch {patch} does not divide images of {height} x {width}",
            fix="patches that do: " + ", ".join(map(str, fitting)) if fitting else "no patch does",
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


def _read(folder: Path, names: Sequence[str]) -> UInt8Array:
    """Decode images to uint8 (n, h, w, 3)."""
    return np.stack([as_rgb(open_image(folder / name, name)) for name in names])


def _is_grey(images: UInt8Array) -> bool:
    return bool((images == images[..., :1]).all())


def _guessed(images: UInt8Array) -> Guess:
    guess = guess_block_size(images[_spread(len(images), GUESSED_FROM)])
    if guess is None:
        height, width = images.shape[1:3]
        raise UsageError(
            f"no block of {SMALLEST} to {LARGEST} pixels tiles images of {height} x {width}",
            fix="name the side of the blocks with --patch",
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
        parts.append("blocks turned or negated one by one")
    if not best.in_place:
        parts.append("blocks moved")
    return "; ".join(parts) or "no scrambling: blocks and pixels lie where they fit best"


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


def _write(attack: FolderAttack, names: Sequence[str], pictures: UInt8Array) -> None:
    for name, picture in zip(names, pictures, strict=True):
        written = f"{_stem(name)}.png"
        (attack.out / written).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(attack.out / written, png(picture[:, :, None]))
        attack.written.append(written)


def _write_report(attack: FolderAttack) -> None:
    report = {
        "patch": attack.patch,
        "patch_guessed": attack.guessed,
        "keys": attack.keys,
        "sureness": attack.sureness.value,
        "found": attack.found,
        "neighbour_correlation_held_out": round(attack.neighbours, 4),
        "joint_agreement_of_halves": round(attack.agreement, 4),
        "pictures": attack.written,
    }
    if attack.each:
        names = (one.value for one in attack.each)
        report["sureness_of_each"] = dict(zip(attack.written, names, strict=True))
    write_atomic(attack.out / REPORT, (json.dumps(report, indent=1) + "\n").encode())


def _told(attack: FolderAttack, guess: Guess | None, count: int) -> list[str]:
    how = "given"
    if guess is not None:
        how = f"guessed from {guess.trace}" if guess.trace else "guessed, without a trace of blocks"
    looked_at = f"{attack.sureness.value}: {count} images, blocks of {attack.patch} pixels ({how})"
    inside = (
        f"correlation of neighbours inside blocks, held out: {attack.neighbours:.2f} (chance 0)"
    )
    if attack.sureness is Sureness.NOTHING:
        told = [looked_at, inside, f"pictures: {attack.out}, which should show nothing"]
        if guess is not None and guess.trace and attack.channels > 1:
            told.insert(1, MIXED_COLOURS)
        return told
    each = Counter(one.value for one in attack.each)
    counted = ", ".join(f"{count} {name}" for name, count in each.most_common())
    return [
        f"{looked_at}, keys {attack.keys}: {attack.found}" + (f" ({counted})" if counted else ""),
        f"{inside}; halves of the evidence agree on {attack.agreement:.0%} of the joints",
        f"pictures: {attack.out}, up to the 8 symmetries of the square and a global negative",
    ]
