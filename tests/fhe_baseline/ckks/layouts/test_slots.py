"""Slot layout of the replicated packing, checked with plain complex arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.backbones.head import CLIP, LinearModel
from he_compare.fhe_baseline.ckks.layouts.scales import plan_scales
from he_compare.fhe_baseline.ckks.layouts.slots import SlotLayout, padded
from he_compare.fhe_baseline.ckks.parameters import parameter_set

SHAPES = [(1, 2), (2, 2), (5, 3), (192, 2), (384, 2), (385, 3), (768, 11), (1023, 7), (192, 128)]


def random_model(width: int, classes: int, seed: int = 0) -> LinearModel:
    generator = np.random.default_rng(seed)
    return LinearModel(
        generator.normal(scale=0.05, size=(classes, width)), generator.normal(size=classes)
    )


def evaluate_in_the_clear(layout: SlotLayout, model: LinearModel, x: np.ndarray) -> np.ndarray:
    """The server's computation on unencrypted slots."""
    slots = np.array(layout.place_features(x))
    products = np.zeros(layout.slots, complex)
    for step, weights in zip([0, *layout.feature_steps], layout.place_weights(model), strict=True):
        products += np.roll(slots, -step) * np.array(weights)
    for step in layout.sum_steps:
        products += np.roll(products, -step)
    return (products + np.array(layout.place_bias(model))).real[: layout.classes]


@pytest.mark.parametrize(("width", "classes"), SHAPES)
@pytest.mark.parametrize("slots", [1024, 2048, 4096])
def test_rotations_and_products_give_every_score(width: int, classes: int, slots: int) -> None:
    model = random_model(width, classes)
    layout = SlotLayout(width, classes, slots)
    assert layout.fits()
    x = np.random.default_rng(1).normal(size=width)
    np.testing.assert_allclose(
        evaluate_in_the_clear(layout, model, x), model.scores(x[None])[0], atol=1e-12
    )


@pytest.mark.parametrize(("width", "classes"), SHAPES)
def test_no_slot_value_exceeds_the_bound_the_scales_rest_on(width: int, classes: int) -> None:
    model = random_model(width, classes)
    layout = SlotLayout(width, classes, 2048)
    worst = CLIP * np.sign(model.weights[0])
    slots = np.array(layout.place_features(worst))
    products = sum(
        np.roll(slots, -step) * np.array(weights)
        for step, weights in zip(
            [0, *layout.feature_steps], layout.place_weights(model), strict=True
        )
    )
    largest = np.abs(products).max()
    for step in layout.sum_steps:
        products = products + np.roll(products, -step)
        largest = max(largest, np.abs(products).max())
    assert largest + np.abs(model.bias).max() <= model.score_bound() + 1e-9


def test_two_classes_of_384_features_need_eight_rotations_and_eleven_of_1024_ten() -> None:
    small, large = SlotLayout(384, 2, 2048), SlotLayout(1024, 11, 2048)
    assert small.feature_steps == []
    assert small.sum_steps == [256, 128, 64, 32, 16, 8, 4, 2]
    assert large.feature_steps == [1, 2, 3]
    assert large.sum_steps == [1024, 512, 256, 128, 64, 32, 16]


def test_features_wider_than_the_slots_do_not_fit() -> None:
    assert not SlotLayout(1024, 2, 256).fits()
    assert SlotLayout(1024, 2, 512).fits()


@pytest.mark.parametrize(("count", "power"), [(1, 1), (2, 2), (3, 4), (192, 256), (512, 512)])
def test_counts_are_padded_to_powers_of_two(count: int, power: int) -> None:
    assert padded(count) == power


@pytest.mark.parametrize("name", ["n4096-106", "n8192-160"])
@pytest.mark.parametrize("size", [0.001, 0.05, 0.5])
def test_the_reply_scale_leaves_room_for_the_largest_score(name: str, size: float) -> None:
    generator = np.random.default_rng(0)
    model = LinearModel(generator.normal(scale=size, size=(2, 384)), np.zeros(2))
    parameters = parameter_set(name)
    plan = plan_scales(parameters, model, SlotLayout(384, 2, parameters.slot_count))
    assert plan.reply * model.score_bound() < 2.0 ** (parameters.modulus_bits[0] - 1)


def test_rotations_come_before_the_rescale_when_precision_asks_for_it() -> None:
    parameters = parameter_set("n4096-106")
    layout = SlotLayout(1024, 2, parameters.slot_count)
    mild, harsh = (LinearModel(np.full((2, 1024), size), np.zeros(2)) for size in (0.01, 0.2))
    assert plan_scales(parameters, mild, layout).rotations_before_rescale == 0
    assert plan_scales(parameters, harsh, layout).rotations_before_rescale > 0


def test_a_model_whose_scores_leave_no_precision_is_refused() -> None:
    parameters = parameter_set("n4096-106")
    wild = LinearModel(np.full((2, 384), 5e4), np.zeros(2))
    assert plan_scales(parameters, wild, SlotLayout(384, 2, parameters.slot_count)).misfit()
