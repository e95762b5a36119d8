"""Choosing the images of a run from an open dataset, and counting what was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from he_compare.common.contracts import OpenDataset, SplitIndex
from he_compare.common.datasets.opened.indexed import Row
from he_compare.common.datasets.opened.splits import hashed_order
from he_compare.common.run.records import DatasetSummary, SplitSummary
from he_compare.common.types import ImageBatch, IntArray, Split

BALANCED_PER_CLASS = {Split.TRAIN: 400, Split.VAL: 100, Split.TEST: 200}


def without_tested_groups(rows: list[Row], notes: list[str]) -> list[Row]:
    """Leave out of train and val what names a group of the test split."""
    tested = {row.group for row in rows if row.split is Split.TEST}
    kept = [row for row in rows if row.split is Split.TEST or row.group not in tested]
    if len(kept) < len(rows):
        notes.append(
            f"{len(rows) - len(kept)} training images were left out because their patient-like id "
            "occurs in test"
        )
    return kept


def balance(
    rows: list[Row], per_class: Mapping[Split, int], seed: int, notes: list[str]
) -> list[Row]:
    """Choose at most ``per_class`` images of each class from each split, without copies.

    Where a class is short, the others are cut to its number; a line in ``notes`` says what was
    chosen.
    """
    chosen: list[Row] = []
    classes = {row.label for row in rows}
    for split, most in per_class.items():
        chosen += _pick([row for row in rows if row.split is split], classes, most, seed)
    counts = ", ".join(f"{sum(row.split is split for row in chosen)} {split}" for split in Split)
    notes.append(f"balanced choice: {counts} images, without copies, chosen with seed {seed}")
    return chosen


def _pick(candidates: list[Row], classes: set[int], most: int, seed: int) -> list[Row]:
    """Choose equally many rows of each class, group after group in hashed order."""
    groups = hashed_order([row.group for row in candidates], seed, "balanced")
    rank = {group: place for place, group in enumerate(groups)}
    by_class: dict[int, list[Row]] = {label: [] for label in classes}
    taken_twins: set[str] = set()
    for row in sorted(candidates, key=lambda row: (rank[row.group], row.id)):
        if row.twin and row.twin in taken_twins:
            continue
        taken_twins.add(row.twin)
        by_class[row.label].append(row)
    number = min([most, *(len(found) for found in by_class.values())])
    return [row for found in by_class.values() for row in found[:number]]


def limit(index: SplitIndex, n: int | None, seed: int, split: Split) -> IntArray:
    """Return at most ``n`` positions of a split, int64, ascending; None takes all.

    Classes keep their shares, and each has an image as soon as ``n`` allows. A smaller ``n`` gives
    a subset of a larger one.
    """
    total = len(index.ids)
    if n is None or n >= total:
        return np.arange(total, dtype=np.int64)
    position_of = {identity: position for position, identity in enumerate(index.ids)}
    order = [position_of[identity] for identity in hashed_order(index.ids, seed, "limit", split)]
    class_sizes = Counter(int(label) for label in index.labels)
    rank: Counter[int] = Counter()
    keyed: list[tuple[float, int, int]] = []
    for position in order:
        label = int(index.labels[position])
        # Each class is spread evenly over (0, 1); its first image goes before all of that.
        share = (rank[label] + 0.5) / class_sizes[label] if rank[label] else 0.0
        keyed.append((share, label, position))
        rank[label] += 1
    keyed.sort()
    return np.array(sorted(position for _, _, position in keyed[: max(n, 0)]), dtype=np.int64)


def load_batch(dataset: OpenDataset, split: Split, positions: IntArray, size: int) -> ImageBatch:
    """Read images with their ids, labels and groups. Raises DataError naming the image."""
    index = dataset.index(split)
    return ImageBatch(
        ids=tuple(index.ids[int(position)] for position in positions),
        images=dataset.read(split, positions, size),
        labels=index.labels[positions],
        groups=tuple(index.groups[int(position)] for position in positions),
    )


def summary(
    dataset: OpenDataset,
    positions_by_split: Mapping[Split, IntArray],
    *,
    fingerprint: str,
    image_size: int,
) -> DatasetSummary:
    """Return the counts of what was chosen, with a note on every split that was limited."""
    splits: dict[str, SplitSummary] = {}
    notes = list(dataset.notes)
    for split, positions in positions_by_split.items():
        index = dataset.index(split)
        splits[split.value] = summarise(index, positions, dataset)
        if len(positions) < len(index.ids):
            notes.append(
                f"{split}: {len(positions)} of {len(index.ids)} images, chosen by class share"
            )
    return DatasetSummary(
        card=dataset.card,
        subset=dataset.subset,
        splits=splits,
        fingerprint=fingerprint,
        image_size=image_size,
        notes=notes,
    )


def summarise(index: SplitIndex, positions: IntArray, dataset: OpenDataset) -> SplitSummary:
    """Return the counts of the chosen images of one split."""
    classes, positive = dataset.card.classes, dataset.card.positive_class
    counts = np.bincount(index.labels[positions], minlength=len(classes))
    per_class = {name: int(count) for name, count in zip(classes, counts, strict=True)}
    n = len(positions)
    return SplitSummary(
        n=n,
        groups=len({index.groups[int(position)] for position in positions}),
        per_class=per_class,
        prevalence=per_class[positive] / n if positive and n else None,
    )
