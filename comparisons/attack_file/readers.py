"""The ways to read scrambled bytes, tried in turn on what a folder shows.

Each reader looks for one kind of scrambling and brings its own evidence of how sure it is. A new
one is a function and a line in ``READERS``. None of them knows the cipher: what a reader finds in
ciphertexts that were made in another way is nothing, and nothing is what it then says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from he_compare.common.types import IntArray, UInt8Array
from he_compare.comparisons.attack_file.judging import Alone, plain_alone
from he_compare.comparisons.attack_file.near_copies import with_equal_copies
from he_compare.comparisons.attack_file.plain import (
    CLEARLY,
    FAINT_BLOCKS,
    FOLDED,
    HARDLY,
    SEAMLESS_AS_IT_IS,
    UNFOLDED,
    at_borders,
    folded_pictures,
    looks_plain,
    rise,
)
from he_compare.comparisons.attack_file.public_pictures import (
    FEWEST_WITH_PUBLIC,
    FromHalves,
    read_moments,
    read_own_maps,
    too_large,
)
from he_compare.comparisons.attacks.tools.correlation import BlockOrder
from he_compare.comparisons.attacks.tools.nibbles import HalvesOrder, find_halves_order
from he_compare.comparisons.attacks.tools.reconstruct import (
    SEAMLESS,
    TRACE,
    Reconstruction,
    Sureness,
    reconstruct,
)
from he_compare.comparisons.attacks.tools.tiles import cut, join
from he_compare.comparisons.attacks.tools.value_tables import SMOOTH_TABLE, find_tables

ONE_FOR_ALL, OWN_KEYS, NO_KEY = "one for all images", "one for each image", "none needed"
NOT_SCRAMBLED = (
    "no scrambling that this command looks for was found: blocks and pixels already fit best where "
    "they are"
)
MOVED = "; blocks moved"
ALONE = 3
PLAIN = Alone(Sureness.SURE, NOT_SCRAMBLED, scrambled=False)
UNREAD = Alone(Sureness.NOTHING, "nothing", scrambled=False)
NO_TURN = 0
WHOLE_PICTURES = (
    "turning, mirroring, negating or shifting whole pictures, and maps of values that keep "
    "neighbours alike, such as v ^ 128 or a smooth field added modulo 256"
)
# Values of a block up to which nibbles and tables are looked for in single images: a few seconds.
MOST_ALONE = 768
ReadPictures = Callable[[UInt8Array], tuple[UInt8Array, list[Alone]]]


@dataclass(frozen=True)
class Case:
    """What readers are shown: uint8 images (n, h, w, c) to learn from.

    ``patch``: side of the blocks, None where it is not known. ``shown``: the side that the
    images show by themselves, or None; ``share``: of variance that its places explain.
    ``jpeg``: the files are JPEG. ``public``: public pictures in the size of the images, or None;
    ``many``: more of the images where there are, for readers that use public pictures.
    """

    images: UInt8Array
    patch: int | None
    shown: int | None
    share: float = 0.0
    jpeg: bool = False
    public: UInt8Array | None = None
    many: UInt8Array | None = None


@dataclass(frozen=True)
class Reading:
    """What a reader found. ``pictures`` undoes it on images (n, h, w, c): uint8 (n, h, w), and what
    is said of each where each was solved by itself. ``scrambled``: False where nothing was.
    ``upright``: public pictures say which way up the pictures are."""

    sureness: Sureness
    found: str
    keys: str
    pictures: ReadPictures
    evidence: Mapping[str, float] = field(default_factory=dict)
    scrambled: bool = True
    upright: bool = False


@dataclass(frozen=True)
class Reader:
    """``what``: it looks for, in plain words. ``asks``: what has to be known that is not ('' where
    it can be tried)."""

    name: str
    what: str
    read: Callable[[Case], Reading | None]
    asks: Callable[[Case], str]


@dataclass(frozen=True)
class Attempt:
    """One reader on one folder. ``reading``: None where it found nothing or was not tried."""

    reader: Reader
    reading: Reading | None
    asked: str = ""


def read_in_turn(case: Case, readers: Sequence[Reader] | None = None) -> list[Attempt]:
    """Try readers until one is sure."""
    attempts = []
    for reader in READERS if readers is None else readers:
        asked = reader.asks(case)
        reading = None if asked else reader.read(case)
        attempts.append(Attempt(reader, reading, asked))
        if reading is not None and reading.sureness is Sureness.SURE:
            break
    return attempts


def best_of(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the surest attempt that found something.

    Of equals the one that public pictures confirm, then the first.
    """

    def rank(attempt: Attempt) -> tuple[int, bool]:
        assert attempt.reading is not None
        return list(Sureness).index(attempt.reading.sureness), not attempt.reading.upright

    found = [one for one in attempts if one.reading is not None]
    return min(found, key=rank, default=None)


