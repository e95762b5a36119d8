"""Rows of files cut into splits: by patient group and class, with copies kept together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from he_compare.common.datasets.opened.indexed import ImageRow
from he_compare.common.datasets.opened.splits import cut_by_group, join_twins
from he_compare.common.errors import DataError
from he_compare.common.types import Split

SHARES = {Split.TEST: 0.2, Split.VAL: 0.1}
VALIDATION_OF_TRAIN = 0.125
MAX_CLASSES_NAMED = 5


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
    rows: list[ImageRow],
    given: frozenset[Split],
    seed: int,
    notes: list[str],
    classes: Sequence[str] = (),
) -> list[ImageRow]:
    """Cut what is not given: all three splits, or validation from train.

    ``classes``: names, for messages. Raises DataError where train or test is missing while another
    split is given, and where a class has fewer patient groups than there are splits to cut.
    """
    if not given:
        notes.append(f"split 70 / 10 / 20 by patient group and class with seed {seed}")
        _refuse_few_groups(rows, classes, len(SHARES) + 1)
        return cut_rows(rows, SHARES, seed, "folder")
    _refuse_missing_split(given)
    if Split.VAL in given:
        notes.append("splits as given")
        return rows
    train = [row for row in rows if row.split is Split.TRAIN]
    notes.append(f"train and test as given; validation cut from train with seed {seed}")
    _refuse_few_groups(train, classes, 2)
    return cut_rows(train, {Split.VAL: VALIDATION_OF_TRAIN}, seed, "folder") + [
        row for row in rows if row.split is Split.TEST
    ]


def _refuse_missing_split(given: frozenset[Split]) -> None:
    names = " and ".join(split for split in Split if split in given)
    if Split.TRAIN not in given:
        raise DataError(
            f"splits are given ({names}), but there is no train split",
            fix="give train and test, or no split at all",
        )
    if Split.TEST not in given:
        raise DataError(
            f"splits are given ({names}), but there is no test split",
            fix="call val 'test' to test on it: validation is then cut from train; or give no "
            "splits, and all three are cut"
            if Split.VAL in given
            else "name the folder inside train, or leave the split column out: all three are cut",
        )


def _refuse_few_groups(rows: list[ImageRow], classes: Sequence[str], needed: int) -> None:
    """Refuse classes with too few groups to be in every split. Raises DataError by name."""
    groups: dict[int, set[str]] = defaultdict(set)
    for row in rows:
        groups[row.label].add(row.group)
    images = Counter(row.label for row in rows)
    few = [label for label in sorted(groups) if len(groups[label]) < needed]
    if few and classes:
        named = ", ".join(
            f"{classes[label]!r} has {len(groups[label])} ({images[label]} images)"
            for label in few[:MAX_CLASSES_NAMED]
        )
        more = ", ..." if len(few) > MAX_CLASSES_NAMED else ""
        raise DataError(
            f"{needed} splits need as many patient groups of every class: {named}{more}",
            fix="add images of other patients, leave the class out, or give the splits yourself",
        )
