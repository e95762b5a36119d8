"""What readers of scrambled bytes are shown, what they say, and what has to be known first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from he_compare.common.block_solving.reconstruct import Sureness
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attack_file.judging import Alone
from he_compare.comparisons.attack_file.public_pictures import FEWEST_WITH_PUBLIC, too_large

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


def best_of(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the surest attempt that found something.

    Of equals the one that public pictures confirm, then the first.
    """

    def rank(attempt: Attempt) -> tuple[int, bool]:
        assert attempt.reading is not None
        return list(Sureness).index(attempt.reading.sureness), not attempt.reading.upright

    found = [one for one in attempts if one.reading is not None]
    return min(found, key=rank, default=None)


def asks_nothing(case: Case) -> str:
    """Ask for nothing: it can be tried on any images."""
    return ""


def asks_blocks(case: Case) -> str:
    """Ask for the width of the blocks."""
    return "" if case.patch is not None else "the width of the blocks (--patch)"


def asks_blocks_and_several(case: Case) -> str:
    """Ask for the width of the blocks and more than one image."""
    return asks_blocks(case) or ("" if len(case.images) > 1 else "more than one image")


def asks_small_blocks_and_several(case: Case) -> str:
    """Ask for the same with blocks that are searched in seconds."""
    asked = asks_blocks_and_several(case)
    if asked or case.patch is None:
        return asked
    values = case.patch**2 * case.images.shape[3]
    return "" if values <= MOST_ALONE else f"blocks of at most {MOST_ALONE} values"


def asks_public(case: Case) -> str:
    """Ask for public pictures, and images enough to compare with them."""
    if case.patch is None:
        return asks_blocks(case)
    if case.public is None:
        return "public pictures of the same kind: --public FOLDER"
    images = case.images if case.many is None else case.many
    if len(images) < FEWEST_WITH_PUBLIC:
        return f"at least {FEWEST_WITH_PUBLIC} ciphertexts"
    return "smaller blocks: these are too large to compare" if too_large(images, case.patch) else ""
