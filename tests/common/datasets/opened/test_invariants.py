"""What a dataset written by hand must keep to, and what is said where it does not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from he_compare.common.contracts import SplitIndex
from he_compare.common.datasets.folder import make_card
from he_compare.common.datasets.opened.choice import load_batch
from he_compare.common.datasets.opened.inspection import check, describe
from he_compare.common.datasets.opened.invariants import check_opened
from he_compare.common.errors import DataError
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import IntArray, Split

CARD = make_card("mine", ("ill", "well"))


def splits() -> dict[Split, SplitIndex]:
    return {
        split: SplitIndex((f"{split}-0", f"{split}-1"), np.array([0, 1]), (f"{split}",) * 2)
        for split in Split
    }


@dataclass
class ByHand:
    """The whole of a dataset without a base class."""

    card: DatasetCard = CARD
    subset: str = "all"
    notes: Any = field(default_factory=list)
    splits: dict[Split, SplitIndex] = field(default_factory=splits)
    dtype: Any = np.uint8

    def index(self, split: Split) -> SplitIndex:
        return self.splits[split]

    def read(self, split: Split, positions: IntArray, size: int) -> Any:
        return np.zeros((len(positions), size, size, 3), self.dtype)


def with_test(**changes: Any) -> ByHand:
    given = splits()
    return ByHand(splits=given | {Split.TEST: replace(given[Split.TEST], **changes)})


def test_a_dataset_by_hand_is_taken_and_its_stored_sizes_are_not_known() -> None:
    check_opened(ByHand(), "mine")
    assert "sizes (width x height):        not known" in describe(check(ByHand()))


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (with_test(groups=("train", "test")), "patient group 'train' is in two splits"),
        (with_test(ids=("train-0", "test-1")), "image 'train-0' is in two splits"),
        (with_test(ids=("test-0", "test-0")), "the test split has an id twice"),
        (with_test(groups=("test",)), "2 ids, 2 labels and 1 groups"),
        (with_test(labels=np.array([0, 2])), "has the label 2, and there are 2 classes"),
        (with_test(labels=np.array([0.0, 1.0])), "labels of the test split are float64"),
        (ByHand(card=CARD.model_copy(update={"positive_class": "dead"})), "'dead' is not one"),
        (ByHand(notes=None), "it has no 'notes'"),
        (ByHand(notes="cut by hand"), "its notes are no list"),
    ],
)
def test_what_breaks_the_contract_is_refused_by_name(dataset: ByHand, words: str) -> None:
    with pytest.raises(DataError, match="dataset 'mine': ") as refused:
        check_opened(dataset, "mine")
    assert words in str(refused.value) and refused.value.fix


def test_images_of_another_type_are_refused() -> None:
    one = ByHand(dtype=np.float64)
    with pytest.raises(DataError, match=r": read\(\) returned float64 \(2, 8, 8, 3\)"):
        load_batch(one, Split.TEST, np.arange(2), 8)
