"""A balanced part of a dataset: equally many images of each class, without copies."""

from __future__ import annotations

from collections.abc import Mapping

from he_compare.common.datasets.opened.indexed import ImageRow
from he_compare.common.datasets.opened.splits import hashed_order
from he_compare.common.types import Split

BALANCED_PER_CLASS = {Split.TRAIN: 400, Split.VAL: 100, Split.TEST: 200}


def without_tested_groups(rows: list[ImageRow], notes: list[str]) -> list[ImageRow]:
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
    rows: list[ImageRow], per_class: Mapping[Split, int], seed: int, notes: list[str]
) -> list[ImageRow]:
    """Choose at most ``per_class`` images of each class from each split, without copies.

    Where a class is short, the others are cut to its number; a line in ``notes`` says what was
    chosen.
    """
    chosen: list[ImageRow] = []
    classes = {row.label for row in rows}
    for split, most in per_class.items():
        chosen += _pick([row for row in rows if row.split is split], classes, most, seed)
    counts = ", ".join(f"{sum(row.split is split for row in chosen)} {split}" for split in Split)
    notes.append(f"balanced choice: {counts} images, without copies, chosen with seed {seed}")
    return chosen


def _pick(candidates: list[ImageRow], classes: set[int], most: int, seed: int) -> list[ImageRow]:
    """Choose equally many rows of each class, group after group in hashed order."""
    groups = hashed_order([row.group for row in candidates], seed, "balanced")
    rank = {group: place for place, group in enumerate(groups)}
    by_class: dict[int, list[ImageRow]] = {label: [] for label in classes}
    taken_twins: set[str] = set()
    for row in sorted(candidates, key=lambda row: (rank[row.group], row.id)):
        if row.twin and row.twin in taken_twins:
            continue
        taken_twins.add(row.twin)
        by_class[row.label].append(row)
    number = min([most, *(len(found) for found in by_class.values())])
    return [row for found in by_class.values() for row in found[:number]]
