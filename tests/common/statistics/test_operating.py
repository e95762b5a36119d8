"""A threshold is fixed on validation images alone, and applied to the test images as it is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from he_compare.common.run.records import OperatingPoint
from he_compare.common.statistics.metric import UndefinedMetric
from he_compare.common.statistics.operating import operating_point, youden_threshold

CLASSES = ("normal", "pneumonia")
Split = tuple[np.ndarray, np.ndarray]


def split(n: int, seed: int, shift: float = 0.0) -> Split:
    """Labels and probabilities; ``shift`` moves all probabilities up, as another scanner would."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    positive = 1 / (1 + np.exp(-(random.normal(size=n) + 2 * labels - 1 + shift)))
    return labels, np.c_[1 - positive, positive]


def point(validation: Split, test: Split, positive: str = "pneumonia") -> OperatingPoint:
    groups = [str(number) for number in range(len(test[0]))]
    return operating_point(
        validation, test, groups, CLASSES, positive, scored_by="as executed", seed=0, draws=50
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=30))
def test_no_threshold_is_better_and_no_lower_one_as_good(rows: list[tuple[bool, int]]) -> None:
    truth = np.array([row[0] for row in rows])
    chances = np.array([row[1] / 9 for row in rows])

    def gain(threshold: float) -> float:
        called = chances >= threshold
        return called[truth].mean() - called[~truth].mean()

    between = [(a + b) / 2 for a, b in pairwise(sorted(set(chances)))]
    if truth.all() or not truth.any() or max(map(gain, between), default=0.0) <= 1e-12:
        with pytest.raises(UndefinedMetric):
            youden_threshold(truth, chances)
        return
    best = max(map(gain, between))
    found = youden_threshold(truth, chances)
    assert gain(found) == pytest.approx(best)
    assert not [one for one in between if one < found - 1e-9 and gain(one) > best - 1e-9]


def test_a_shift_of_the_scores_moves_the_threshold_and_not_the_errors() -> None:
    plain = point(split(400, 1), split(300, 2))
    shifted = point(split(400, 1, shift=3.0), split(300, 2, shift=3.0))
    assert plain.threshold is not None and shifted.threshold is not None
    assert shifted.threshold > 0.8 > plain.threshold
    assert shifted.confusion == plain.confusion
    assert sum(map(sum, plain.confusion)) == 300
    assert plain.validation_images == [200, 200]


def test_test_images_have_no_part_in_the_threshold() -> None:
    validation, test = split(200, 1), split(100, 2)
    turned = (1 - test[0], test[1])
    assert point(validation, test).threshold == point(validation, turned).threshold
    assert point(split(200, 3), test).threshold != point(validation, test).threshold


def test_sensitivity_is_of_the_class_that_is_named_positive() -> None:
    validation, test = split(200, 1), split(100, 2)
    one, other = point(validation, test), point(validation, test, positive="normal")
    assert one.sensitivity and other.specificity and other.sensitivity
    assert one.sensitivity.value == pytest.approx(1 - one.confusion[1][0] / 50)
    assert other.sensitivity.value == pytest.approx(other.confusion[0][0] / 50)
    assert one.sensitivity.interval and one.sensitivity.n == 50


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ((np.zeros(4, int), np.full((4, 2), 0.5)), "lacks one of the two classes"),
        ((np.arange(4) % 2, np.full((4, 2), 0.5)), "no threshold tells"),
        ((np.arange(4) % 2, np.full((4, 2), np.nan)), "not finite"),
        ((np.empty(0, int), np.empty((0, 2))), "lacks one of the two classes"),
    ],
    ids=["one class", "constant", "nan", "empty"],
)
def test_where_no_threshold_can_be_fixed_the_reason_is_kept(validation: Split, words: str) -> None:
    found = point(validation, split(10, 0))
    assert found.threshold is None and words in found.note
    assert found.confusion == [] and found.sensitivity is None


def test_test_scores_that_are_not_finite_are_said() -> None:
    labels, chances = split(10, 0)
    chances[3] = np.nan
    found = point(split(50, 1), (labels, chances))
    assert found.threshold is None and found.note == "probabilities of test images are not finite"


def test_neighbouring_floats_are_told_apart() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1))
    assert youden_threshold(np.array([False, True]), np.array([low, high])) == high
