"""Levels of steps, stretches between two visits to the client, and the sets that hold them."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.fhe_baseline.ckks.parameters import (
    TRAINING_SETS,
    training_set,
    verdict,
)
from he_compare.fhe_baseline.ckks.training.sets import choose_set, holds, secure_sets, sets_to_try
from he_compare.fhe_baseline.ckks.training.sigmoid import DEGREES, fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import (
    Stretch,
    depth_of,
    divide,
    longest,
    nesterov_steps,
    plain_steps,
    refreshes_needed,
    steps_from_zero,
)
from tests.support.encrypted_training import SMALL, THREE_STEPS, separable, small_task


@pytest.mark.parametrize(("degree", "later"), [(3, 4), (5, 5), (7, 5)])
def test_the_first_step_takes_one_level_and_every_later_one_the_polynomials(
    degree: int, later: int
) -> None:
    assert depth_of(degree) == later
    assert [Stretch(0, count).levels(degree) for count in (1, 2, 3)] == [
        1,
        1 + later,
        1 + 2 * later,
    ]
    assert [Stretch(4, count).levels(degree) for count in (1, 2)] == [later, 2 * later]
    assert steps_from_zero(0, degree) == 0
    for levels in range(1, 30):
        held = steps_from_zero(levels, degree)
        assert Stretch(0, held).levels(degree) <= levels < Stretch(0, held + 1).levels(degree)


@pytest.mark.parametrize("degree", [3, 7])
def test_the_refreshes_that_are_needed_are_enough_and_one_less_is_not(degree: int) -> None:
    for levels in range(1, 16):
        for count in range(1, 12):
            needed = refreshes_needed(count, levels, degree)
            if needed is None:
                assert levels < depth_of(degree)
                continue
            stretches = divide(count, needed, levels, degree)
            assert len(stretches) == needed + 1
            if needed:
                with pytest.raises(UsageError, match="do not fit"):
                    divide(count, needed - 1, levels, degree)


@pytest.mark.parametrize(
    ("count", "refreshes", "levels", "expected"),
    [
        (3, 0, 9, [3]),
        (5, 1, 9, [3, 2]),
        (5, 2, 9, [2, 2, 1]),
        (5, 4, 9, [1, 1, 1, 1, 1]),
        (8, 7, 4, [1] * 8),
    ],
)
def test_steps_are_divided_evenly_and_in_order(
    count: int, refreshes: int, levels: int, expected: list[int]
) -> None:
    stretches = divide(count, refreshes, levels, 3)
    assert [stretch.count for stretch in stretches] == expected
    assert [stretch.first for stretch in stretches] == np.cumsum([0, *expected[:-1]]).tolist()
    assert [stretch.from_zero for stretch in stretches] == [True] + [False] * refreshes
    assert stretches[-1].end == count


@pytest.mark.parametrize(
    ("count", "refreshes", "levels", "complaint"),
    [
        (0, 0, 9, "0 steps are out of range"),
        (201, 0, 9, "201 steps are out of range"),
        (3, 3, 9, "3 refresh rounds cannot stand between 3 steps"),
        (3, -1, 9, "refresh rounds cannot stand"),
        (4, 0, 9, "9 levels hold 3 steps from zero weights; 4 steps with 0 refresh rounds do not"),
        (6, 1, 9, "3 steps from zero weights and 2 between two refreshes"),
        (2, 1, 3, "3 levels hold 1 step from zero weights and 0 between"),
    ],
)
def test_steps_that_do_not_fit_are_refused_with_what_would(
    count: int, refreshes: int, levels: int, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        divide(count, refreshes, levels, 3)


def test_a_circuit_whose_levels_do_not_hold_its_steps_is_refused() -> None:
    small_task(60, 5, steps=3, parameters=THREE_STEPS)
    with pytest.raises(UsageError, match="9 levels hold 3 steps"):
        small_task(60, 5, steps=4, parameters=THREE_STEPS)
    with pytest.raises(UsageError, match="4 levels hold 1 step "):
        small_task(60, 5, steps=2, parameters=SMALL)
    with pytest.raises(UsageError, match="between two refreshes"):
        small_task(60, 5, steps=2, refreshes=1, degree=5, parameters=SMALL)


def test_two_steps_of_different_degree_are_refused() -> None:
    _, problem = small_task(60, 5)
    steps = [*plain_steps(1, 1.0, fit_sigmoid(3, 8)), *plain_steps(1, 1.0, fit_sigmoid(5, 8))]
    with pytest.raises(UsageError, match="same degree"):
        problem.circuit(THREE_STEPS, steps, allow_insecure=True)


@pytest.mark.parametrize("length", [0.0, -1.0, float("nan"), 1e5])
def test_a_step_that_does_not_go_downhill_is_refused(length: float) -> None:
    _, problem = small_task(60, 5)
    with pytest.raises(UsageError, match="does not go downhill"):
        problem.circuit(THREE_STEPS, plain_steps(2, length, fit_sigmoid(3, 8)), allow_insecure=True)


def test_plain_steps_are_equal_and_accelerated_ones_gain_momentum() -> None:
    sigmoid = fit_sigmoid(3, 8)
    plain, accelerated = plain_steps(3, 2.0, sigmoid), nesterov_steps(40, 2.0, sigmoid)
    assert [step.momentum for step in plain] == [0, 0, 0]
    momenta = [step.momentum for step in accelerated]
    assert momenta[0] == 0
    assert momenta == sorted(momenta)
    assert 0.85 < momenta[-1] < 1
    # lambda_2 = (1 + sqrt 5) / 2, lambda_3 = (1 + sqrt(1 + 4 lambda_2^2)) / 2
    assert momenta[1] == pytest.approx((1.6180340 - 1) / 2.1935271, abs=1e-4)
    assert longest([*plain, *plain_steps(1, 5.0, sigmoid)]) == 5.0


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
    assert slopes.max() < 0.26


def test_a_polynomial_of_another_degree_is_refused() -> None:
    with pytest.raises(ValueError, match="degree 4"):
        fit_sigmoid(4, 8)


@pytest.mark.parametrize("name", [name for name in TRAINING_SETS if "insecure" not in name])
def test_every_named_set_for_training_meets_128_bits_of_both_tables(name: str) -> None:
    judged = verdict(training_set(name)).values()
    assert len(judged) == 2
    assert all(one.level is not None and one.level >= 128 for one in judged)
    assert name in secure_sets()


def test_one_set_has_192_bits_by_both_tables_and_the_insecure_one_is_not_offered() -> None:
    assert {one.level for one in verdict(training_set("n16384-297")).values()} == {192}
    assert "n1024-insecure" not in secure_sets()


def test_the_name_of_a_set_tells_ring_and_modulus() -> None:
    for name, parameters in TRAINING_SETS.items():
        ring, bits, *_ = name.split("-")
        assert ring == f"n{parameters.degree}"
        assert bits in (str(parameters.total_bits), "insecure")


@pytest.mark.parametrize(
    ("steps", "refreshes", "degree", "ring"),
    [
        (1, 0, 3, 8192),
        (2, 0, 3, 8192),
        (3, 0, 3, 16384),
        (4, 0, 3, 16384),
        (6, 0, 3, 32768),
        (7, 0, 3, 32768),
        (3, 0, 7, 16384),
        (8, 7, 3, 8192),
        (8, 7, 7, 8192),
    ],
)
def test_auto_takes_the_cheapest_set_that_holds_the_steps(
    steps: int, refreshes: int, degree: int, ring: int
) -> None:
    chosen = choose_set("auto", steps, refreshes, degree)
    assert chosen.degree == ring
    divide(steps, refreshes, chosen.depth, degree)
    before = [training_set(name) for name in secure_sets()]
    for cheaper in before[: before.index(chosen)]:
        assert not holds(cheaper, steps, refreshes, degree)


def test_sets_to_try_are_of_one_ring_the_cheapest_first_or_the_named_one_alone() -> None:
    tried = sets_to_try("auto", 3, 0, 3)
    assert tried[0] == choose_set("auto", 3, 0, 3)
    assert {one.degree for one in tried} == {16384}
    assert all(holds(one, 3, 0, 3) for one in tried)
    assert len(tried) > 2
    assert sets_to_try("n16384-402", 3, 0, 3) == [training_set("n16384-402")]


def test_a_set_that_does_not_hold_the_steps_names_the_sets_that_do() -> None:
    with pytest.raises(UsageError, match=r"n8192-214 has 4 levels, too few for 3 steps") as error:
        choose_set("n8192-214", 3, 0, 3)
    named = [name for name in TRAINING_SETS if name in str(error.value)]
    assert set(named) - {"n8192-214"} == {
        name for name in secure_sets() if training_set(name).depth >= 9
    }
    assert choose_set("n16384-402", 3, 0, 3) == training_set("n16384-402")


def test_steps_that_no_set_holds_are_refused_with_the_refreshes_that_help() -> None:
    with pytest.raises(UsageError, match=r"no parameter set holds 8 steps with 0") as error:
        choose_set("auto", 8, 0, 3)
    assert "or 1 refresh round with n32768-724" in str(error.value)
    with pytest.raises(UsageError, match="3 refresh rounds cannot stand between 3") as error:
        choose_set("auto", 3, 3, 3)
    assert error.value.fix == "use at most 2, or take more steps"
    with pytest.raises(UsageError, match="8 steps with 0 refresh rounds") as error:
        choose_set("n8192-214", 8, 0, 3)
    assert "1 refresh round with n32768-724" in str(error.value)
    with pytest.raises(UsageError, match="too few for 3 steps") as error:
        choose_set("n8192-214", 3, 0, 3)
    assert error.value.fix.endswith("n32768-844, or 2 refresh rounds")


def test_a_set_of_another_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="n16384-310"):
        choose_set("n16384-310", 3, 0, 3)


def test_a_context_below_128_bits_is_refused_unless_it_is_asked_for() -> None:
    from he_compare.fhe_baseline.ckks.training.problem import make_problem

    problem = make_problem(*separable(60, 4, 2), 2, 0.1, balanced=True)
    steps = plain_steps(1, 1.0, fit_sigmoid(3, 12))
    with pytest.raises(UsageError, match="below 128 bits"):
        _ = problem.circuit(SMALL, steps).context
    assert problem.circuit(SMALL, steps, allow_insecure=True).context.parameters_set()
