"""A MedMNIST set as an open dataset, in the split in which it was published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from he_compare.common.datasets.medmnist_sets.known_sets import MedMnistSet
from he_compare.common.datasets.medmnist_sets.npz_arrays import read_splits, single_labels
from he_compare.common.datasets.medmnist_sets.npz_files import origin_notes
from he_compare.common.datasets.opened.arrays import (
    ArrayImages,
    index_of,
)
from he_compare.common.datasets.opened.splits import check_splits
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import IntArray, Split, UInt8Array


def open_single_label(facts: MedMnistSet, card: DatasetCard, path: Path, size: int) -> ArrayImages:
    """Open the npz of a set with one label per image. Raises DataError."""
    images, stored = read_splits(path, size, facts.channels)
    labels = {split: single_labels(path, split, stored[split], facts.classes) for split in Split}
    return published_split(card, images, labels, origin_notes(facts, path, size))


def published_split(
    card: DatasetCard,
    images: Mapping[Split, UInt8Array],
    labels: Mapping[Split, IntArray],
    notes: list[str],
) -> ArrayImages:
    """Check the split as published. Raises DataError."""
    splits = {split: index_of(split, labels[split]) for split in Split}
    check_splits(splits, card.classes)
    return ArrayImages(card, "published", images, splits, notes)