def _nothing(case: Case) -> str:
    return ""


def _blocks(case: Case) -> str:
    return "" if case.patch is not None else "the width of the blocks (--patch)"


def _blocks_and_several(case: Case) -> str:
    return _blocks(case) or ("" if len(case.images) > 1 else "more than one image")


def _small_blocks_and_several(case: Case) -> str:
    asked = _blocks_and_several(case)
    if asked or case.patch is None:
        return asked
    values = case.patch**2 * case.images.shape[3]
    return "" if values <= MOST_ALONE else f"blocks of at most {MOST_ALONE} values"


def _public(case: Case) -> str:
    if case.patch is None:
        return _blocks(case)
    if case.public is None:
        return "public pictures of the same kind: --public FOLDER"
    images = case.images if case.many is None else case.many
    if len(images) < FEWEST_WITH_PUBLIC:
        return f"at least {FEWEST_WITH_PUBLIC} ciphertexts"
    return "smaller blocks: these are too large to compare" if too_large(images, case.patch) else ""


def _as_they_are(case: Case) -> Reading | None:
    """Pictures whose blocks do not show, or only as in a file of JPEG: nothing was scrambled.

    Each image is looked at by itself, for some may be scrambled among many that are not.
    """
    plain, grown = looks_plain(case.images, case.shown, case.share)
    if not plain and case.shown is not None:
        return None
    alone = _alone_as_they_are(case.images, case)
    if 2 * alone.count(PLAIN) <= len(alone):
        return None
    sureness = Sureness.SURE if set(alone) == {PLAIN} else Sureness.PARTLY

    def pictures(more: UInt8Array) -> tuple[UInt8Array, list[Alone]]:
        return _grey_pictures(more), _alone_as_they_are(more, case)

    evidence = {"growth_of_steps": grown}
    return Reading(sureness, NOT_SCRAMBLED, NO_KEY, pictures, evidence, scrambled=False)


def _alone_as_they_are(images: UInt8Array, case: Case) -> list[Alone]:
    plain = plain_alone(images, case.shown, case.share, jpeg=case.jpeg)
    return [PLAIN if one else UNREAD for one in plain]


def _under_one_key(case: Case) -> Reading | None:
    assert case.patch is not None
    images, patch = case.images, case.patch
    ready = with_equal_copies(images, patch) if case.jpeg else images
    solved = reconstruct(ready, patch)
    if solved.sureness is Sureness.NOTHING:
        return None

    def pictures(more: UInt8Array) -> tuple[UInt8Array, list[Alone]]:
        return solved.apply(with_equal_copies(more, patch) if case.jpeg else more), []

    return _of(solved, ONE_FOR_ALL, pictures)


def _halves_moved(case: Case) -> Reading | None:
    """Bring 4-bit halves in order first, then the blocks."""
    assert case.patch is not None
    patch = case.patch
    blocks = cut(case.images, patch)
    order = find_halves_order(blocks.reshape(-1, blocks.shape[2]))
    if order is None or order.neighbours < TRACE:
        return None
    solved = reconstruct(_halves_undone(case.images, patch, order), patch)
    if solved.sureness is Sureness.NOTHING:
        return None

    def pictures(more: UInt8Array) -> tuple[UInt8Array, list[Alone]]:
        return solved.apply(_halves_undone(more, patch, order)), []

    found = "4-bit halves of values moved inside blocks" + ("" if _in_place(solved) else MOVED)
    evidence = {**_evidence(solved), "correlation_that_placed_low_halves": order.sure}
    return Reading(solved.sureness, found, ONE_FOR_ALL, pictures, evidence)


