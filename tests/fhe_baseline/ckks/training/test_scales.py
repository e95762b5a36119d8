"""Scales of the training circuit: they meet where ciphertexts are added, and tell the error."""

from __future__ import annotations

from dataclasses import replace
from math import isclose
from typing import Any

import numpy as np
import pytest

from he_compare.common.errors import UsageError
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.messages import (
    Address,
    Content,
    ahead_shape,
    gradient_shape,
    logits_shape,
    residual_shape,
    shape_of,
    weights_shape,
)
from he_compare.fhe_baseline.ckks.training.scales import LARGEST_PREDICTED_ERROR, WEIGHT_BOUND
from he_compare.fhe_baseline.ckks.training.sets import choose_set
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import depth_of, nesterov_steps, plain_steps
from tests.support.encrypted_training import (
    THREE_DEEP_STEPS,
    THREE_STEPS,
    small_task,
    train,
    twin_of,
)

CASES = [
    (THREE_STEPS, 3, 3, 0),
    (THREE_STEPS, 3, 7, 3),
    (THREE_DEEP_STEPS, 5, 3, 0),
    (THREE_DEEP_STEPS, 7, 5, 2),
]


def circuit_of(
    parameters: CkksParameters, degree: int, steps: int, refreshes: int, rows: int = 5216
) -> Circuit:
    made = nesterov_steps(steps, 3.7, fit_sigmoid(degree, 12))
    return Circuit(parameters, rows, 20, 1, made, refreshes, allow_insecure=True)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [100, 200_000])
def test_scales_meet_where_ciphertexts_are_added(
    case: tuple[CkksParameters, int, int, int], rows: int
) -> None:
    circuit = circuit_of(*case, rows=rows)
    scales, primes, depth = circuit.scales, circuit.primes, depth_of(circuit.degree)
    for stretch, chain in zip(circuit.stretches, scales.stretches, strict=True):
        for place, one in enumerate(chain):
            step = circuit.steps[stretch.first + place]
            # the gradient that is subtracted from the weights, times length / rows
            folded = one.residual * scales.features / primes[one.after] * rows / step.length
            assert isclose(folded, one.result, rel_tol=1e-9)
            if place + 1 < len(chain):
                following = chain[place + 1]
                assert isclose(following.ahead * (1 + step.momentum), one.result, rel_tol=1e-9)
                assert following.primes == one.after
            else:
                assert one.after == 1
            if one.ahead:
                assert one.primes - one.after == depth
                z = 2 * one.ahead * scales.features / primes[one.primes - 1]
                assert isclose(z, one.logits, rel_tol=1e-9)
                assert isclose(one.logits**2 / primes[one.primes - 2], one.square, rel_tol=1e-9)
            else:
                assert (stretch.first + place, one.primes - one.after) == (0, 1)
                assert scales.targets == one.residual


@pytest.mark.parametrize("case", CASES)
def test_a_whole_training_ends_at_the_scale_that_the_last_prime_holds(
    case: tuple[CkksParameters, int, int, int],
) -> None:
    circuit = circuit_of(*case)
    ends = {chain[-1].result for chain in circuit.scales.stretches}
    assert ends == {circuit.scales.result}
    assert circuit.scales.result * WEIGHT_BOUND * 2 <= circuit.primes[0]
    assert circuit.scales.result * WEIGHT_BOUND * 4 > circuit.primes[0]
    assert circuit.scales.top == max(chain[0].primes for chain in circuit.scales.stretches)
    assert circuit.scales.top <= len(circuit.primes)


def test_only_the_levels_that_are_used_are_uploaded() -> None:
    assert circuit_of(THREE_STEPS, 3, 1, 0).scales.top == 2
    assert circuit_of(THREE_STEPS, 3, 2, 0).scales.top == 6
    assert circuit_of(THREE_STEPS, 3, 3, 0).scales.top == 10
    assert circuit_of(THREE_STEPS, 3, 7, 6).scales.top == 5


def test_shapes_of_messages_are_those_of_the_chain() -> None:
    circuit = circuit_of(THREE_STEPS, 3, 7, 3)
    scales, chain = circuit.scales, circuit.scales.stretches[1]
    assert shape_of(circuit, Address(Content.FEATURES, 0, 0)).scale == scales.features
    assert shape_of(circuit, Address(Content.TARGETS, 0, 0)).scale == scales.targets
    assert shape_of(circuit, Address(Content.PENALTIES, 0, 1)).primes == scales.top
    first, last = chain[0], chain[-1]
    assert ahead_shape(circuit, 1, 0).primes == first.primes
    assert logits_shape(circuit, 1, 0).scale == first.ahead * scales.features
    assert residual_shape(circuit, 1, 0).primes == first.after + 1
    assert gradient_shape(circuit, 1, 0).scale == first.residual * scales.features
    assert (weights_shape(circuit, 1).primes, weights_shape(circuit, 1).scale) == (1, last.result)
    assert weights_shape(circuit, 1, 1).primes == first.after


@pytest.mark.parametrize(
    "task",
    [
        {"rows": 60, "width": 3},
        {"rows": 700, "width": 12},
        {"rows": 200, "width": 6, "classes": 11},
        {"rows": 300, "width": 7, "steps": 1},
        {"rows": 300, "width": 7, "steps": 2, "inverse_l2": 0.001},
        {"rows": 300, "width": 7, "degree": 7, "parameters": THREE_DEEP_STEPS},
        {
            "rows": 300,
            "width": 7,
            "parameters": CkksParameters(1024, (37, *[25] * 9, 47), 25),
        },
    ],
)
def test_the_predicted_error_bounds_the_measured_one_and_not_by_much(task: dict[str, Any]) -> None:
    circuit, problem = small_task(**task)
    difference = train(circuit, problem).weights - twin_of(circuit, problem)[-1].weights
    measured = float(np.abs(difference).max())
    assert measured < circuit.scales.error < 200 * measured


@pytest.mark.parametrize(("steps", "largest"), [(1, 1e-4), (2, 5e-4), (3, 1.5e-3), (6, 1e-3)])
def test_every_set_that_auto_chooses_predicts_small_errors_at_full_size(
    steps: int, largest: float
) -> None:
    parameters = choose_set("auto", steps, 0, 3)
    circuit = Circuit(parameters, 5216, 64, 1, plain_steps(steps, 4.0, fit_sigmoid(3, 10)))
    assert circuit.scales.error < largest


def test_primes_too_small_for_any_precision_are_refused_before_anything_is_encrypted() -> None:
    tiny = CkksParameters(1024, (20, *[20] * 9, 30), 19)
    many = circuit_of(tiny, 3, 3, 0, rows=1 << 22)
    with pytest.raises(UsageError, match="primes of 20 bits leave no precision"):
        _ = many.scales
    step = plain_steps(3, 9999.0, fit_sigmoid(3, 12))
    with pytest.raises(UsageError, match="leave no precision"):
        _ = replace(circuit_of(tiny, 3, 3, 0, rows=60), steps=step).scales
    assert circuit_of(tiny, 3, 1, 0, rows=60).scales.error < LARGEST_PREDICTED_ERROR
