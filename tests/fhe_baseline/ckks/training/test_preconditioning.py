"""Preconditioned coordinates keep the clear head's own objective; whitened ones change it."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.backbones.head import LinearModel, train_head
from he_compare.common.errors import DataError
from he_compare.common.types import Float32Array, Float64Array, IntArray
from he_compare.fhe_baseline.ckks.training.choosing import prepared_scores
from he_compare.fhe_baseline.ckks.training.clear_references import (
    fit_optimum,
    loss,
    relative_difference,
    run_twin,
)
from he_compare.fhe_baseline.ckks.training.preparing import (
    Coordinates,
    LabelledFeatures,
    Wish,
    make_task,
)
from he_compare.fhe_baseline.ckks.training.problem import encode_labels
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import plain_steps
from he_compare.fhe_baseline.preparation import (
    fit_preconditioning,
    fit_standardisation,
    fit_whitening,
)

ROWS, WIDTH = 240, 20


def correlated(classes: int, seed: int = 0) -> tuple[Float32Array, IntArray]:
    """Features of a DeiT's kind: correlated, of very different variances and means."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(ROWS) % classes)
    labels[: ROWS // 4] = 0  # unbalanced
    mixing = generator.normal(size=(WIDTH, WIDTH)) * 0.8 ** np.arange(WIDTH)[:, None]
    centres = generator.normal(size=(classes, WIDTH))
    hidden = generator.normal(size=(ROWS, WIDTH)) + 0.7 * centres[labels]
    features = hidden @ mixing * np.geomspace(0.1, 10, WIDTH) + generator.normal(size=WIDTH)
    return features.astype(np.float32), labels


def wish(coordinates: Coordinates, inverse_l2: float) -> Wish:
    return Wish(coordinates, 0, 3, 3, 0, inverse_l2, True, 1, False, 0)


def optimal_scores(
    features: Float32Array, labels: IntArray, classes: int, coordinates: Coordinates, c: float
) -> Float64Array:
    """Return the scores of scikit-learn's optimum in some coordinates."""
    train = LabelledFeatures(features, labels)
    preparation, problem = make_task(train, classes, wish(coordinates, c), WIDTH)
    return prepared_scores(preparation, fit_optimum(problem), features)


@pytest.mark.parametrize("inverse_l2", [0.001, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_optimum_is_the_clear_heads_with_all_components(
    classes: int, inverse_l2: float
) -> None:
    features, labels = correlated(classes)
    scores = {
        coordinates: optimal_scores(features, labels, classes, coordinates, inverse_l2)
        for coordinates in ("preconditioned", "whitened", "standardised")
    }
    standard = scores["standardised"]
    assert np.abs(standard).max() > 0.1
    np.testing.assert_allclose(scores["preconditioned"], standard, atol=1e-3)
    if inverse_l2 <= 0.1:  # another objective; with hardly a penalty all agree
        assert np.abs(scores["whitened"] - standard).max() > 0.02


@pytest.mark.parametrize("inverse_l2", [0.001, 0.01, 0.1])
def test_the_optimum_is_that_of_the_head_that_pipelines_compare_with(inverse_l2: float) -> None:
    features, labels = correlated(2)
    head = train_head(features, labels, 2, inverse_l2)
    model: LinearModel = head.linear
    clear = model.scores(head.standardise(features))
    found = optimal_scores(features, labels, 2, "preconditioned", inverse_l2)
    np.testing.assert_allclose(found[:, 1] - found[:, 0], clear[:, 1] - clear[:, 0], atol=2e-3)


@pytest.mark.parametrize("inverse_l2", [0.001, 0.1, 10.0])
def test_the_bound_of_the_hessian_is_the_identity_over_four(inverse_l2: float) -> None:
    features, labels = correlated(2)
    _, problem = make_task(
        LabelledFeatures(features, labels), 2, wish("preconditioned", inverse_l2), WIDTH
    )
    weighted = problem.matrix * problem.sample_weights[0][:, None]
    bound = weighted.T @ problem.matrix / ROWS / 4 + np.diag(problem.penalties)
    np.testing.assert_allclose(bound, np.eye(WIDTH + 1) / 4, atol=1e-3)
    assert problem.safe_length() == pytest.approx(4, rel=1e-2)


def test_the_true_hessian_stays_below_the_bound_wherever_the_weights_are() -> None:
    features, labels = correlated(2)
    _, problem = make_task(
        LabelledFeatures(features, labels), 2, wish("preconditioned", 0.01), WIDTH
    )
    generator = np.random.default_rng(1)
    for size in (0.0, 0.1, 1.0, 10.0):
        logits = problem.matrix @ generator.normal(size=WIDTH + 1) * size
        slopes = problem.sample_weights[0] * (1 - np.tanh(logits / 2) ** 2) / 4
        hessian = (problem.matrix * slopes[:, None]).T @ problem.matrix / ROWS
        hessian += np.diag(problem.penalties)
        assert np.linalg.eigvalsh(hessian)[-1] < 0.2501


@pytest.mark.parametrize("classes", [2, 4])
def test_three_safe_steps_come_nearer_to_the_optimum_than_in_standardised_coordinates(
    classes: int,
) -> None:
    features, labels = correlated(classes)

    def left(coordinates: Coordinates) -> float:
        _, problem = make_task(
            LabelledFeatures(features, labels), classes, wish(coordinates, 0.01), WIDTH
        )
        steps = plain_steps(3, problem.safe_length(), fit_sigmoid(3, 12))
        reached = run_twin(problem, steps, exact=True)[-1].weights
        lowest, highest = (loss(problem, w) for w in (fit_optimum(problem), 0 * reached))
        return (loss(problem, reached) - lowest) / (highest - lowest)

    assert left("preconditioned") < left("standardised") / 3
    assert left("preconditioned") < 0.15


def test_components_that_are_left_out_cost_little_when_they_vary_least() -> None:
    features, labels = correlated(2)
    full = optimal_scores(features, labels, 2, "standardised", 0.01)

    def distance(kept: int) -> float:
        train = LabelledFeatures(features, labels)
        preparation, problem = make_task(train, 2, wish("preconditioned", 0.01), kept)
        assert preparation.width == kept
        return relative_difference(
            prepared_scores(preparation, fit_optimum(problem), features), full
        )

    assert distance(WIDTH) < 0.01
    assert distance(WIDTH) < distance(10) < distance(3) < distance(1)


def test_penalties_belong_to_the_variances_of_the_components() -> None:
    features, labels = correlated(2)
    _, weights = encode_labels(labels, ROWS, 2, balanced=True)
    found = fit_preconditioning(features, weights.mean(axis=0), 0.25, WIDTH)
    assert found.penalties.shape == (WIDTH,)
    assert (np.diff(found.penalties) > 0).all()  # the largest variance first
    prepared = found.preparation.apply(features)
    variances = (weights[0][:, None] * prepared**2).mean(axis=0)
    np.testing.assert_allclose(variances + 4 * found.penalties, 1, atol=1e-3)


def test_whitened_components_have_variance_one_and_their_names_tell_how_many() -> None:
    features, _ = correlated(2)
    whitened = fit_whitening(features, 7)
    prepared = whitened.apply(features)
    np.testing.assert_allclose(np.cov(prepared.T, bias=True), np.eye(7), atol=0.02)
    assert whitened.name == "PCA-whitened to 7"
    found = fit_preconditioning(features, np.ones(ROWS), 0.1, 7).preparation
    assert (found.name, found.width) == ("preconditioned, 7 components", 7)


def test_features_that_hardly_vary_are_left_out_of_the_components() -> None:
    features, _ = correlated(2)
    doubled = np.hstack([features, features])
    assert fit_whitening(doubled, 40).width == WIDTH
    assert fit_preconditioning(doubled, np.ones(ROWS), 0.1, 40).preparation.width == WIDTH
    with pytest.raises(DataError, match="do not vary"):
        fit_whitening(np.ones((10, 4)), 4)
    with pytest.raises(DataError, match="do not vary"):
        fit_preconditioning(np.ones((10, 4)), np.ones(10), 0.1, 4)


def test_a_constant_feature_is_kept_out_of_harms_way() -> None:
    features, _ = correlated(2)
    features[:, 3] = 2.5
    prepared = fit_standardisation(features).apply(features)
    assert np.isfinite(prepared).all()
    np.testing.assert_array_equal(prepared[:, 3], 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(value: float) -> None:
    features, _ = correlated(2)
    features[3, 3] = value
    for fit in (fit_standardisation, lambda table: fit_whitening(table, 3)):
        with pytest.raises(DataError, match="NaN or infinite"):
            fit(features)


def test_features_of_another_width_or_shape_are_refused() -> None:
    features, labels = correlated(2)
    preparation, _ = make_task(
        LabelledFeatures(features, labels), 2, wish("preconditioned", 0.1), 5
    )
    with pytest.raises(DataError, match="features of width 19, expected 20"):
        preparation.apply(features[:, :-1])
    for shape in ((0, WIDTH), (WIDTH,), (2, 3, 4)):
        with pytest.raises(DataError, match="are not a table"):
            preparation.apply(np.zeros(shape))


@pytest.mark.parametrize("coordinates", ["preconditioned", "whitened", "standardised"])
def test_prepared_features_are_clipped_where_an_image_is_far_from_all_others(
    coordinates: Coordinates,
) -> None:
    features, labels = correlated(2)
    task = LabelledFeatures(features, labels)
    preparation, _ = make_task(task, 2, wish(coordinates, 0.1), WIDTH)
    assert np.abs(preparation.apply(features * 1e6)).max() == 8
