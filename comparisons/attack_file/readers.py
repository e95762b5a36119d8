"""The ways to read scrambled bytes, tried in turn on what a folder shows.

Each reader looks for one kind of scrambling and brings its own evidence of how sure it is. A new
one is a function and a line in ``READERS``. None of them knows the cipher: what a reader finds in
ciphertexts that were made in another way is nothing, and nothing is what it then says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from he_compare.common.block_solving.reconstruct import SEAMLESS, TRACE, Sureness, reconstruct
from he_compare.common.block_solving.tiles import cut, join
from he_compare.common.types import UInt8Array
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
    FromHalves,
    read_moments,
    read_own_maps,
)
from he_compare.comparisons.attack_file.reading_cases import (
    Attempt,
    Case,
    Reader,
    Reading,
    asks_blocks,
    asks_blocks_and_several,
    asks_nothing,
    asks_public,
    asks_small_blocks_and_several,
)
from he_compare.comparisons.attack_file.reconstruction_words import (
    NOT_SCRAMBLED,
    evidence_of,
    found_words,
    in_place,
    reading_of,
    untouched,
)
from he_compare.comparisons.attacks.tools.nibbles import HalvesOrder, find_halves_order
from he_compare.comparisons.attacks.tools.value_tables import SMOOTH_TABLE, find_tables

ONE_FOR_ALL, OWN_KEYS, NO_KEY = "one for all images", "one for each image", "none needed"
MOVED = "; blocks moved"
ALONE = 3
PLAIN = Alone(Sureness.SURE, NOT_SCRAMBLED, scrambled=False)
UNREAD = Alone(Sureness.NOTHING, "nothing", scrambled=False)
WHOLE_PICTURES = (
    "turning, mirroring, negating or shifting whole pictures, and maps of values that keep "
    "neighbours alike, such as v ^ 128 or a smooth field added modulo 256"
)


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

    return reading_of(solved, ONE_FOR_ALL, pictures)


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

    found = "4-bit halves of values moved inside blocks" + ("" if in_place(solved) else MOVED)
    evidence = {**evidence_of(solved), "correlation_that_placed_low_halves": order.sure}
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
        alone = [Alone(one.sureness, found_words(one), not untouched(one)) for one in solved]
        return cast(UInt8Array, found), alone

    return reading_of(best, OWN_KEYS, pictures)


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


READERS: tuple[Reader, ...] = (
    Reader("as they are", "no scrambling at all", _as_they_are, asks_nothing),
    Reader(
        "one key",
        "blocks moved, turned or negated; whole values moved or negated inside blocks, under one "
        "key for all images",
        _under_one_key,
        asks_blocks,
    ),
    Reader(
        "folding",
        "values negated where they are, under any key",
        _negated_in_place,
        asks_nothing,
    ),
    Reader(
        "nibble histories",
        "4-bit halves moved or negated inside blocks, blocks moved, under one key for all images",
        _halves_moved,
        asks_blocks,
    ),
    Reader(
        "substitution",
        "values replaced through a table where they are, under one key for all images",
        _substituted,
        asks_blocks,
    ),
    Reader(
        "a key for each image",
        "blocks moved, turned or negated; whole values moved or negated inside blocks, under a "
        "key for each image",
        _under_own_keys,
        asks_blocks_and_several,
    ),
    Reader(
        "nibble histories for each image",
        "4-bit halves moved or negated inside blocks, blocks moved, under a key for each image",
        _halves_moved_one_by_one,
        asks_small_blocks_and_several,
    ),
    Reader(
        "substitution for each image",
        "values replaced through a table where they are, under a key for each image",
        _substituted_one_by_one,
        asks_small_blocks_and_several,
    ),
    Reader(
        "a key for each block",
        "values or 4-bit halves moved or negated inside each block by a key of its own, the same "
        "keys for all images",
        _own_maps,
        asks_public,
    ),
    Reader(
        "moments",
        "all blocks mixed by one linear map, blocks moved, under one key for all images",
        _moments,
        asks_public,
    ),
)
# What no reader of this command looks for: it needs more than a folder of ciphertexts.
NOT_LOOKED_FOR = (
    "anything from known pairs of picture and ciphertext, or from an encryption oracle "
    "(`compare audit run`)",
    "learned attacks (`compare audit run --budget full`)",
    WHOLE_PICTURES,
)
