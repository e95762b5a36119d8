"""What every open dataset must keep to, whoever wrote it: checked once, and at every read."""

from __future__ import annotations

import numpy as np

from he_compare.common.contracts import OpenDataset, SplitIndex
from he_compare.common.datasets.opened.splits import check_splits
from he_compare.common.errors import DataError
from he_compare.common.types import IntArray, Split, UInt8Array

PARTS = ("card", "subset", "notes", "index", "read")


def check_opened(dataset: OpenDataset, name: str) -> None:
    """Refuse a dataset that does not keep to its contract. Raises DataError with dataset and rule.

    ``name``: as on the command line. Pixels are not read here: see ``read_images``.
    """
    for part in PARTS:
        if getattr(dataset, part, None) is None:
            raise _broken(name, f"it has no {part!r}", f"give it {', '.join(PARTS)}")
    if not isinstance(dataset.notes, list):
        raise _broken(name, "its notes are no list", "return a list of sentences, empty for none")
    classes, positive = dataset.card.classes, dataset.card.positive_class
    if positive and positive not in classes:
        raise _broken(
            name,
            f"positive_class {positive!r} is not one of its classes ({', '.join(classes)})",
            "name one of them, or leave it empty",
        )
    splits = {split: dataset.index(split) for split in Split}
    for split, index in splits.items():
        _check_index(name, split, index, len(classes))
    try:
        check_splits(splits, classes)
    except DataError as error:
        raise _broken(name, error.problem, error.fix) from None


def _check_index(name: str, split: Split, index: SplitIndex, classes: int) -> None:
    labels = np.asarray(index.labels)
    counts = len(index.ids), len(labels), len(index.groups)
    if len(set(counts)) > 1:
        raise _broken(
            name,
            f"the {split} split has {counts[0]} ids, {counts[1]} labels and {counts[2]} groups",
            "give one of each per image",
        )
    if len(set(index.ids)) < counts[0]:
        raise _broken(name, f"the {split} split has an id twice", "give every image its own id")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise _broken(
            name,
            f"the labels of the {split} split are {labels.dtype} {labels.shape}",
            "return int64 (n,)",
        )
    outside = sorted(set(labels.tolist()) - set(range(classes)))
    if outside:
        raise _broken(
            name,
            f"the {split} split has the label {outside[0]}, and there are {classes} classes",
            "number labels from 0 in the order of the card's classes",
        )


def read_images(dataset: OpenDataset, split: Split, positions: IntArray, size: int) -> UInt8Array:
    """Read images: uint8 (n, size, size, 3). Raises DataError where they are anything else."""
    images = dataset.read(split, positions, size)
    shape = (len(positions), size, size, 3)
    dtype = getattr(images, "dtype", type(images).__name__)
    if dtype != np.uint8 or images.shape != shape:
        raise _broken(
            dataset.card.name,
            f"read() returned {dtype} {getattr(images, 'shape', '')} for {shape[0]} images of "
            f"the {split} split",
            f"return uint8 {shape}",
        )
    return images


def _broken(name: str, problem: str, fix: str) -> DataError:
    return DataError(f"dataset {name!r}: {problem}", fix=fix)
