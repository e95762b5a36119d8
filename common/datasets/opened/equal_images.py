"""Which images of an open dataset are equal, whatever its family: one key per image.

While the images have at most ``MAX_DECODED_PIXELS`` pixels together, as estimated from a few of
them, each is decoded once and compared by its pixels as stored. Larger sets are compared as their
family can without decoding (``KnowsCopies``), or not at all, which is said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress
from he_compare.common.datasets.opened.fingerprint import native_pixels
from he_compare.common.datasets.opened.splits import join_twins
from he_compare.common.datasets.reading.copies import MAX_DECODED_PIXELS, KnownCopies
from he_compare.common.errors import DataError
from he_compare.common.types import IntArray, Split, UInt8Array

SAMPLED = 8
PER_REQUEST = 256


@runtime_checkable
class KnowsCopies(Protocol):
    """A dataset that can find its copies without decoding all of it: an optional part."""

    def known_copies(self) -> KnownCopies:
        """Return a key for each id of which a copy is known; a rule of '' where none was sought."""
        ...


@dataclass(frozen=True)
class EqualImages:
    """``keys``: by split one per image, equal for equal images. ``rule``: how they were compared.

    ``not_compared``: why images were not compared at all, then keys are all different.
    ``unreadable``: images that could not be decoded; each has a key of its own.
    """

    keys: Mapping[Split, list[str]]
    rule: str
    not_compared: str = ""
    unreadable: int = 0


def find_equal(dataset: OpenDataset, progress: Progress | None = None) -> EqualImages:
    """Compare all images of a dataset. An image that cannot be decoded equals no other."""
    known = dataset.known_copies() if isinstance(dataset, KnowsCopies) else KnownCopies({}, "")
    estimate = estimated_pixels(dataset)
    if estimate > MAX_DECODED_PIXELS:
        many = f"{estimate / 1e6:,.0f} megapixels are too many to decode"
        keys = {
            split: [known.keys.get(name, f"{split} {name}") for name in dataset.index(split).ids]
            for split in Split
        }
        if known.rule:
            return EqualImages(keys, f"{known.rule}; {many}")
        return EqualImages(keys, "", many)
    digests = {split: list(pixel_keys(dataset, split, progress)) for split in Split}
    unreadable = sum(key.startswith("unreadable") for keys in digests.values() for key in keys)
    rule = "pixels"
    if known.keys and not known.rule.startswith(("pixels", "file bytes")):
        # Stored values may be equal where the pictures made of them are not.
        digests, rule = _joined(dataset, digests, known), f"pixels and by {known.rule}"
    return EqualImages(digests, rule, unreadable=unreadable)


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


def pixel_keys(dataset: OpenDataset, split: Split, progress: Progress | None) -> Iterator[str]:
    """Yield the SHA-256 of shape and pixels of each image of a split."""
    count = len(dataset.index(split).ids)
    for start in range(0, count, PER_REQUEST):
        portion = np.arange(start, min(start + PER_REQUEST, count), dtype=np.int64)
        yield from _portion_keys(dataset, split, portion)
        if progress is not None:
            progress(f"comparing {split} images", int(portion[-1]) + 1, count)


def _portion_keys(dataset: OpenDataset, split: Split, portion: IntArray) -> list[str]:
    try:
        return [_digest(image) for image in native_pixels(dataset, split, portion)]
    except DataError:
        if len(portion) == 1:
            return [f"unreadable {split} {int(portion[0])}"]
        halves = np.array_split(portion, 2)
        return [key for half in halves for key in _portion_keys(dataset, split, half)]


def _digest(image: UInt8Array) -> str:
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()


def _joined(
    dataset: OpenDataset, digests: Mapping[Split, list[str]], known: KnownCopies
) -> dict[Split, list[str]]:
    """Let images be equal that have equal pixels or are copies as their family knows them."""
    flat = [key for split in Split for key in digests[split]]
    ties = [
        known.keys.get(name, f"{split} {name}")
        for split in Split
        for name in dataset.index(split).ids
    ]
    joined = iter(join_twins(flat, ties))
    return {split: [next(joined) for _ in digests[split]] for split in Split}
