"""Diagonals, lanes, baby and giant steps and folds, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.types import Complex128Array, Float64Array
from he_compare.fhe_baseline.ckks.training.diagonals import DiagonalLayout, plan_layout

SHAPES = [
    # rows, columns, slots, baby, lanes
    (10, 7, 16, 2, 1),
    (40, 6, 16, 4, 1),
    (64, 32, 64, 8, 1),
    (100, 33, 64, 8, 2),
    (5, 1, 8, 1, 1),
    (16, 32, 16, 16, 1),
    (1000, 64, 512, 4, 4),
    (30, 5, 64, 2, 8),
]


def layout_of(shape: tuple[int, ...]) -> DiagonalLayout:
    rows, columns, slots, baby, lanes = shape
    return DiagonalLayout(rows, columns, slots, baby, lanes)


def rotate(values: Complex128Array, step: int) -> Complex128Array:
    """What SEAL's rotate_vector does: to the left."""
    return np.roll(values, -step)


def forward(
    layout: DiagonalLayout, block: Complex128Array, spread: Complex128Array
) -> Complex128Array:
    """Return X v of a group as the module docstring has it."""
    total = np.zeros(layout.slots, np.complex128)
    for giant in range(layout.giants):
        inner = sum(
            layout.diagonal(block, giant * layout.baby + baby)
            * rotate(spread, baby * layout.baby_step)
            for baby in range(layout.baby)
        )
        total += rotate(np.asarray(inner), giant * layout.giant_step)
    return total


@pytest.mark.parametrize("shape", SHAPES)
def test_diagonals_give_the_matrix_times_the_weights_of_every_lane(shape: tuple[int, ...]) -> None:
    layout = layout_of(shape)
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(layout.rows, layout.columns))
    weights = generator.normal(size=(layout.lanes, layout.columns))
    spread = layout.spread_weights(weights)
    logits = []
    for number in range(layout.groups):
        found = forward(layout, layout.group(matrix, number), spread)
        logits.append(found.real.reshape(layout.group_rows, layout.lanes))
    np.testing.assert_allclose(np.concatenate(logits)[: layout.rows], matrix @ weights.T, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("doublings", [1, 2, 3])
def test_the_same_diagonals_and_the_folds_give_the_transpose_times_residuals(
    shape: tuple[int, ...], doublings: int
) -> None:
    rows, columns, slots, baby, lanes = shape
    layout = DiagonalLayout(rows, columns, slots, baby, lanes, doublings=doublings)
    generator = np.random.default_rng(1)
    matrix = generator.normal(size=(layout.rows, layout.columns))
    residual = generator.normal(size=(layout.lanes, layout.rows))
    total = np.zeros(layout.slots, np.complex128)
    for number in range(layout.groups):
        block = layout.group(matrix, number)
        values = layout.spread_rows(residual, number).astype(np.complex128)
        for one in range(layout.baby):
            inner = sum(
                layout.diagonal(block, giant * layout.baby + one)
                * rotate(values, -giant * layout.giant_step)
                for giant in range(layout.giants)
            )
            total += rotate(np.asarray(inner), -one * layout.baby_step)
    for step, times in layout.folds:
        turned = total
        for _ in range(times):
            turned = rotate(turned, step)
        total = total + turned
    gradient, spread = layout.read_weights(np.conj(total))
    np.testing.assert_allclose(gradient, residual @ matrix, atol=1e-9)
    assert spread < 1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_every_rotation_of_the_circuit_is_among_those_that_get_a_key(
    shape: tuple[int, ...],
) -> None:
    layout = layout_of(shape)
    keys = layout.rotations()
    assert len(set(keys)) == len(keys)
    used = {step for step, _ in layout.folds}
    if layout.baby > 1:
        used |= {layout.baby_step, -layout.baby_step}
    if layout.giants > 1:
        used |= {layout.giant_step, -layout.giant_step}
    assert set(keys) == used
    assert all(0 < abs(step) < layout.slots for step in keys)


def test_fewer_keys_turn_more_often_for_the_same_folds() -> None:
    few, balanced, fast = (
        DiagonalLayout(5216, 64, 8192, 8, doublings=doublings) for doublings in (4, 2, 1)
    )
    assert len(few.rotations()) < len(balanced.rotations()) < len(fast.rotations())
    assert few.key_switches(1) > balanced.key_switches(1) > fast.key_switches(1)
    for layout in (few, balanced, fast):
        total = layout.period
        for step, times in layout.folds:
            assert step * times == total  # doubles what is summed
            total *= 2
        assert total == layout.slots


@pytest.mark.parametrize(
    ("rows", "slots", "batches"), [(10, 4, 3), (9, 16, 2), (40, 8, 5), (7, 8, 7)]
)
def test_batches_are_stretches_of_whole_groups_and_every_row_is_in_one(
    rows: int, slots: int, batches: int
) -> None:
    layout = plan_layout(rows, 4, 1, slots, batches)
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
    layout = plan_layout(20, 33, 2, 64)
    assert layout.lanes == 2
    weights = np.random.default_rng(2).normal(size=(2, 33))
    slots = layout.spread_weights(weights)
    found, spread = layout.read_weights(slots)
    np.testing.assert_allclose(found, weights)
    assert spread == 0
    wide = plan_layout(100, 33, 1, 64)
    slots = wide.spread_weights(weights[:1])
    slots[5] += 0.5
    assert wide.read_weights(slots)[1] > 0.2


@pytest.mark.parametrize(
    ("rows", "classifiers", "lanes"),
    [
        (100, 1, 1),
        (100, 3, 4),
        (100, 5, 4),  # eight lanes would need a second group
        (60, 5, 8),
        (60, 11, 8),
        (300, 3, 1),
        (513, 3, 1),
        (600, 3, 1),
    ],
)
def test_classifiers_share_a_ciphertext_where_that_costs_no_further_group(
    rows: int, classifiers: int, lanes: int
) -> None:
    layout = plan_layout(rows, 6, classifiers, 512)
    assert layout.lanes == lanes
    assert layout.groups == -(-rows // 512)


def test_lanes_leave_room_for_the_columns() -> None:
    assert plan_layout(8, 6, 11, 512).lanes == 16
    assert plan_layout(8, 200, 11, 512).lanes == 4


@pytest.mark.parametrize("shape", [(4096, 256, 1), (5216, 64, 1), (300, 1025, 1), (500, 64, 5)])
def test_the_chosen_baby_steps_are_no_worse_than_any_other(shape: tuple[int, int, int]) -> None:
    rows, columns, classifiers = shape
    chosen = plan_layout(rows, columns, classifiers, 4096)
    passes = -(-classifiers // chosen.lanes)
    costs = [
        DiagonalLayout(rows, columns, 4096, 1 << i, chosen.lanes).key_switches(passes)
        for i in range(chosen.period.bit_length())
    ]
    assert plan_layout(rows, columns, classifiers, 4096, 1, 1).key_switches(passes) == min(costs)
    assert len(chosen.rotations()) <= 4 + len(chosen.folds)


def test_padding_beyond_rows_and_columns_is_zero() -> None:
    layout = plan_layout(5, 3, 1, 16)
    block = layout.group(np.ones((5, 3)), 0)
    assert block[5:].sum() == 0
    assert np.abs(block).sum() == pytest.approx(5 * (np.sqrt(2) + 1))
    values: Float64Array = layout.spread_rows(np.ones((1, 5)), 0)
    assert values.tolist() == [1.0] * 5 + [0.0] * 11
