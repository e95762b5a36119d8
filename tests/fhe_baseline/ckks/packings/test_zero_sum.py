"""Packing ``zero-sum``: the mask cancels, covers every slot, and hides weights from a division."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from he_compare.common.backbones.head import CLIP, LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError, UsageError
from he_compare.common.types import Side
from he_compare.fhe_baseline.ckks.inference import load_public_material, make_plan, public_material
from he_compare.fhe_baseline.ckks.layouts.slots import SlotLayout
from he_compare.fhe_baseline.ckks.packing import load_packing
from he_compare.fhe_baseline.ckks.packings.zero_sum import LEAK_BITS, gaussian, mask, plan
from he_compare.fhe_baseline.ckks.parameters import PARAMETER_SETS, parameter_set

WIDTH = 20
PARAMETERS = parameter_set("n4096-106-flat")


def head() -> LinearModel:
    generator = np.random.default_rng(8)
    return LinearModel(generator.normal(scale=0.2, size=(2, WIDTH)), np.array([3.0, -3.0]))


@cache
def deployed() -> tuple[LinearModel, Any, Any, bytes]:
    model = head()
    made = make_plan(model, "zero-sum", "auto")
    client = made.packing.make_client(made.parameters, model)
    material = public_material(made, client.public_arrays())
    return model, client, load_public_material(material), material


def clock() -> Clock:
    return Clock(Side.CLIENT)


def test_normal_numbers_of_the_systems_randomness_are_normal() -> None:
    drawn = gaussian(40_000)
    both = np.concatenate([drawn.real, drawn.imag])
    assert abs(both.mean()) < 0.02
    assert both.std() == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(both) < 1.959964) == pytest.approx(0.95, abs=0.005)
    assert not np.array_equal(drawn, gaussian(40_000))


@pytest.mark.parametrize("classes", [2, 3, 11])
def test_a_mask_sums_to_zero_over_each_class_and_leaves_no_slot_bare(classes: int) -> None:
    layout = SlotLayout(WIDTH, classes, 2048)
    drawn = mask(layout, 2.0**33)
    table = drawn[: layout.rows * layout.columns].reshape(layout.rows, layout.columns)
    assert np.abs(table.real.sum(axis=0)).max() < 2.0**-10
    assert np.abs(table.imag.sum(axis=0)).max() > 1e6
    assert np.abs(drawn.real).min() > 1 and np.abs(drawn.imag).min() > 1


def test_the_deviation_gives_the_stated_distance() -> None:
    """Of two shifted normals: shift / (deviation sqrt(2 pi)), the shift at its largest."""
    model = head()
    shift = np.sqrt(2) * CLIP * np.linalg.norm(model.weights)
    distance = shift / plan(PARAMETERS, model).deviation / np.sqrt(2 * np.pi)
    assert distance == pytest.approx(2.0**-LEAK_BITS)


def test_what_is_decrypted_is_noise_until_it_is_added_up() -> None:
    model, client, server, _ = deployed()
    features = np.random.default_rng(3).normal(size=(2, WIDTH))
    replies = server.infer(client.protect(features, clock()), clock())
    plain = client._decrypt(client._shape.load(replies[0], "reply"))
    slots = np.array(client._encoder.decode_complex(plain))
    deviation = plan(PARAMETERS, model).deviation
    assert slots.real.std() == pytest.approx(deviation, rel=0.1)
    assert slots.imag.std() == pytest.approx(deviation, rel=0.1)
    scores = client.reveal(replies, clock())
    np.testing.assert_allclose(scores, model.scores(features), atol=1e-3)


def test_the_second_polynomial_of_a_reply_is_not_the_clients_own_times_the_weights() -> None:
    """Two uploads with one second polynomial: without re-randomising, two equal ones come back."""
    _, client, server, _ = deployed()
    (upload,) = client.protect(np.ones((1, WIDTH)), clock())
    first, second = (
        client._shape.load(server.infer([upload], clock())[0], "reply") for _ in range(2)
    )
    difference = client._seal.Ciphertext()
    client._seal.Evaluator(client._context).sub(first, second, difference)
    assert not difference.is_transparent()


def test_the_error_stays_within_the_prediction() -> None:
    generator = np.random.default_rng(0)
    model = LinearModel(generator.normal(scale=0.05, size=(2, 384)), np.zeros(2))
    made = make_plan(model, "zero-sum", "auto")
    client = made.packing.make_client(made.parameters, model)
    server = load_public_material(public_material(made, client.public_arrays()))
    features = np.clip(generator.normal(size=(12, 384)), -CLIP, CLIP)
    scores = client.reveal(server.infer(client.protect(features, clock()), clock()), clock())
    told = load_packing("zero-sum").facts(PARAMETERS, model)["predicted_score_error_5_sigma"]
    error = np.abs(scores - model.scores(features)).max()
    assert told / 20 < error < told


def test_the_leak_is_stated_and_the_server_gets_no_evaluation_key() -> None:
    model, client, _, _ = deployed()
    told = load_packing("zero-sum").facts(PARAMETERS, model)
    assert told["experiment"] is True
    assert "2^-30" in told["leaks_to_client"]
    assert list(client.public_arrays()) == ["public_key"]


def test_heads_that_need_a_rotation_are_refused() -> None:
    wide = LinearModel(np.ones((11, 1024)), np.zeros(11))
    with pytest.raises(UsageError, match="need a rotation"):
        make_plan(wide, "zero-sum", "n4096-106-flat")


@pytest.mark.parametrize("name", ["n4096", "n4096-106", "n8192-144"])
def test_a_modulus_too_short_for_the_mask_is_refused_or_precise(name: str) -> None:
    model = head()
    misfit = load_packing("zero-sum").misfit(PARAMETER_SETS[name], model)
    predicted = plan(PARAMETER_SETS[name], model).predicted_error
    assert ("scores would be off" in misfit) == (predicted > 1e-2)


def test_a_foreign_or_truncated_public_key_is_refused() -> None:
    _, _, _, material = deployed()
    with pytest.raises(MessageError):
        load_public_material(material[: len(material) // 2])
