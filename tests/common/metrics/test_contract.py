"""What every metric must keep to; a new file in common/metrics is tested without a change."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from he_compare.common.plugins import discover
from he_compare.common.statistics.metric import Metric, Predictions, UndefinedMetric, predictions_of

METRICS = [
    pytest.param(metric, id=metric.name)
    for plugin in discover("metrics").values()
    for metric in plugin.load()
]


def made_up(k: int, n: int = 120, seed: int = 0) -> Predictions:
    generator = np.random.default_rng(seed)
    labels = np.r_[np.arange(k), generator.integers(0, k, n - k)]
    logits = generator.normal(size=(n, k)) + np.eye(k)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = tuple(f"class{i}" for i in range(k))
    return predictions_of(labels, probabilities, classes, classes[-1], 0.5).about(0)


def without_positive(predictions: Predictions) -> Predictions:
    return replace(predictions, positive=None)


def repeated(predictions: Predictions, times: np.ndarray) -> Predictions:
    return Predictions(
        labels=np.repeat(predictions.labels, times),
        probabilities=np.repeat(predictions.probabilities, times, axis=0),
        classes=predictions.classes,
        positive=predictions.positive,
        threshold=predictions.threshold,
        focus=predictions.focus,
    )


def test_names_are_unique() -> None:
    names = [parameter.id for parameter in METRICS]
    assert len(names) == len(set(names)) >= 9


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_says_what_it_is(metric: Metric) -> None:
    assert metric.name.islower()
    assert metric.formula and "\n" not in metric.formula
    assert metric.source


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("metric", METRICS)
def test_equal_weights_give_the_point_estimate(metric: Metric, k: int) -> None:
    predictions = made_up(k)
    weights = np.ones((2, len(predictions.labels)))
    got = metric.resampled(predictions, weights)
    assert got.shape == (2,)
    assert got == pytest.approx([metric.value(predictions)] * 2)


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_without_a_positive_class_says_so_or_is_the_same_both_ways(metric: Metric) -> None:
    predictions = without_positive(made_up(2))
    if metric.needs_positive:
        with pytest.raises(UndefinedMetric, match="no class is named positive"):
            metric.value(predictions)
        return
    turned = Predictions(
        labels=1 - predictions.labels,
        probabilities=predictions.probabilities[:, ::-1],
        classes=predictions.classes[::-1],
        positive=None,
        focus=1,
    )
    assert metric.value(predictions) == pytest.approx(metric.value(turned))
    weights = np.ones((1, len(predictions.labels)))
    assert metric.resampled(predictions, weights) == pytest.approx([metric.value(predictions)])


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("metric", METRICS)
def test_weights_mean_repeated_images(metric: Metric, k: int) -> None:
    predictions = made_up(k)
    times = np.random.default_rng(1).integers(0, 4, len(predictions.labels))
    times[:k] += 1
    got = metric.resampled(predictions, times[None].astype(float))[0]
    assert got == pytest.approx(metric.value(repeated(predictions, times)))


@pytest.mark.parametrize("metric", METRICS)
def test_values_lie_in_the_unit_interval_and_outcomes_average_to_them(metric: Metric) -> None:
    predictions = made_up(2)
    value = metric.value(predictions)
    assert 0 <= value <= 1
    if metric.outcomes is not None:
        assert metric.outcomes(predictions).mean() == pytest.approx(value)


@pytest.mark.parametrize("metric", METRICS)
def test_a_perfect_classifier_beats_a_useless_one(metric: Metric) -> None:
    labels = np.array([0, 1] * 10)
    perfect, useless = (
        predictions_of(labels, np.eye(2)[called], ("a", "b"), "b", 0.5).about(1)
        for called in (labels, 1 - labels)
    )
    better, worse = metric.value(perfect), metric.value(useless)
    assert better > worse if metric.higher_is_better else better < worse


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("only", [0, 1])
def test_one_class_only_gives_a_value_or_a_reason(metric: Metric, only: int) -> None:
    predictions = predictions_of(
        np.full(6, only), np.tile([0.3, 0.7], (6, 1)), ("a", "b"), "b", 0.5
    ).about(1 - only)
    try:
        assert math.isfinite(metric.value(predictions))
    except UndefinedMetric as reason:
        assert str(reason)
    metric.resampled(predictions, np.ones((1, 6)))
