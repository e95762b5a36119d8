"""Bootstrap by group: whole groups, reproducible, paired, fast, and of the right width."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import binomtest

from he_compare.common.run.records import PairedDifference
from he_compare.common.statistics.bootstrap import group_weights, percentile_interval, resample
from he_compare.common.statistics.evaluation import score
from he_compare.common.statistics.paired import (
    BY_PATIENT,
    MCNEMAR,
    as_before,
    paired_difference,
    paired_test,
)

CLASSES = ("normal", "pneumonia")


def predictions(
    n: int, seed: int = 0, skill: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and the probabilities of a better and a worse classifier on the same images."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    noise = generator.normal(size=n)
    better = 1 / (1 + np.exp(-(noise + skill * (2 * labels - 1))))
    worse = 1 / (1 + np.exp(-(noise + 0.4 * skill * (2 * labels - 1))))
    return labels, np.c_[1 - better, better], np.c_[1 - worse, worse]


def test_images_of_a_group_are_drawn_together() -> None:
    weights = group_weights(["a", "b", "a", "c", "b"], 200, seed=1)
    assert weights.shape == (200, 5)
    assert np.array_equal(weights[:, 0], weights[:, 2])
    assert np.array_equal(weights[:, 1], weights[:, 4])
    assert np.all(weights[:, [0, 1, 3]].sum(axis=1) == 3)


def test_draws_follow_from_the_seed_and_not_from_the_order_of_images() -> None:
    groups = [f"g{i % 7}" for i in range(20)]
    assert np.array_equal(group_weights(groups, 30, 5), group_weights(groups, 30, 5))
    assert not np.array_equal(group_weights(groups, 30, 5), group_weights(groups, 30, 6))
    assert np.array_equal(group_weights(groups[::-1], 30, 5), group_weights(groups, 30, 5)[:, ::-1])


def test_resampling_in_portions_equals_resampling_at_once() -> None:
    weights = group_weights([f"g{i}" for i in range(9)], 600, 0)
    values = np.arange(9.0)
    got = resample(lambda portion: portion @ values / 9, weights)
    assert np.allclose(got, weights @ values / 9)


def test_the_interval_of_a_mean_has_the_width_theory_gives() -> None:
    outcomes = np.random.default_rng(0).random(400) < 0.3
    weights = group_weights([f"g{i}" for i in range(400)], 4000, 0)
    interval, note = percentile_interval(resample(lambda w: w @ outcomes / 400, weights))
    assert interval is not None
    assert note == ""
    expected = binomtest(int(outcomes.sum()), 400).proportion_ci(method="wilson")
    assert interval.low == pytest.approx(expected.low, abs=0.008)
    assert interval.high == pytest.approx(expected.high, abs=0.008)


def test_groups_of_alike_images_widen_the_interval() -> None:
    outcomes = np.repeat(np.random.default_rng(0).random(50) < 0.5, 8)
    single = group_weights([f"g{i}" for i in range(400)], 2000, 0)
    grouped = group_weights([f"g{i // 8}" for i in range(400)], 2000, 0)
    widths = []
    for weights in (single, grouped):
        interval, _ = percentile_interval(resample(lambda w: w @ outcomes / w.sum(1), weights))
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert widths[1] > 2 * widths[0]


def test_two_thousand_draws_on_the_test_split_take_under_three_seconds() -> None:
    labels, probabilities, _ = predictions(624)
    groups = [f"g{i // 2}" for i in range(624)]
    score(labels, probabilities, groups, CLASSES, "pneumonia", seed=0, draws=10)
    started = time.perf_counter()
    score(labels, probabilities, groups, CLASSES, "pneumonia", seed=0, draws=2000)
    assert time.perf_counter() - started < 3


def test_the_same_seed_gives_the_same_scores() -> None:
    labels, probabilities, _ = predictions(100)
    groups = [f"g{i // 2}" for i in range(100)]
    runs = [
        score(labels, probabilities, groups, CLASSES, "pneumonia", seed=seed, draws=200)
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("metric", ["auc", "accuracy", "brier"])
def test_equal_pipelines_differ_by_nothing(metric: str) -> None:
    labels, one, _ = predictions(100)
    difference, interval = paired_difference(
        labels,
        [f"g{i}" for i in range(100)],
        one,
        one.copy(),
        metric,
        classes=CLASSES,
        positive_class="pneumonia",
        seed=0,
        draws=200,
    )
    assert difference == 0.0
    assert interval is not None
    assert (interval.low, interval.high) == (0.0, 0.0)


@pytest.mark.parametrize("metric", ["auc", "accuracy"])
def test_a_better_pipeline_is_told_from_a_worse_one(metric: str) -> None:
    labels, better, worse = predictions(400)
    groups = [f"g{i // 2}" for i in range(400)]
    forth, back = (
        paired_difference(
            labels, groups, a, b, metric, classes=CLASSES, positive_class="pneumonia", seed=0
        )
        for a, b in ((better, worse), (worse, better))
    )
    assert forth[0] is not None
    assert back[0] is not None
    assert forth[1] is not None
    assert forth[1].low > 0
    assert forth[1].low < forth[0] < forth[1].high
    assert forth[0] == pytest.approx(-back[0])
    assert forth[1].method == "paired bootstrap by group, 2000 draws"


def test_pairing_narrows_the_interval() -> None:
    labels, better, _ = predictions(300)
    slightly = np.clip(better + np.random.default_rng(1).normal(0, 0.01, better.shape), 0, 1)
    groups = [f"g{i}" for i in range(300)]
    _, paired = paired_difference(
        labels, groups, better, slightly, "auc", classes=CLASSES, positive_class="", seed=0
    )
    values, *_ = score(labels, better, groups, CLASSES, "", seed=0)
    alone = next(value.interval for value in values if value.name == "auc")
    assert paired is not None
    assert alone is not None
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_a_difference_without_values_is_none() -> None:
    labels, one, other = predictions(20)
    broken = one.copy()
    broken[3] = np.nan
    groups = [f"g{i}" for i in range(20)]
    arguments = {"classes": CLASSES, "positive_class": "pneumonia", "seed": 0, "draws": 50}
    assert paired_difference(labels, groups, broken, other, "auc", **arguments) == (None, None)
    assert paired_difference(labels * 0, groups, one, other, "auc", **arguments) == (None, None)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    correct_a = np.array([True] * 9 + [False] * 2 + [True] * 30)
    correct_b = np.array([False] * 9 + [True] * 2 + [True] * 30)
    found = paired_test(correct_a, correct_b, [str(number) for number in range(41)])
    assert (found.only_a, found.only_b, found.method) == (9, 2, MCNEMAR)
    assert found.p_value == pytest.approx(2 * sum((1, 11, 55)) / 2**11)


def test_mcnemar_without_differences_has_p_one() -> None:
    same = np.array([True, False])
    found = paired_test(same, same, ["a", "a"])
    assert (found.only_a, found.only_b, found.p_value, found.method) == (0, 0, 1.0, MCNEMAR)


def test_images_of_one_patient_are_no_independent_evidence() -> None:
    """Nine images of one patient and one of another: two coins, not ten."""
    correct_a, correct_b = np.ones(10, bool), np.zeros(10, bool)
    found = paired_test(correct_a, correct_b, ["one"] * 9 + ["other"])
    assert (found.only_a, found.only_b) == (10, 0)
    assert found.method == BY_PATIENT
    assert found.p_value == pytest.approx(0.5)
    apart = paired_test(correct_a, correct_b, [str(number) for number in range(10)])
    assert apart.p_value == pytest.approx(2 / 2**10)


def test_the_test_by_patient_counts_all_signs() -> None:
    from itertools import product

    random = np.random.default_rng(0)
    correct_a, correct_b = random.random((2, 60)) < 0.6
    groups = [str(number // 6) for number in range(60)]
    sums = [
        int((correct_a[i : i + 6].astype(int) - correct_b[i : i + 6]).sum())
        for i in range(0, 60, 6)
    ]
    flipped = [
        abs(sum(s * d for s, d in zip(signs, sums, strict=True)))
        for signs in product((1, -1), repeat=10)
    ]
    expected = np.mean(np.array(flipped) >= abs(sum(sums)))
    assert paired_test(correct_a, correct_b, groups).p_value == pytest.approx(expected)


def test_a_sheet_from_before_has_mcnemars_test_by_image() -> None:
    difference = PairedDifference(
        metric="accuracy",
        pipeline="a",
        reference="b",
        difference=0.1,
        interval=None,
        p_value=0.5,
        p_method=BY_PATIENT,
        n=10,
        discordant=(9, 2),
    )
    before = as_before(difference)
    assert before.p_value == pytest.approx(2 * sum((1, 11, 55)) / 2**11)
    assert before.p_method == ""
    area = difference.model_copy(update={"metric": "auc", "p_value": None, "discordant": None})
    assert as_before(area) == area
