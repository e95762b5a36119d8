"""Rows of files cut into splits: by patient group and class, with copies kept together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from he_compare.common.datasets.opened.indexed import ImageRow
from he_compare.common.datasets.opened.splits import cut_by_group, join_twins
from he_compare.common.errors import DataError
from he_compare.common.types import Split

SHARES = {Split.TEST: 0.2, Split.VAL: 0.1}
VALIDATION_OF_TRAIN = 0.125
MOST_NAMED = 5
TOGETHER = "; copies of one image stay in one split"


def cut_rows(
    rows: list[ImageRow],
    shares: Mapping[Split, float],
    seed: int,
    purpose: str,
    classes: Sequence[str] = (),
) -> list[ImageRow]:
    """Assign every row to a split of ``shares`` or to TRAIN, as ``cut_by_group`` does.

    Raises DataError where there are too few patient groups; of ``classes``, where they are given,
    those that are short of groups are named.
    """
    groups = join_twins([row.group for row in rows], [row.twin or row.id for row in rows])
    _require_groups([row.label for row in rows], groups, classes, (Split.TRAIN, *shares))
    cut = cut_by_group([row.label for row in rows], groups, shares, seed, purpose)
    return [replace(row, split=split) for row, split in zip(rows, cut, strict=True)]


def _require_groups(
    labels: Sequence[int], groups: Sequence[str], classes: Sequence[str], splits: Sequence[Split]
) -> None:
    """Raise DataError naming the classes with fewer patient groups than splits."""
    found = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    short = [
        f"{name!r} has {found[label]}"
        for label, name in enumerate(classes)
        if found[label] < len(splits)
    ]
    if short:
        more = f" and {len(short) - MOST_NAMED} more" if len(short) > MOST_NAMED else ""
        raise DataError(
            f"a class needs {len(splits)} images that are of different patients and no copies, one "
            f"for each of {', '.join(splits)}: {', '.join(short[:MOST_NAMED])}{more}",
            fix="add images of it, put it together with another class, or leave it out",
        )


def complete_splits(
    rows: list[ImageRow],
    given: frozenset[Split],
    seed: int,
    notes: list[str],
    classes: Sequence[str] = (),
) -> list[ImageRow]:
    """Cut what is not given: all three splits, or validation from train.

    Raises DataError where train or test is missing while another split is given, or a class (named
    where ``classes`` are given) has too few patient groups.
    """
    if not given:
        notes.append(f"split 70 / 10 / 20 by patient group and class with seed {seed}{TOGETHER}")
        return cut_rows(rows, SHARES, seed, "folder", classes)
    _refuse_missing_split(given)
    if Split.VAL in given:
        notes.append("splits as given")
        return rows
    train = [row for row in rows if row.split is Split.TRAIN]
    notes.append(f"train and test as given; validation cut from train with seed {seed}{TOGETHER}")
    return cut_rows(train, {Split.VAL: VALIDATION_OF_TRAIN}, seed, "folder", classes) + [
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
