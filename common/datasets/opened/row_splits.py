"""Rows of files cut into splits: by patient group and class, with copies kept together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from he_compare.common.datasets.opened.indexed import ImageRow
from he_compare.common.datasets.opened.splits import cut_by_group, join_twins
from he_compare.common.errors import DataError
from he_compare.common.types import Split

SHARES = {Split.TEST: 0.2, Split.VAL: 0.1}
VALIDATION_OF_TRAIN = 0.125


def cut_rows(
    rows: list[ImageRow], shares: Mapping[Split, float], seed: int, purpose: str
) -> list[ImageRow]:
    """Assign every row to a split of ``shares`` or to TRAIN, as ``cut_by_group`` does.

    Raises DataError where there are too few patient groups.
    """
    groups = join_twins([row.group for row in rows], [row.twin or row.id for row in rows])
    cut = cut_by_group([row.label for row in rows], groups, shares, seed, purpose)
    return [replace(row, split=split) for row, split in zip(rows, cut, strict=True)]


def complete_splits(
    rows: list[ImageRow], given: frozenset[Split], seed: int, notes: list[str]
) -> list[ImageRow]:
    """Cut what is not given: all three splits, or validation from train.

    Raises DataError where train or test is missing while another split is given.
    """
    if not given:
        notes.append(f"split 70 / 10 / 20 by patient group and class with seed {seed}")
        return cut_rows(rows, SHARES, seed, "folder")
    for split in (Split.TRAIN, Split.TEST):
        if split not in given:
            raise DataError(
                f"splits are given, but there is no {split} split",
                fix="give train and test, or no split at all",
            )
    if Split.VAL in given:
        notes.append("splits as given")
        return rows
    train = [row for row in rows if row.split is Split.TRAIN]
    notes.append(f"train and test as given; validation cut from train with seed {seed}")
    return cut_rows(train, {Split.VAL: VALIDATION_OF_TRAIN}, seed, "folder") + [
        row for row in rows if row.split is Split.TEST
    ]
