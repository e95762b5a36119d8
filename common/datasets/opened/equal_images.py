"""Which images of an open dataset are equal, and how each looks, whatever its family.

While the images have at most ``MAX_DECODED_PIXELS`` pixels together, as estimated from a few of
them, each is decoded once, for the key of its pixels as stored and for its look. Larger sets are
compared as their family can without decoding (``KnowsCopies``), or not at all, which is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress
from he_compare.common.datasets.opened.fingerprint import native_pixels
from he_compare.common.datasets.opened.splits import join_twins
from he_compare.common.datasets.reading.copies import MAX_DECODED_PIXELS, KnownCopies
from he_compare.common.datasets.stored.image_store import (
    DecodedImages,
    StoreWish,
    decoded_images,
)
from he_compare.common.datasets.stored.one_pass import Wanted, look_through, portions_of
from he_compare.common.errors import DataError
from he_compare.common.types import Float32Array, Split, UInt8Array

SAMPLED = 8
MAX_LOOKS = 150_000
# Under the rule "drop" a copy is not there to be chosen, so that no choice can come before this.
WHY_ALL = (
    "all images of the data set are compared with each other to find copies in several splits; "
    "limits choose among them afterwards"
)


@runtime_checkable
class KnowsCopies(Protocol):
    """A dataset that can find its copies without decoding all of it: an optional part."""

    def known_copies(self) -> KnownCopies:
        """Return a key for each id of which a copy is known; a rule of '' where none was sought."""
        ...


@runtime_checkable
class NamesCopies(Protocol):
    """A dataset whose family says which images are copies: keys by id, and by what it says so."""

    twins: Mapping[str, str]
    compared: str


@dataclass(frozen=True)
class EqualImages:
    """``keys``: by split one per image, equal for equal images. ``rule``: how they were compared.

    ``not_compared``: why images were not compared at all, then keys are all different.
    ``unreadable``: images that could not be decoded; each has a key of its own.
    ``looks``: by split float32 (n, 16, 16) as of ``looks.frequencies_of``; ``without_looks``: why
    there are none. ``decoded``: the images in the store, None where they were not kept.
    """

    keys: Mapping[Split, list[str]]
    rule: str
    not_compared: str = ""
    unreadable: int = 0
    looks: Mapping[Split, Float32Array] = field(default_factory=dict)
    without_looks: str = ""
    decoded: DecodedImages | None = None


def find_equal(
    dataset: OpenDataset, progress: Progress | None = None, wish: StoreWish | None = None
) -> EqualImages:
    """Compare all images of a dataset. An image that cannot be decoded equals no other.

    ``wish``: where the images are kept that are decoded for this; None for nowhere.
    """
    estimate = estimated_pixels(dataset)
    if estimate > MAX_DECODED_PIXELS:
        known = dataset.known_copies() if isinstance(dataset, KnowsCopies) else KnownCopies({}, "")
        many = f"{estimate / 1e6:,.0f} megapixels are too many to decode"
        keys = {
            split: [known.keys.get(name, f"{split} {name}") for name in dataset.index(split).ids]
            for split in Split
        }
        if known.rule:
            rule = known.rule.partition(", because")[0]
            return EqualImages(keys, f"{rule}; {many}", without_looks=many)
        return EqualImages(keys, "", many, without_looks=many)
    count = sum(len(dataset.index(split).ids) for split in Split)
    without_looks = f"{count:,} images are more than {MAX_LOOKS:,}" if count > MAX_LOOKS else ""
    told = _decoded(dataset, not without_looks, wish, progress)
    digests = told.keys
    unreadable = sum(not native for natives in told.natives.values() for native in natives)
    rule = "pixels"
    if isinstance(dataset, NamesCopies) and dataset.compared not in ("", rule):
        # What the family calls copies may differ as pictures: in the window, or in compression.
        digests = _joined(dataset, digests, dataset.twins)
        if not dataset.compared.startswith("file bytes"):
            rule = f"{rule} and by {dataset.compared}"
    return EqualImages(
        digests, rule, "", unreadable, told.looks, without_looks, decoded=told.decoded
    )


def estimated_pixels(dataset: OpenDataset) -> int:
    """Return about how many pixels the images have together, from a few of each split."""
    total = 0
    for split in Split:
        count = len(dataset.index(split).ids)
        chosen = np.unique(np.linspace(0, count - 1, SAMPLED).round().astype(np.int64))
        areas = [
            image.shape[0] * image.shape[1]
            for position in chosen
            for image in _readable(dataset, split, position)
        ]
        total += round(count * float(np.mean(areas))) if areas else 0
    return total


def _readable(dataset: OpenDataset, split: Split, position: int) -> list[UInt8Array]:
    try:
        return list(native_pixels(dataset, split, np.array([position], dtype=np.int64)))
    except DataError:
        return []


@dataclass(frozen=True)
class _Told:
    """What a pass over all images told: digests of pixels as stored, and looks where wanted."""

    natives: Mapping[Split, list[str]]
    looks: Mapping[Split, Float32Array]
    decoded: DecodedImages | None = None

    @property
    def keys(self) -> dict[Split, list[str]]:
        """A key for each image; one that cannot be decoded equals no other."""
        return {
            split: [native or f"unreadable {split} {i}" for i, native in enumerate(natives)]
            for split, natives in self.natives.items()
        }


def _decoded(
    dataset: OpenDataset, looks: bool, wish: StoreWish | None, progress: Progress | None
) -> _Told:
    """Decode every image once, into the store where one is wished for."""
    all_of = {split: np.arange(len(dataset.index(split).ids), dtype=np.int64) for split in Split}
    if wish is not None:
        decoded = decoded_images(dataset, all_of, wish, looks=looks, progress=progress, why=WHY_ALL)
        natives = {split: decoded.natives(split, held) for split, held in all_of.items()}
        found = {split: decoded.looks(split, held) for split, held in all_of.items() if looks}
        return _Told(natives, found, decoded)
    portions = [one for split in Split for one in portions_of(split, all_of[split])]
    seen = look_through(dataset, portions, Wanted(None, looks, sources=False), progress)
    by_split = {split: list(islice(seen, len(held))) for split, held in all_of.items()}
    natives = {split: [one.native.hex() for one in held] for split, held in by_split.items()}
    drawn = {
        split: np.array([one.look for one in held], dtype=np.float32)
        for split, held in by_split.items()
        if looks
    }
    return _Told(natives, drawn)


def _joined(
    dataset: OpenDataset, digests: Mapping[Split, list[str]], twins: Mapping[str, str]
) -> dict[Split, list[str]]:
    """Let images be equal that have equal pixels or are copies as their family knows them."""
    flat = [key for split in Split for key in digests[split]]
    ties = [
        twins.get(name, f"{split} {name}") for split in Split for name in dataset.index(split).ids
    ]
    joined = iter(join_twins(flat, ties))
    return {split: [next(joined) for _ in digests[split]] for split in Split}