def _halves_undone(images: UInt8Array, patch: int, order: HalvesOrder) -> UInt8Array:
    pixels = np.rint(order.undo(cut(images, patch)).mean(axis=3)).astype(np.uint8)
    return join(pixels, images.shape[1] // patch, images.shape[2] // patch, 1)


def _substituted(case: Case) -> Reading | None:
    """Values that a table replaced where they are; what comes out has to lie as in a picture."""
    assert case.patch is not None
    patch = case.patch
    tables = find_tables(case.images, patch)
    shown = tables.undo(case.images, patch)
    plain, grown = looks_plain(shown, None)
    # Means of blocks alone may look like a picture: insides and borders of blocks have to as well.
    inside = rise(shown, patch) >= CLEARLY and at_borders(shown, patch) <= SEAMLESS_AS_IT_IS
    if not plain or not inside or rise(case.images) > UNFOLDED:
        return None
    sureness = Sureness.SURE if tables.clear and tables.rough < SMOOTH_TABLE else Sureness.PARTLY
    found = "values replaced through a table, in place"
    evidence = {"growth_of_steps": grown, "roughness": tables.rough}
    return Reading(
        sureness, found, ONE_FOR_ALL, lambda more: _greys(tables.undo(more, patch)), evidence
    )


def _under_own_keys(case: Case) -> Reading | None:
    """Try a few images each by itself; the one that is surest says whether any can be read.

    What is said of the others is found when their pictures are made.
    """
    assert case.patch is not None
    patch = case.patch
    chosen = np.unique(np.linspace(0, len(case.images) - 1, ALONE).round().astype(int))
    tried = [reconstruct(case.images[i : i + 1], patch) for i in chosen]
    # One image in three fits by chance more easily than all fit, and seams are in no picture.
    shown = [one for one in tried if one.sureness is not Sureness.NOTHING and one.seams <= SEAMLESS]
    if 2 * len(shown) <= len(tried):
        return None
    best = max(shown, key=lambda one: one.neighbours + one.agreement)

    def pictures(more: UInt8Array) -> tuple[UInt8Array, list[Alone]]:
        solved = [reconstruct(image[None], patch) for image in more]
        found = np.concatenate([one.pictures for one in solved])
        alone = [Alone(one.sureness, _found(one), not _untouched(one)) for one in solved]
        return cast(UInt8Array, found), alone

    return _of(best, OWN_KEYS, pictures)


def _one_by_one(
    read: Callable[[Case], Reading | None], case: Case, least: Sureness
) -> Reading | None:
    """Read a few images each by itself as ``read`` does; the surest speaks for all.

    ``least``: how sure an image has to be to count.
    """
    order = list(Sureness).index
    chosen = np.unique(np.linspace(0, len(case.images) - 1, ALONE).round().astype(int))
    tried = [read(replace(case, images=case.images[i : i + 1])) for i in chosen]
    shown = [one for one in tried if one is not None and order(one.sureness) <= order(least)]
    if 2 * len(shown) <= len(tried):
        return None
    best = min(shown, key=lambda one: order(one.sureness))

    def pictures(more: UInt8Array) -> tuple[UInt8Array, list[Alone]]:
        found, alone = [], []
        for image in more:
            one = read(replace(case, images=image[None]))
            found.append((_greys if one is None else one.pictures)(image[None])[0])
            alone.append(UNREAD if one is None else Alone(one.sureness, one.found, True))
        return np.concatenate(found), alone

    return replace(best, keys=OWN_KEYS, pictures=pictures)


def _halves_moved_one_by_one(case: Case) -> Reading | None:
    return _one_by_one(_halves_moved, case, Sureness.PARTLY)


def _substituted_one_by_one(case: Case) -> Reading | None:
    return _one_by_one(_substituted, case, Sureness.SURE)


def _own_maps(case: Case) -> Reading | None:
    return _with_public(case, read_own_maps)


def _moments(case: Case) -> Reading | None:
    return _with_public(case, read_moments)


def _with_public(
    case: Case, read: Callable[[UInt8Array, UInt8Array, int], FromHalves | None]
) -> Reading | None:
    assert case.patch is not None and case.public is not None
    images = case.images if case.many is None else case.many
    found = read(images, case.public, case.patch)
    if found is None:
        return None
    return Reading(
        Sureness.SURE if found.sure else Sureness.PARTLY,
        found.what,
        ONE_FOR_ALL,
        lambda more: _greys(found.undo(more)),
        {"agreement_of_halves": found.agreement, "seams_held_out": found.seams},
        upright=True,
    )


def _negated_in_place(case: Case) -> Reading | None:
    """Values that were negated one by one where they are: folding brings the outlines back."""
    shown = folded_pictures(case.images)
    grown, before = rise(shown), rise(case.images)
    # Blocks that show clearly, and steps that shrink, are the trace of something else.
    if case.share > FAINT_BLOCKS or grown < max(before + FOLDED, HARDLY) or before > UNFOLDED:
        return None
    found = "values negated in place: the pictures show what v and 255 - v have in common"
    evidence = {"growth_of_steps": before, "growth_of_steps_folded": grown}
    return Reading(
        Sureness.PARTLY, found, NO_KEY, lambda more: _greys(folded_pictures(more)), evidence
    )


def _greys(images: UInt8Array) -> tuple[UInt8Array, list[Alone]]:
    return _grey_pictures(images), []


def _grey_pictures(images: UInt8Array) -> UInt8Array:
    return np.rint(images.mean(axis=3)).astype(np.uint8)


def _evidence(solved: Reconstruction) -> dict[str, float]:
    return {
        "neighbour_correlation_held_out": solved.neighbours,
        "joint_agreement_of_halves": solved.agreement,
        "seams": solved.seams,
    }


def _of(solved: Reconstruction, keys: str, pictures: ReadPictures) -> Reading:
    evidence = _evidence(solved)
    return Reading(
        solved.sureness, _found(solved), keys, pictures, evidence, scrambled=not _untouched(solved)
    )


def _untouched(solved: Reconstruction) -> bool:
    """Say whether nothing was scrambled. What is not sure is not said to be unscrambled."""
    still = solved.order is None and not solved.turned and _in_place(solved)
    return still and solved.sureness is Sureness.SURE


def _in_place(solved: Reconstruction) -> bool:
    """Say whether blocks lie where the ciphertext has them.

    Where pixels inside blocks were found in some order, or each block was turned, the whole picture
    may come out turned, and blocks with it. Where pixels lay in order, turned numbers of blocks are
    blocks that moved.
    """
    placed = _turnings(solved.placement.block)
    if solved.turned:
        return bool(placed)
    inside = {NO_TURN} if solved.order is None else _turnings(_inside(solved.order))
    return bool(placed & inside) if inside else bool(placed)


def _turnings(numbers: IntArray) -> set[int]:
    """Return which turns and mirrorings of 0, 1, 2 ... row by row a grid of numbers is."""
    still = np.arange(numbers.size).reshape(numbers.shape)
    turned = [still, still[::-1, ::-1], still[::-1], still[:, ::-1]]
    if numbers.shape[0] == numbers.shape[1]:
        turned += [one.T for one in turned]
    return {which for which, one in enumerate(turned) if np.array_equal(numbers, one)}


def _moves(order: BlockOrder) -> bool:
    """Say whether values inside blocks changed places, but for turning the whole picture."""
    return not _turnings(_inside(order))


def _inside(order: BlockOrder) -> IntArray:
    """Return which pixel of the ciphertext block each pixel of a block is, (side, side)."""
    pixels = len(order.position)
    values = order.position[:, 0] // (len(order.negated) // pixels)
    side = round(pixels**0.5)
    return values.reshape(side, side)


def _found(solved: Reconstruction) -> str:
    parts = []
    if solved.order is not None:
        negated, moved = bool(solved.order.negated.any()), _moves(solved.order)
        done = [what for what, is_so in (("moved", moved), ("negated", negated)) if is_so]
        parts.append(f"values {' and '.join(done) or 'untouched'} inside blocks")
    if solved.turned:
        parts.append("each block turned or negated on its own")
    if not _in_place(solved):
        parts.append("blocks moved")
    return "; ".join(parts) or NOT_SCRAMBLED


READERS: tuple[Reader, ...] = (
    Reader("as they are", "no scrambling at all", _as_they_are, _nothing),
    Reader(
        "one key",
        "blocks moved, turned or negated; whole values moved or negated inside blocks, under one "
        "key for all images",
        _under_one_key,
        _blocks,
    ),
    Reader(
        "folding",
        "values negated where they are, under any key",
        _negated_in_place,
        _nothing,
    ),
    Reader(
        "nibble histories",
        "4-bit halves moved or negated inside blocks, blocks moved, under one key for all images",
        _halves_moved,
        _blocks,
    ),
    Reader(
        "substitution",
        "values replaced through a table where they are, under one key for all images",
        _substituted,
        _blocks,
    ),
    Reader(
        "a key for each image",
        "blocks moved, turned or negated; whole values moved or negated inside blocks, under a "
        "key for each image",
        _under_own_keys,
        _blocks_and_several,
    ),
    Reader(
        "nibble histories for each image",
        "4-bit halves moved or negated inside blocks, blocks moved, under a key for each image",
        _halves_moved_one_by_one,
        _small_blocks_and_several,
    ),
    Reader(
        "substitution for each image",
        "values replaced through a table where they are, under a key for each image",
        _substituted_one_by_one,
        _small_blocks_and_several,
    ),
    Reader(
        "a key for each block",
        "values or 4-bit halves moved or negated inside each block by a key of its own, the same "
        "keys for all images",
        _own_maps,
        _public,
    ),
    Reader(
        "moments",
        "all blocks mixed by one linear map, blocks moved, under one key for all images",
        _moments,
        _public,
    ),
)
# What no reader of this command looks for: it needs more than a folder of ciphertexts.
NOT_LOOKED_FOR = (
    "anything from known pairs of picture and ciphertext, or from an encryption oracle "
    "(`compare audit run`)",
    "learned attacks (`compare audit run --budget full`)",
    WHOLE_PICTURES,
)
