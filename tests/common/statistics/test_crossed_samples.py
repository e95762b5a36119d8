"""Intervals of means over trainings: they hold patients and trainings, also with few trainings."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.statistics.crossed_samples import (
    interval_of_shares,
    stretched_interval,
    uncertainty_of,
)
from he_compare.common.types import Float64Array

# A coverage of 800 studies has a standard error below 0.01: bounds are 0.95, give or take 0.03.
PATIENTS, DRAWS, STUDIES = 60, 200, 800


def study(
    random: np.random.Generator, weights: Float64Array, trainings: int, parts: tuple[float, ...]
) -> tuple[Float64Array, Float64Array]:
    """Return values and draws of a study whose truth is 0.

    ``parts``: variance of trainings, of patients, and of both together.
    """
    of_trainings, of_patients, together = np.sqrt(parts)
    answers = (
        of_trainings * random.normal(size=(trainings, 1))
        + of_patients * random.normal(size=(1, PATIENTS))
        + together * random.normal(size=(trainings, PATIENTS))
    )
    return answers.mean(axis=1), answers @ weights.T


def plain_bootstrap(draws: Float64Array, random: np.random.Generator) -> tuple[float, float]:
    chosen = random.integers(0, len(draws), size=draws.shape)
    low, high = np.quantile(np.take_along_axis(draws, chosen, 0).mean(axis=0), [0.025, 0.975])
    return float(low), float(high)


def coverage(trainings: int, parts: tuple[float, ...]) -> tuple[float, float]:
    """Return how many intervals held the truth: ours, and those of a plain bootstrap."""
    random = np.random.default_rng(3)
    weights = random.multinomial(PATIENTS, np.ones(PATIENTS) / PATIENTS, size=DRAWS) / PATIENTS
    ours = plain = 0
    for number in range(STUDIES):
        values, draws = study(random, weights, trainings, parts)
        found, _ = stretched_interval(values, draws, seed=number)
        assert found is not None
        ours += found.low <= 0 <= found.high
        low, high = plain_bootstrap(draws, random)
        plain += low <= 0 <= high
    return ours / STUDIES, plain / STUDIES


@pytest.mark.parametrize("parts", [(0.0, 1.0, 1.0), (0.02, 1.0, 1.0), (0.1, 1.0, 1.0)])
def test_95_percent_intervals_of_three_trainings_hold_the_truth_as_often(
    parts: tuple[float, float, float],
) -> None:
    ours, _ = coverage(3, parts)
    assert 0.92 <= ours <= 0.98


def test_a_plain_bootstrap_of_few_trainings_covers_too_little() -> None:
    ours, plain = coverage(3, (1.0, 1.0, 1.0))
    assert 0.92 <= ours <= 0.98 and plain < 0.86
    two, plain_of_two = coverage(2, (1.0, 1.0, 1.0))
    assert two >= 0.93 and plain_of_two < 0.75


def test_equal_trainings_have_the_percentiles_of_one() -> None:
    random = np.random.default_rng(1)
    row = random.normal(size=400)
    found, note = stretched_interval(np.array([0.1] * 3), np.stack([row] * 3), seed=5)
    assert found is not None and not note
    assert [found.low, found.high] == pytest.approx(np.quantile(row, [0.025, 0.975]))


def test_parts_of_the_variance_are_told_apart() -> None:
    random = np.random.default_rng(2)
    shared, own = random.normal(size=20_000), random.normal(size=(4, 20_000))
    found = uncertainty_of(np.array([0.0, 0.1, 0.2, 0.3]), shared + 2 * own)
    assert found.patients == pytest.approx(1.0, abs=0.06)
    assert found.trainings == pytest.approx(np.var([0.0, 0.1, 0.2, 0.3], ddof=1) / 4)
    assert found.quantile(0.95) == pytest.approx(1.96, abs=0.01)


def test_an_interval_stays_within_its_limits_and_says_how_it_was_made() -> None:
    random = np.random.default_rng(4)
    values = np.array([0.99, 0.90])
    found, _ = stretched_interval(
        values, values[:, None] + random.normal(size=(2, 300)) / 100, seed=1, limits=(0.0, 1.0)
    )
    assert found is not None and found.high == 1.0
    assert "2 trainings, 300 draws" in found.method


def test_draws_that_leave_a_value_undefined_are_counted() -> None:
    draws = np.tile(np.linspace(0.4, 0.6, 10), (2, 1))
    draws[0, :4] = np.nan
    found, note = stretched_interval(np.array([0.5, 0.5]), draws, seed=1)
    assert found is not None and note == "undefined in 4 of 10 draws, which are left out"
    draws[1, 4:7] = np.nan
    assert stretched_interval(np.array([0.5, 0.5]), draws, seed=1) == (
        None,
        "no interval: undefined in 7 of 10 draws",
    )


def test_shares_near_one_have_no_interval_beyond_it_and_widen_with_the_trainings() -> None:
    random = np.random.default_rng(6)
    noise = random.normal(size=500) * 0.02
    near = interval_of_shares(np.array([0.97, 0.98, 0.975]), np.tile(0.975 + noise, (3, 1)), 100)
    apart = interval_of_shares(np.array([0.95, 1.0, 0.975]), np.tile(0.975 + noise, (3, 1)), 100)
    assert near is not None and apart is not None
    assert 0 < apart.low < near.low < near.high < 1
    assert interval_of_shares(np.ones(3), np.ones((3, 50)), 100) is None
