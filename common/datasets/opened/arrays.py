"""Datasets held as arrays: images of one size in memory or in a memory map, one array per split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from he_compare.common.contracts import SplitIndex
from he_compare.common.datasets.reading.copies import KnownCopies, only_repeated
from he_compare.common.datasets.reading.decoding import to_square
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import IntArray, Split, UInt8Array

HASHED_BYTES = 16 * 1024**3


@dataclass
class ArrayImages:
    """An open dataset of equally large images; ids are ``split/00012``.

    ``images``: uint8 (n, side, side) or (n, side, side, 3) per split. ``kept`` maps a position of
    the index to a row of the array where only some images are used.
    """

    card: DatasetCard
    subset: str
    images: Mapping[Split, UInt8Array]
    splits: Mapping[Split, SplitIndex]
    notes: list[str] = field(default_factory=list)
    kept: Mapping[Split, IntArray] = field(default_factory=dict)
    # ``read`` is ``decoding.to_square`` of ``native``: a pass may decode once for both.
    reads_by_scaling: ClassVar[bool] = True

    def index(self, split: Split) -> SplitIndex:
        """Return ids, labels and groups of a split in the order of the file."""
        return self.splits[split]

    def read(self, split: Split, positions: IntArray, size: int) -> UInt8Array:
        """Scale images of a split: uint8 (n, size, size, 3), Pillow's bicubic filter."""
        from PIL import Image

        images = np.empty((len(positions), size, size, 3), dtype=np.uint8)
        for i, stored in enumerate(self._stored(split, positions)):
            images[i] = to_square(Image.fromarray(stored), size)
        return images

    def native(self, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
        """Yield images of a split as stored, uint8 (side, side, 3) each."""
        for stored in self._stored(split, positions):
            yield np.repeat(stored[:, :, None], 3, axis=2) if stored.ndim == 2 else stored

    def place(self) -> str:
        """Return which arrays these are; it is used in hashes only."""
        return f"{self.card.name}/{self.subset}"

    def sources(self, split: Split, positions: IntArray) -> Iterator[bytes]:
        """Yield the SHA-256 of each image as stored."""
        for stored in self._stored(split, positions):
            yield hashlib.sha256(f"{stored.shape}".encode() + stored.tobytes()).digest()

    def known_copies(self) -> KnownCopies:
        """Return the images of equal pixels, unless there are too many bytes to read."""
        digests = pixel_digests(self.images)
        if digests is None:
            return KnownCopies({}, "")
        keys = {
            name: digests[split][position if rows is None else int(rows[position])]
            for split in Split
            for rows in (self.kept.get(split),)
            for position, name in enumerate(self.splits[split].ids)
        }
        return KnownCopies(only_repeated(keys), "pixels")

    def _stored(self, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
        rows = self.kept.get(split)
        for position in positions:
            row = int(position) if rows is None else int(rows[int(position)])
            yield np.ascontiguousarray(self.images[split][row])


def index_of(split: Split, labels: IntArray) -> SplitIndex:
    """Number the images of a split; every one is a group of its own."""
    ids = tuple(f"{split}/{position:05d}" for position in range(len(labels)))
    return SplitIndex(ids=ids, labels=labels, groups=ids)


def pixel_digests(images: Mapping[Split, UInt8Array]) -> dict[Split, list[str]] | None:
    """Return the SHA-256 of each image, or None for more than ``HASHED_BYTES`` of them."""
    if sum(array.nbytes for array in images.values()) > HASHED_BYTES:
        return None
    return {
        split: [hashlib.sha256(image.tobytes()).hexdigest() for image in array]
        for split, array in images.items()
    }
