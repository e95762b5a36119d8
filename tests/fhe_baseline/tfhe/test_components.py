"""The clear head on principal components: its objective stays, its quantisation error shrinks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from he_compare.common.backbones.head import CLIP, Head, LinearModel, train_head
from he_compare.common.contracts import ClearTwin
from he_compare.common.errors import DataError
from he_compare.common.types import Float32Array, Float64Array, IntArray
from he_compare.fhe_baseline.tfhe.components import (
    component_head,
    one_logit,
    standardised_head,
    stretches,
    whitened_head,
)
from he_compare.fhe_baseline.tfhe.library import availability
from he_compare.fhe_baseline.tfhe.prices import prices
from he_compare.fhe_baseline.tfhe.quantised import quantise_head

WIDTH = 24
C = 0.01


def correlated(classes: int, n: int = 240) -> tuple[Float32Array, IntArray]:
    """Features of which few directions carry most of the variance, and their classes."""
    generator = np.random.default_rng(classes)
    labels = np.arange(n) % classes
    hidden = generator.normal(size=(n, WIDTH)) * np.geomspace(6, 0.1, WIDTH)
    hidden[:, :classes] += 4 * np.eye(classes)[labels]
    hidden[:, 12] += labels
    return (hidden @ generator.normal(size=(WIDTH, WIDTH))).astype(np.float32), labels


def clear_head(classes: int) -> Head:
    features, labels = correlated(classes)
    return train_head(features, labels, classes, C)


def distance(scores: Float64Array, classes: int) -> float:
    features, _ = correlated(classes)
    exact = clear_head(classes).scores(features)
    return float(np.abs(scores - exact).max() / exact.std())


@pytest.mark.parametrize("classes", [2, 4])
def test_on_all_components_it_is_the_clear_head_and_whitened_it_is_not(classes: int) -> None:
    features, labels = correlated(classes)
    same = component_head(features, labels, classes, C, WIDTH)
    other = whitened_head(features, labels, classes, C, WIDTH)
    assert distance(same.scores(features), classes) < 0.01
    assert distance(other.scores(features), classes) > 0.1
    assert distance(standardised_head(clear_head(classes)).scores(features), classes) < 1e-12


def test_most_of_the_head_is_left_on_half_of_the_components() -> None:
    features, labels = correlated(2)
    head = component_head(features, labels, 2, C, WIDTH // 2)
    assert head.linear.width == WIDTH // 2
    assert head.variance is not None
    assert 0.95 < head.variance < 1
    assert 0.01 < distance(head.scores(features), 2) < 0.5
    assert head.preparation.name.startswith("standardised, 12 principal components")


def test_no_training_image_is_clipped_by_stretching() -> None:
    features, labels = correlated(3)
    inputs = component_head(features, labels, 3, C, WIDTH).preparation.apply(features)
    reaches = np.abs(inputs).max(axis=0)
    assert reaches.max() == pytest.approx(CLIP)
    assert (np.abs(inputs) > CLIP * (1 - 1e-12)).sum(axis=0).max() <= 1


def squared_error(
    factors: Float64Array, weights: Float64Array, deviations: Float64Array, reaches: Float64Array
) -> float:
    """What uniform rounding of all inputs and of all weights costs, up to a factor."""
    input_step = (factors * reaches).max()
    weight_step = (np.abs(weights) / factors).max()
    inputs = input_step**2 * (weights**2 / factors**2).sum()
    return float(inputs + weight_step**2 * len(weights) * (factors**2 * deviations**2).sum())


@pytest.mark.parametrize("logits", [1, 4])
def test_no_other_stretch_has_a_smaller_error(logits: int) -> None:
    from scipy.optimize import minimize

    generator = np.random.default_rng(logits)
    deviations = np.geomspace(5, 0.2, 6)
    reaches = deviations * generator.uniform(2, 5, 6)
    weights = generator.normal(size=(logits, 6)) * np.geomspace(0.1, 1, 6)
    given = weights, deviations, reaches
    least = squared_error(stretches(*given), *given)
    assert least < 0.7 * squared_error(np.ones(6), *given)
    for start in range(4):
        found = minimize(
            lambda logs: squared_error(np.exp(logs), *given),
            np.random.default_rng(start).normal(size=6),
            method="Nelder-Mead",
            options={"maxiter": 20_000, "maxfev": 20_000},
        )
        assert found.fun > least * (1 - 1e-6)


@pytest.mark.skipif(not availability().available, reason=availability().reason)
@pytest.mark.parametrize("logits", [1, 4])
def test_stretching_halves_the_error_that_concrete_ml_really_makes(logits: int) -> None:
    generator = np.random.default_rng(logits)
    inputs = generator.normal(size=(400, WIDTH)) * np.geomspace(6, 0.06, WIDTH)
    weights = generator.normal(size=(logits, WIDTH)) * np.geomspace(0.02, 0.5, WIDTH)
    if logits == 1:
        weights = np.vstack([-weights, weights]) / 2
    linear = LinearModel(weights, np.zeros(len(weights)))
    given = one_logit(linear), inputs.std(axis=0), np.abs(inputs).max(axis=0)
    errors = {}
    for name, factors in (("stretched", stretches(*given)), ("as they are", np.ones(WIDTH))):
        head = LinearModel(weights / factors, linear.bias)
        scores = quantise_head(head, inputs * factors, 6).clear_scores(inputs * factors)
        errors[name] = float(np.sqrt(np.square(scores - linear.scores(inputs)).mean()))
    assert errors["stretched"] < errors["as they are"] / 2


def test_weights_of_zero_and_heads_of_nothing_but_zeros_stay_finite() -> None:
    deviations, reaches = np.array([2.0, 1.0]), np.array([6.0, 3.0])
    factors = stretches(np.array([[0.5, 0.0]]), deviations, reaches)
    assert np.isfinite(factors).all() and (factors > 0).all()
    assert (factors * reaches).max() == pytest.approx(1)
    np.testing.assert_array_equal(stretches(np.zeros((3, 2)), deviations, reaches), 1 / reaches)


def test_two_classes_are_quantised_as_one_logit() -> None:
    weights = np.array([[-1.0, 2.0], [1.0, -2.0], [0.0, 3.0]])
    two, three = LinearModel(weights[:2], np.zeros(2)), LinearModel(weights, np.zeros(3))
    np.testing.assert_array_equal(one_logit(two), [[2, -4]])
    np.testing.assert_array_equal(one_logit(three), weights)


def test_features_that_do_not_vary_or_lack_a_class_are_refused() -> None:
    features, labels = correlated(2)
    with pytest.raises(DataError, match="do not vary"):
        component_head(np.ones_like(features), labels, 2, C, 5)
    with pytest.raises(DataError, match="no training image of class number 1"):
        component_head(features, np.zeros_like(labels), 2, C, 5)


RIGHT = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
TWINS = (
    ClearTwin("clear head", "", RIGHT),
    ClearTwin("second", "preparation", RIGHT),
    ClearTwin("third", "bits", RIGHT[[0, 2, 2, 3]]),
)


def test_each_step_from_twin_to_twin_has_its_own_price() -> None:
    told = prices(TWINS, np.array([0, 0, 1, 1]), ("a", "b"), "validation images")
    assert told["heads"]["third"] == {"auc": 0.75, "accuracy": 0.75}
    assert told["preparation"] == {"auc": 0, "accuracy": 0}
    assert told["bits"] == {"auc": 0.25, "accuracy": 0.25}
    assert told["n"] == 4


def test_a_price_on_one_class_alone_or_on_no_image_is_none() -> None:
    one_class, no_label = np.zeros(4, dtype=np.int64), np.zeros(0, dtype=np.int64)
    told = prices(TWINS, one_class, ("a", "b"), "validation images")
    assert told["bits"] == {"auc": None, "accuracy": 0.25}
    nothing = [replace(twin, scores=twin.scores[:0]) for twin in TWINS]
    told = prices(nothing, no_label, ("a", "b"), "validation images")
    assert told["preparation"] == {"auc": None, "accuracy": None}
