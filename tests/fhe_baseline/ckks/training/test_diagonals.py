"""Diagonals, baby and giant steps, momentum and sigmoid, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.types import Complex128Array
from he_compare.fhe_baseline.ckks.training.circuit import momentum
from he_compare.fhe_baseline.ckks.training.diagonals import DiagonalLayout, plan_layout
from he_compare.fhe_baseline.ckks.training.scales import MOMENTUM_BITS, choose_scales
from he_compare.fhe_baseline.ckks.training.sigmoid import DEGREES, fit_sigmoid

SHAPES = [
    # rows, columns, slots, forward baby, backward baby
    (10, 7, 16, 2, 4),
    (40, 6, 16, 4, 1),
    (64, 32, 64, 4, 8),
    (100, 33, 64, 8, 2),
    (5, 1, 8, 1, 1),
    (16, 32, 16, 16, 16),
    (1000, 64, 512, 8, 4),
]


def rotate(values: Complex128Array, step: int) -> Complex128Array:
    """What SEAL's rotate_vector does: to the left."""
    return np.roll(values, -step)


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_diagonals_give_the_matrix_times_the_weights(shape: tuple[int, ...]) -> None:
    layout = DiagonalLayout(*shape)
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(layout.rows, layout.columns))
    weights = generator.normal(size=layout.columns)
    spread, baby = layout.spread_weights(weights), layout.forward_baby
    logits = []
    for number in range(layout.groups):
        block = layout.group(matrix, number)
        total = np.zeros(layout.slots, np.complex128)
        for giant in range(0, layout.period, baby):
            inner = sum(
                layout.forward_diagonal(block, giant + b) * rotate(spread, b) for b in range(baby)
            )
            total += rotate(np.asarray(inner), giant)
        logits.append(total.real)
    np.testing.assert_allclose(np.concatenate(logits)[: layout.rows], matrix @ weights)


@pytest.mark.parametrize("shape", SHAPES)
def test_backward_diagonals_and_the_fold_give_the_transpose_times_residuals(
    shape: tuple[int, ...],
) -> None:
    layout = DiagonalLayout(*shape)
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(layout.rows, layout.columns))
    residual = generator.normal(size=layout.rows)
    baby = layout.backward_baby
    total = np.zeros(layout.slots, np.complex128)
    for number in range(layout.groups):
        block = layout.group(matrix, number)
        rows = layout.spread_rows(residual, number).astype(np.complex128)
        for giant in range(0, layout.period, baby):
            inner = sum(
                layout.backward_diagonal(block, giant + b) * rotate(rows, -b) for b in range(baby)
            )
            total += rotate(np.asarray(inner), -giant)
    for step in layout.fold_steps:
        total = total + rotate(total, step)
    gradient, spread = layout.read_weights(total)
    np.testing.assert_allclose(gradient, matrix.T @ residual, atol=1e-9)
    assert spread < 1e-9


@pytest.mark.parametrize(
    ("rows", "slots", "batches"), [(10, 4, 3), (9, 16, 2), (40, 8, 5), (7, 8, 7)]
)
def test_batches_are_stretches_of_whole_groups_and_every_row_is_in_one(
    rows: int, slots: int, batches: int
) -> None:
    layout = plan_layout(rows, 4, slots, batches)
    assert layout.groups == batches * layout.groups_per_batch
    found = []
    for batch in range(batches):
        mine = [np.arange(rows)[layout.rows_of_group(g)] for g in layout.groups_of(batch)]
        np.testing.assert_array_equal(
            np.concatenate(mine), np.arange(rows)[layout.rows_of_batch(batch)]
        )
        assert sum(map(len, mine)) <= layout.batch_rows
        found += mine
    np.testing.assert_array_equal(np.concatenate(found), np.arange(rows))


def test_weights_come_back_from_the_slots_they_were_spread_over() -> None:
    layout = plan_layout(100, 33, 64)
    weights = np.random.default_rng(2).normal(size=33)
    slots = layout.spread_weights(weights)
    np.testing.assert_allclose(layout.read_weights(slots)[0], weights)
    slots[5] += 0.5
    assert layout.read_weights(slots)[1] > 0.2


@pytest.mark.parametrize("shape", [(4096, 256, 4096), (5216, 64, 4096), (300, 1025, 4096)])
def test_the_chosen_baby_steps_are_no_worse_than_any_other(shape: tuple[int, int, int]) -> None:
    chosen = plan_layout(*shape)

    def cost(forward: int, backward: int) -> int:
        giants = 2 * chosen.period // forward - 1, 2 * chosen.period // backward - 1
        return forward + chosen.groups * giants[0] + chosen.groups * (backward - 1) + giants[1]

    babies = [1 << i for i in range(chosen.period.bit_length())]
    best = min(cost(f, b) for f in babies for b in babies)
    assert cost(chosen.forward_baby, chosen.backward_baby) == best
    assert len(chosen.rotations()) <= 4 + len(chosen.fold_steps)


def test_the_first_step_has_no_momentum_and_all_are_whole_multiples() -> None:
    etas = momentum(40)
    assert etas[0] == 0
    assert all(-1 < eta < 0 for eta in etas[1:])
    assert all(eta * 2**MOMENTUM_BITS == round(eta * 2**MOMENTUM_BITS) for eta in etas)
    assert momentum(3) == etas[:3]
    # lambda_2 = (1 + sqrt 5) / 2, lambda_3 = (1 + sqrt(1 + 4 lambda_2^2)) / 2
    assert etas[1] == pytest.approx((1 - 1.6180340) / 2.1935271, abs=2**-9)


@pytest.mark.parametrize("degree", DEGREES)
def test_the_polynomial_is_near_the_logistic_function_inside_and_far_outside(degree: int) -> None:
    sigmoid = fit_sigmoid(degree, 8)
    inside = np.linspace(-8, 8, 101)
    error = np.abs(sigmoid.centred(inside) - np.tanh(inside / 2) / 2).max()
    assert error == pytest.approx(sigmoid.largest_error(), rel=1e-2)
    assert error < {3: 0.13, 5: 0.07, 7: 0.04}[degree]
    assert abs(sigmoid.centred(np.array([24.0]))[0]) > 2
    assert sigmoid.degree == degree
    slopes = np.diff(sigmoid.centred(inside)) / np.diff(inside)
    assert slopes.max() <= sigmoid.steepest() < 0.26


@pytest.mark.parametrize(("degree", "count"), [(3, 5), (3, 10), (5, 6), (7, 6)])
@pytest.mark.parametrize("rows", [100, 5216, 200_000])
def test_scales_meet_where_ciphertexts_are_added_and_every_round_ends_alike(
    degree: int, count: int, rows: int
) -> None:
    primes = [2**44 - 17] + [2**30 - 2**13 * i - 1 for i in range(1, count)]
    sigmoid, rate = fit_sigmoid(degree, 12), 3.7
    plan = choose_scales(primes, sigmoid, rows, rate)
    depth = 4 if degree == 3 else 5
    for step in plan.steps:
        ends = step.residual * plan.backward / primes[step.primes - depth] * rows / rate
        assert ends == pytest.approx(plan.result, rel=1e-12)
    for scale in (plan.forward, plan.backward, plan.sample_weights):
        assert 2**16 < scale < 2**40
    assert plan.steps[0].weights == pytest.approx(plan.result, rel=1e-12)
