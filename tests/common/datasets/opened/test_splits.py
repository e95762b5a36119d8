"""Splits share no group and no copy, follow from the seed, and are refused where they leak."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from he_compare.common.contracts import SplitIndex
from he_compare.common.datasets.opened.splits import (
    check_splits,
    cut_by_group,
    hashed_order,
    join_twins,
)
from he_compare.common.errors import DataError
from he_compare.common.types import Split

SHARES = {Split.TEST: 0.2, Split.VAL: 0.1}
CLASSES = ("a", "b")
many_images = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 80)), min_size=60, max_size=200
).map(lambda rows: rows + [(label, 1000 + 10 * label + i) for label in range(3) for i in range(6)])


def split_index(names: str, labels: list[int], groups: str = "") -> SplitIndex:
    return SplitIndex(tuple(names), np.array(labels, dtype=np.int64), tuple(groups or names))


def good_splits() -> dict[Split, SplitIndex]:
    return {
        Split.TRAIN: split_index("abcd", [0, 1, 0, 1]),
        Split.VAL: split_index("ef", [0, 1]),
        Split.TEST: split_index("gh", [0, 1]),
    }


@settings(max_examples=40, deadline=None)
@given(many_images, st.integers(0, 5))
def test_no_group_crosses_a_cut_and_every_split_has_every_class(
    rows: list[tuple[int, int]], seed: int
) -> None:
    labels = [label for label, _ in rows]
    groups = [f"g{group}" for _, group in rows]
    cut = cut_by_group(labels, groups, SHARES, seed, "test")
    assert len(set(zip(groups, cut, strict=True))) == len(set(groups))
    for split in Split:
        present = {label for label, s in zip(labels, cut, strict=True) if s is split}
        assert present == set(labels)


@settings(max_examples=20, deadline=None)
@given(many_images, st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_cut_does_not_depend_on_the_order_of_images(
    rows: list[tuple[int, int]], seed: int, shuffler: object
) -> None:
    def cut_of(chosen: list[tuple[int, int]]) -> dict[int, Split]:
        groups = [f"g{group}" for _, group in chosen]
        cut = cut_by_group([label for label, _ in chosen], groups, SHARES, seed, "test")
        return {group: split for (_, group), split in zip(chosen, cut, strict=True)}

    shuffled = list(rows)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert cut_of(rows) == cut_of(shuffled)


def test_shares_are_met_class_by_class() -> None:
    labels = [0] * 700 + [1] * 300
    groups = [f"g{i // 2}" for i in range(1000)]
    cut = cut_by_group(labels, groups, SHARES, 0)
    held_by_test = [label for label, split in zip(labels, cut, strict=True) if split is Split.TEST]
    assert (held_by_test.count(0), held_by_test.count(1)) == (140, 60)
    assert cut.count(Split.VAL) == 100


def test_another_seed_cuts_elsewhere() -> None:
    labels, groups = [0, 1] * 50, [f"g{i}" for i in range(100)]
    assert cut_by_group(labels, groups, SHARES, 0) == cut_by_group(labels, groups, SHARES, 0)
    assert cut_by_group(labels, groups, SHARES, 0) != cut_by_group(labels, groups, SHARES, 1)


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(DataError, match=r"too few patient groups \(2\)"):
        cut_by_group([0, 0, 1, 1], ["g0", "g0", "g1", "g1"], SHARES, 0)


def test_removing_a_name_leaves_the_order_of_the_others() -> None:
    names = [f"n{i}" for i in range(50)]
    whole = hashed_order(names, 3, "purpose")
    assert hashed_order(names[:20] + names[21:], 3, "purpose") == [n for n in whole if n != "n20"]


def test_twins_tie_their_groups_together_transitively() -> None:
    joined = join_twins(["a", "b", "c", "d", "a"], ["x", "y", "y", "z", "z"])
    assert joined == ["a", "b", "b", "a", "a"]


def test_good_splits_pass() -> None:
    check_splits(good_splits(), CLASSES)


@pytest.mark.parametrize(
    ("split", "index", "message"),
    [
        (Split.TEST, split_index("ga", [0, 1]), "image 'a' is in two splits, train and test"),
        (
            Split.TEST,
            split_index("gh", [0, 1], "gb"),
            "patient group 'b' is in two splits, train and test",
        ),
        (Split.VAL, split_index("", []), "the val split has no images"),
        (Split.TRAIN, split_index("ab", [1, 1]), r"all of one class \('b'\)"),
    ],
)
def test_leaking_or_useless_splits_are_refused(
    split: Split, index: SplitIndex, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check_splits({**good_splits(), split: index}, CLASSES)


def test_a_class_that_is_tested_but_not_trained_is_refused() -> None:
    splits = {**good_splits(), Split.TEST: split_index("gh", [0, 2])}
    with pytest.raises(DataError, match="class 'c' is in the test split but not in train"):
        check_splits(splits, ("a", "b", "c"))


def test_every_leak_is_told_with_its_ids_up_to_five_and_a_count() -> None:
    splits = {**good_splits(), Split.TEST: split_index("pqrstuv", [0, 1] * 3 + [0], "abcdefb")}
    train = split_index("abcdef", [0, 1] * 3)
    with pytest.raises(DataError) as refused:
        check_splits({**splits, Split.TRAIN: train, Split.VAL: split_index("yz", [0, 1])}, CLASSES)
    told = str(refused.value)
    assert "'b' is in two splits, train and test (images 'b' and 'q')" in told
    assert told.count("two splits") == 5
    assert "and 1 more" in told
