"""Coefficients: the product's places hold the sums of features times weights of each class."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.fhe_baseline.ckks.layouts.coefficients import CoefficientLayout


def negacyclic(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    whole = np.convolve(first, second)
    wrapped = whole[: len(first)].copy()
    wrapped[: len(first) - 1] -= whole[len(first) :]
    return wrapped


@pytest.mark.parametrize(("width", "classes"), [(1, 2), (5, 3), (16, 4), (21, 3)])
def test_the_places_hold_each_class_s_sum_alone(width: int, classes: int) -> None:
    layout = CoefficientLayout(width, classes, 64)
    assert layout.fits()
    random = np.random.default_rng(width)
    features, weights = random.normal(size=width), random.normal(size=(classes, width))
    product = negacyclic(layout.place_features(features), layout.place_weights(weights))
    np.testing.assert_allclose(product[layout.places], weights @ features)


def test_more_weights_than_coefficients_do_not_fit() -> None:
    assert not CoefficientLayout(33, 2, 64).fits()
