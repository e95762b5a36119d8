"""Which images of an open dataset are equal, and how each looks, whatever its family.

While the images have at most ``MAX_DECODED_PIXELS`` pixels together, as estimated from a few of
them, each is decoded once, for the key of its pixels as stored and for its look. Larger sets are
compared as their family can without decoding (``KnowsCopies``), or not at all, which is said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress
from he_compare.common.datasets.opened.fingerprint import native_pixels
from he_compare.common.datasets.opened.looks import FREQUENCIES, frequencies_of
from he_compare.common.datasets.opened.splits import join_twins
from he_compare.common.datasets.reading.copies import MAX_DECODED_PIXELS, KnownCopies
from he_compare.common.errors import DataError
from he_compare.common.types import Float32Array, IntArray, Split, UInt8Array

SAMPLED = 8
MAX_LOOKS = 150_000
PER_REQUEST = 64
NO_LOOK = np.zeros((FREQUENCIES, FREQUENCIES), dtype=np.float32)


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
    there are none.
    """

    keys: Mapping[Split, list[str]]
    rule: str
    not_compared: str = ""
    unreadable: int = 0
    looks: Mapping[Split, Float32Array] = field(default_factory=dict)
    without_looks: str = ""


def find_equal(dataset: OpenDataset, progress: Progress | None = None) -> EqualImages:
    """Compare all images of a dataset. An image that cannot be decoded equals no other."""
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
    seen = _Seen(dataset)
    for split in Split:
        seen.add(split, progress)
    digests = seen.keys
    unreadable = sum(key.startswith("unreadable") for keys in digests.values() for key in keys)
    rule = "pixels"
    if isinstance(dataset, NamesCopies) and dataset.compared not in ("", rule):
        # What the family calls copies may differ as pictures: in the window, or in compression.
        digests = _joined(dataset, digests, dataset.twins)
        if not dataset.compared.startswith("file bytes"):
            rule = f"{rule} and by {dataset.compared}"
    looks = {split: np.array(found, dtype=np.float32) for split, found in seen.looks.items()}
    return EqualImages(digests, rule, "", unreadable, looks, seen.without_looks)


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


class _Seen:
    """What decoding every image once tells."""

    def __init__(self, dataset: OpenDataset) -> None:
        self.dataset = dataset
        self.keys: dict[Split, list[str]] = {split: [] for split in Split}
        self.looks: dict[Split, list[Float32Array]] = {}
        self.without_looks = ""
        count = sum(len(dataset.index(split).ids) for split in Split)
        if count > MAX_LOOKS:
            self.without_looks = f"{count:,} images are more than {MAX_LOOKS:,}"

    def add(self, split: Split, progress: Progress | None) -> None:
        count = len(self.dataset.index(split).ids)
        for start in range(0, count, PER_REQUEST):
            portion = np.arange(start, min(start + PER_REQUEST, count), dtype=np.int64)
            self._add_portion(split, portion)
            if progress is not None:
                progress(f"comparing {split} images", int(portion[-1]) + 1, count)

    def _add_portion(self, split: Split, portion: IntArray) -> None:
        """Add images in order; a portion with one that cannot be decoded is halved."""
        try:
            images = list(native_pixels(self.dataset, split, portion))
        except DataError:
            if len(portion) > 1:
                for half in np.array_split(portion, 2):
                    self._add_portion(split, half)
                return
            self.keys[split].append(f"unreadable {split} {int(portion[0])}")
            self._add_look(split, NO_LOOK)
            return
        for image in images:
            about = f"{image.shape}".encode()
            self.keys[split].append(hashlib.sha256(about + image.tobytes()).hexdigest())
            self._add_look(split, NO_LOOK if self.without_looks else frequencies_of(image))

    def _add_look(self, split: Split, look: Float32Array) -> None:
        if not self.without_looks:
            self.looks.setdefault(split, []).append(look)


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
