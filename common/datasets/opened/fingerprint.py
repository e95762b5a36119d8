"""The fingerprint of a dataset as used: SHA-256 over ids, labels, groups, splits and pixels.

Pixels are hashed as decoded at the size they are stored in, so that a file compressed again changes
the fingerprint and a copied folder does not. Images are streamed; none is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.opened.invariants import read_images
from he_compare.common.types import IntArray, Split, UInt8Array

FALLBACK_SIZE = 224
_PORTION = 64


@runtime_checkable
class NativePixels(Protocol):
    """A dataset that can return its images as stored: the optional part of ``OpenDataset``.

    Families offer it so that fingerprints and copies follow from stored pixels, not resized ones.
    """

    def native(self, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
        """Yield uint8 (height, width, 3) by position."""
        ...


def fingerprint(dataset: OpenDataset, positions_by_split: Mapping[Split, IntArray]) -> str:
    """Return the hexadecimal SHA-256 of the chosen images; their order does not matter.

    A dataset without ``native`` is hashed at ``FALLBACK_SIZE`` pixels. Raises DataError naming an
    image that cannot be read.
    """
    natives = {
        split: [pixels_sha256(image).hex() for image in native_pixels(dataset, split, positions)]
        for split, positions in positions_by_split.items()
    }
    return fingerprint_of(dataset, positions_by_split, natives)


def pixels_sha256(image: UInt8Array) -> bytes:
    """Return the SHA-256 of shape and RGB pixels of an image as stored, (h, w, 1 or 3)."""
    shape = (*image.shape[:2], 3)
    rgb = np.ascontiguousarray(image)
    if image.shape[2] == 1:
        rgb = np.empty(shape, dtype=np.uint8)
        for channel in range(3):  # three times as fast as broadcasting over the last axis
            rgb[..., channel] = image[..., 0]
    pixels = hashlib.sha256(f"{shape}".encode())
    pixels.update(rgb.data)
    return pixels.digest()


def fingerprint_of(
    dataset: OpenDataset,
    positions_by_split: Mapping[Split, IntArray],
    natives: Mapping[Split, Sequence[str]],
) -> str:
    """Return the fingerprint from the ``pixels_sha256`` of the chosen images, hexadecimal."""
    lines: list[str] = []
    for split, positions in positions_by_split.items():
        index = dataset.index(split)
        for position, native in zip(positions, natives[split], strict=True):
            i = int(position)
            label = dataset.card.classes[int(index.labels[i])]
            lines.append("\x1f".join((split.value, index.ids[i], label, index.groups[i], native)))
    hasher = hashlib.sha256(b"he-compare dataset\x00")
    for line in sorted(lines):
        hasher.update(line.encode() + b"\n")
    return hasher.hexdigest()


def native_pixels(dataset: OpenDataset, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
    """Yield images as stored where the dataset has ``native``, else at ``FALLBACK_SIZE`` pixels."""
    if isinstance(dataset, NativePixels):
        yield from dataset.native(split, positions)
        return
    for start in range(0, len(positions), _PORTION):
        yield from read_images(dataset, split, positions[start : start + _PORTION], FALLBACK_SIZE)
