"""Images of one patient are no independent trials: intervals of proportions by patient group."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.run.records import Interval, MetricValue
from he_compare.common.statistics.evaluation import (
    WILSON,
    WILSON_BY_GROUP,
    all_metrics,
    as_wilson,
    measure,
    score,
    wilson_by_group,
    wilson_of_counts,
)
from he_compare.common.statistics.metric import Metric, predictions_of

CLASSES = ("normal", "pneumonia")


def metrics(right: np.ndarray, groups: list[str]) -> dict[str, MetricValue]:
    """Score images of two alternating classes that are answered right where ``right`` says so."""
    labels = np.arange(len(right)) // 8 % 2
    called = np.where(right, labels, 1 - labels)
    found, *_ = score(labels, np.eye(2)[called], groups, CLASSES, "pneumonia", seed=0)
    return {one.name: one for one in found}


def interval(metric: MetricValue) -> Interval:
    assert metric.interval is not None
    return metric.interval


# Fifty patients with eight images each, all of a patient's images right or all wrong.
RIGHT = np.repeat(np.random.default_rng(0).random(50) < 0.7, 8)
PATIENTS = [f"p{number // 8}" for number in range(400)]
ALONE = [f"i{number}" for number in range(400)]
SHARES = ("accuracy", "sensitivity", "specificity", "recall[normal]", "recall[pneumonia]")


@pytest.mark.parametrize("name", SHARES)
def test_an_image_for_each_patient_gives_wilson(name: str) -> None:
    assert interval(metrics(RIGHT, ALONE)[name]).method == WILSON


@pytest.mark.parametrize("name", SHARES)
def test_images_of_a_patient_that_agree_count_as_one(name: str) -> None:
    """Eight equal images of each patient: the interval of as many trials as there are patients."""
    alone, found = (metrics(RIGHT, groups)[name] for groups in (ALONE, PATIENTS))
    assert found.interval and found.interval.method == WILSON_BY_GROUP and found.value is not None
    patients = found.n // 8
    expected = wilson_of_counts(round(found.value * patients), patients)
    # The variance over m patients is divided by m - 1.
    assert found.interval.low == pytest.approx(expected.low, abs=0.01)
    assert found.interval.high == pytest.approx(expected.high, abs=0.01)
    assert found.interval.high - found.interval.low > 2 * (
        interval(alone).high - interval(alone).low
    )


def test_images_of_a_patient_that_differ_by_chance_change_little() -> None:
    right = np.random.default_rng(1).random(400) < 0.8
    one, other = (interval(metrics(right, groups)["accuracy"]) for groups in (ALONE, PATIENTS))
    assert other.low == pytest.approx(one.low, abs=0.02)
    assert other.high == pytest.approx(one.high, abs=0.02)
    assert other.high - other.low >= one.high - one.low - 1e-12


def test_intervals_cover_a_share_near_one_where_the_bootstrap_does_not() -> None:
    """Three of 36 patients have three images that mostly agree; the share is 0.95."""
    random = np.random.default_rng(0)
    share, sizes = 0.95, np.where(np.arange(36) < 3, 3, 1)
    patients = np.repeat(np.arange(36), sizes).astype(str)
    covered = {"wilson": 0, "bootstrap": 0}
    for _ in range(300):
        chance = random.beta(share * 2 / 3, (1 - share) * 2 / 3, 36)
        right = random.random(sizes.sum()) < np.repeat(chance, sizes)
        found = wilson_by_group(right, patients)
        assert found is not None
        covered["wilson"] += found.low <= share <= found.high
        hits = np.bincount(np.repeat(np.arange(36), sizes), weights=right, minlength=36)
        times = random.multinomial(36, np.full(36, 1 / 36), 200)
        low, high = np.quantile(times @ hits / (times @ sizes), (0.025, 0.975))
        covered["bootstrap"] += low <= share <= high
    assert covered["wilson"] >= 0.92 * 300 > 0.88 * 300 > covered["bootstrap"]


def test_groups_of_the_other_class_do_not_matter_for_a_recall() -> None:
    """Only patients of class normal have several images: sensitivity is as if none had."""
    pairs = zip(PATIENTS, ALONE, strict=True)
    groups = [a if i // 8 % 2 == 0 else b for i, (a, b) in enumerate(pairs)]
    found = metrics(RIGHT, groups)
    assert interval(found["sensitivity"]).method == WILSON
    assert interval(found["specificity"]).method == WILSON_BY_GROUP


def test_where_all_images_are_right_each_patient_is_one_trial() -> None:
    found = metrics(np.ones(400, dtype=bool), PATIENTS)["accuracy"]
    expected = wilson_of_counts(50, 50)
    assert found.value == 1.0 and found.n == 400 and found.note == ""
    assert interval(found).low == pytest.approx(expected.low)
    assert interval(found).high == 1.0
    nothing = metrics(np.zeros(400, dtype=bool), PATIENTS)["accuracy"]
    assert interval(nothing).low == 0.0
    assert interval(nothing).high == pytest.approx(1 - expected.low)


def test_one_patient_has_no_interval_at_all() -> None:
    found = metrics(RIGHT, ["only"] * 400)["accuracy"]
    assert found.interval is None and "one patient group" in found.note


def test_older_sheets_took_every_image_as_independent() -> None:
    now, before = metrics(RIGHT, PATIENTS), metrics(RIGHT, ALONE)
    for name in SHARES:
        assert as_wilson(now[name]) == before[name]
    assert as_wilson(now["auc"]) == now["auc"]
    empty = now["accuracy"].model_copy(update={"value": None, "n": 0})
    assert as_wilson(empty) == empty


def test_an_area_without_an_interval_names_the_class_with_too_few_images() -> None:
    labels = np.array([0] * 30 + [1] + [2])
    random = np.random.default_rng(0)
    chances = random.dirichlet(np.ones(3), 32)
    classes = ("wide", "rare", "rarer")
    found, *_ = score(labels, chances, [str(i) for i in range(32)], classes, "", seed=0)
    area = next(one for one in found if one.name == "auc")
    assert area.value is not None and area.interval is None
    assert area.note.startswith("no interval: undefined in ")
    assert area.note.endswith("only 1 image of rare and of rarer")


def test_a_proportion_whose_trials_are_not_named_is_refused() -> None:
    share = next(one for one in all_metrics() if one.name == "sensitivity")
    nameless = Metric(
        share.name, share.formula, share.source, share.value, share.resampled, share.outcomes
    )
    predictions = predictions_of(
        np.array([0, 1, 1]), np.tile([0.4, 0.6], (3, 1)), CLASSES, "pneumonia", 0.5
    )
    with pytest.raises(ValueError, match="2 outcomes for 3 trials"):
        measure(nameless, "sensitivity", predictions, np.ones((2, 3), np.uint16), list("abc"))
