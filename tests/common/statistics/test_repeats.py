"""Intervals over images that were tried several times."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.statistics.evaluation import wilson
from he_compare.common.statistics.repeats import wilson_of_repeats


def width(outcomes: list[list[bool]]) -> float:
    found = wilson_of_repeats(np.array(outcomes))
    return found.high - found.low


def test_one_draw_has_the_interval_of_wilson() -> None:
    outcomes = np.random.default_rng(0).random(40) < 0.7
    found, known = wilson_of_repeats(outcomes[None]), wilson(outcomes)
    assert (found.low, found.high) == pytest.approx((known.low, known.high))
    assert found.method == "Wilson"


def test_draws_that_all_say_the_same_are_worth_one() -> None:
    once = [True] * 7 + [False] * 5
    assert width([once] * 5) == pytest.approx(width([once]), rel=0.05)


def test_draws_that_are_independent_are_worth_as_many_images() -> None:
    rng = np.random.default_rng(3)
    outcomes = rng.random((4, 400)) < 0.5
    found = wilson_of_repeats(outcomes)
    known = wilson(outcomes.ravel())
    assert found.high - found.low == pytest.approx(known.high - known.low, rel=0.15)


def test_equal_outcomes_are_worth_the_images_alone() -> None:
    assert width([[True] * 12] * 3) == pytest.approx(width([[True] * 12]))
    assert wilson_of_repeats(np.zeros((3, 12), bool)).low == 0.0


def test_the_interval_holds_the_luck_of_the_draw() -> None:
    """Of 200 runs some 95 in 100 hold the truth, images and draws both new in each."""
    rng, held, truth = np.random.default_rng(1), 0, 0.8 * 0.7
    for _ in range(200):
        right_when_clean = rng.random(40) < 0.8
        spared = rng.random((3, 40)) < 0.7
        found = wilson_of_repeats(right_when_clean & spared)
        held += found.low <= truth <= found.high
    assert 182 <= held <= 199


def test_no_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="no outcomes"):
        wilson_of_repeats(np.zeros((0, 0), bool))
