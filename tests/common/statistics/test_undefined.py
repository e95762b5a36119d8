"""Where a metric has no value it is None with a reason; nothing crashes and nothing is invented."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.run.records import MetricValue
from he_compare.common.statistics.evaluation import Scores, score

CLASSES = ("normal", "pneumonia")


def run(labels: list[int], positive: list[float], groups: list[str] | None = None) -> Scores:
    scores = np.array(positive, dtype=float)
    return score(
        np.array(labels, dtype=np.int64),
        np.c_[1 - scores, scores].reshape(-1, 2),
        groups or [f"g{i}" for i in range(len(labels))],
        CLASSES,
        "pneumonia",
        seed=0,
        draws=100,
    )


def named(result: Scores, name: str) -> MetricValue:
    return next(value for value in result[0] if value.name == name)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_probabilities_that_are_not_finite_leave_every_value_none(bad: float) -> None:
    values, confusion, roc, reliability = run([0, 1, 1], [0.2, bad, 0.7])
    assert all(value.value is None and value.interval is None for value in values)
    assert values[0].note == "probabilities of 1 of 3 images are not finite"
    assert (confusion, roc, reliability) == ([], [], [])


def test_no_images_leave_every_value_none() -> None:
    values, *rest = run([], [])
    assert {value.note for value in values} == {"no images"}
    assert rest == [[], [], []]


def test_one_class_only_leaves_the_rest_defined() -> None:
    result = run([1, 1, 1, 1], [0.2, 0.9, 0.7, 0.6])
    for name in ("auc", "balanced_accuracy", "specificity", "recall[normal]"):
        assert named(result, name).value is None
        assert named(result, name).note
    assert named(result, "auc").note == "no image of class 'normal' among the labels"
    assert named(result, "accuracy").value == 0.75
    assert named(result, "sensitivity").value == 0.75
    assert named(result, "brier").value is not None
    assert result[2] == []


def test_without_positives_f1_is_not_defined() -> None:
    assert named(run([0, 0], [0.2, 0.9]), "f1").value is None


def test_nothing_called_positive_gives_an_f1_of_zero() -> None:
    assert named(run([0, 1], [0.2, 0.3]), "f1").value == 0.0


def test_one_patient_group_has_no_bootstrap_interval() -> None:
    value = named(run([0, 1, 1], [0.2, 0.6, 0.7], ["same"] * 3), "auc")
    assert value.value == 1.0
    assert value.interval is None
    assert "one patient group" in value.note


def test_draws_that_lose_a_class_are_left_out_and_counted() -> None:
    labels = [1] + [0] * 9
    value = named(run(labels, [0.6] + [0.1 * i for i in range(9)]), "auc")
    assert value.interval is not None
    assert "draws, which are left out" in value.note


def test_a_perfect_ranking_says_that_its_interval_is_too_narrow() -> None:
    value = named(run([0, 1] * 20, [0.1, 0.9] * 20), "auc")
    assert value.value == 1.0
    assert "understates" in value.note


@pytest.mark.parametrize(
    ("labels", "shape", "groups"), [([0, 1], (2, 3), 2), ([0, 2], (2, 2), 2), ([0, 1], (2, 2), 3)]
)
def test_shapes_that_do_not_fit_are_a_programming_error(
    labels: list[int], shape: tuple[int, int], groups: int
) -> None:
    with pytest.raises(ValueError):
        score(np.array(labels), np.full(shape, 0.5), ["g"] * groups, CLASSES, "pneumonia", seed=0)
