"""The rules that turn a metric between its floor and its ceiling into a verdict."""

from __future__ import annotations

import math

import pytest

from he_compare.common.attack_score import AS_IT_IS, AttackMetric
from he_compare.common.audit_budget import BUDGETS
from he_compare.comparisons.attacks.tools.likeness import PUBLIC_MEAN
from he_compare.comparisons.auditing.floors import EXACT_CHANCE, NOISE
from he_compare.comparisons.auditing.intervals import interval_over_keys, share_interval
from he_compare.comparisons.auditing.verdicts import (
    advantage,
    control_problems,
    judge,
    larger,
    scale_of,
)

ACCURACY = AttackMetric("top-1 accuracy", best=1.0)
SSIM = AttackMetric("SSIM")


@pytest.mark.parametrize(
    ("value", "floor", "ceiling", "expected"),
    [
        (0.5, 0.0, 1.0, 0.5),
        (0.0, 0.2, 1.0, 0.0),
        (1.5, 0.2, 1.0, 1.0),
        (10.0, 40.0, 0.0, 0.75),
        (3.0, 1.0, 1.0, 0.0),
    ],
)
def test_advantage_lies_between_floor_and_ceiling_whatever_the_direction(
    value: float, floor: float, ceiling: float, expected: float
) -> None:
    assert advantage(value, floor, ceiling) == pytest.approx(expected)


def test_interval_is_students_over_keys_and_none_for_one_key() -> None:
    interval = interval_over_keys([0.4, 0.5, 0.6], 0.0, 1.0)
    assert interval is not None
    assert interval.low == pytest.approx(0.5 - 4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert interval.method == "Student's t over 3 keys; images are not resampled"
    assert interval_over_keys([0.4], 0.0, 1.0) is None


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.99, 1.0, 1.0], "broken"),
        ([0.5, 0.52, 0.51], "partial"),
        ([0.0, 0.01, 0.0], "resists within budget"),
    ],
)
def test_verdict_follows_the_whole_interval(values: list[float], verdict: str) -> None:
    interval = interval_over_keys(values, 0.0, 1.0)
    assert judge(sum(values) / 3, interval).verdict == verdict


def test_a_budget_too_small_to_conclude_is_said_and_is_no_pass() -> None:
    interval = interval_over_keys([0.0, 0.9, 0.0], 0.0, 1.0)
    judgement = judge(0.3, interval, advice=larger(BUDGETS["quick"]))
    assert judgement.verdict == "unreliable"
    assert judgement.reason == ("the budget is too small to conclude; run it with --budget full")
    assert judgement.unreliable[0].startswith("the advantage lies between 0.00 and ")
    assert judge(0.3, interval, advice=larger(BUDGETS["full"])).reason == (
        "the budget is too small to conclude"
    )


def test_one_key_is_judged_by_its_value() -> None:
    assert judge(0.95, None).verdict == "broken"
    assert judge(0.05, None).verdict == "resists within budget"


def test_well_behaved_controls_give_no_problem() -> None:
    controls = {"identity": 0.98, "noise": 0.01, "aes_ctr": 0.02}
    assert control_problems(ACCURACY, 0.01, 1.0, controls) == ()


def test_an_attack_that_does_not_win_on_unprotected_images_is_unreliable() -> None:
    problems = control_problems(SSIM, 0.30, 0.33, {"identity": 0.33, "noise": 0.30})
    assert problems[0].sentence.startswith("control identity: the attack does not win")
    judgement = judge(0.0, None, problems)
    assert (judgement.verdict, judgement.controls_failed) == ("unreliable", ("identity",))


def test_an_attack_that_wins_on_aes_is_unreliable() -> None:
    controls = {"identity": 1.0, "noise": 0.0, "aes_ctr": 0.4}
    problems = control_problems(ACCURACY, 0.0, 1.0, controls)
    assert len(problems) == 1
    assert problems[0].sentence.startswith(
        "control aes_ctr: the attack wins where nothing can be won"
    )


def test_chance_on_a_few_images_is_no_win_of_a_control() -> None:
    controls = {"identity": 0.8, "noise": 0.48, "aes_ctr": 0.53}
    assert control_problems(SSIM, 0.48, 0.8, controls)
    assert control_problems(SSIM, 0.48, 0.8, controls, error=0.035) == ()


def test_a_metric_where_lower_is_worse_turns_the_gap_round() -> None:
    rank = AttackMetric("median rank", higher_is_worse=False, best=1.0)
    controls = {"identity": 1.0, "noise": 300.0, "aes_ctr": 290.0}
    assert control_problems(rank, 300.0, 1.0, controls) == ()
    assert control_problems(rank, 1.0, 300.0, {"identity": 300.0, "noise": 1.0})


def test_the_interval_of_an_advantage_is_cut_at_its_ends_only() -> None:
    values = [0.45, 0.55, 0.46, 0.54]
    interval = share_interval(values, 0.5, 0.9)
    assert interval is not None
    plain = interval_over_keys([(value - 0.5) / 0.4 for value in values], -9.0, 9.0)
    assert plain is not None
    assert (interval.low, interval.high) == (0.0, pytest.approx(plain.high))
    assert share_interval([0.9] * 3, 0.5, 0.9) == interval_over_keys([1.0] * 3, 0.0, 1.0)
    assert share_interval([40.0, 42.0], 40.0, 0.0) is not None
    assert share_interval([0.5], 0.5, 0.9) is None


def test_noise_is_held_against_a_chance_level_that_is_known() -> None:
    metric = AttackMetric("AUC", chance=0.5)
    near = {"identity": 0.9, "noise": 0.55, "aes_ctr": 0.5}
    assert control_problems(metric, 0.5, 0.9, near, error=0.03) == ()
    far = near | {"noise": 0.8}
    (problem,) = control_problems(metric, 0.5, 0.9, far, error=0.03)
    assert problem.control == "noise"


# Scales ------------------------------------------------------------------------------------------

PICTURES = AttackMetric("SSIM to the original", low=-1.0, of_pictures=True)
SHARES = AttackMetric("share of values", best=1.0)


def test_what_an_attack_gets_where_it_is_weak_is_no_scale() -> None:
    """An attack that reaches 0.17 on unprotected images is not 'partial 1.00' at 0.17."""
    scale = scale_of(PICTURES, {PUBLIC_MEAN: 0.1, AS_IT_IS: 0.02}, noise=0.01, identity=0.166)
    assert (scale.floor, scale.floor_from, scale.ceiling) == (0.1, PUBLIC_MEAN, 1.0)
    share = advantage(0.166, scale.floor, scale.ceiling)
    assert share < 0.1
    judgement = judge(share, None, short=scale.short)
    assert judgement.verdict == "unreliable" and "0.166 on unprotected images" in judgement.reason
    assert judgement.controls_failed == ()


def test_a_win_counts_though_the_attack_is_weak_on_unprotected_images() -> None:
    scale = scale_of(PICTURES, {PUBLIC_MEAN: 0.47}, noise=0.01, identity=0.484)
    share = advantage(0.706, scale.floor, scale.ceiling)
    assert share == pytest.approx((0.706 - 0.47) / 0.53)
    assert judge(share, None, short=scale.short).verdict == "partial"


def test_an_attack_that_wins_half_of_what_there_is_sets_the_scale() -> None:
    scale = scale_of(PICTURES, {PUBLIC_MEAN: 0.4}, noise=0.01, identity=0.71)
    assert (scale.ceiling, scale.short) == (0.71, "")
    assert scale_of(PICTURES, {PUBLIC_MEAN: 0.4}, noise=0.01, identity=0.69).ceiling == 1.0


def test_the_floor_is_the_best_of_noise_and_of_what_is_had_without_the_attack() -> None:
    floors = {AS_IT_IS: 0.2, PUBLIC_MEAN: 0.1}
    assert scale_of(PICTURES, floors, 0.3, 0.9).floor_from == NOISE
    assert scale_of(PICTURES, floors, 0.0, 0.9).floor_from == AS_IT_IS
    assert scale_of(PICTURES, floors | {PUBLIC_MEAN: 0.5}, 0.0, 0.9).floor == 0.5


def test_values_that_were_never_changed_are_no_merit_of_the_attack() -> None:
    scale = scale_of(SHARES, {AS_IT_IS: 0.5}, noise=0.004, identity=1.0)
    assert (scale.floor, scale.floor_from) == (0.5, AS_IT_IS)
    assert judge(advantage(0.5, scale.floor, 1.0), None).verdict == "resists within budget"


def test_a_cipher_that_changes_next_to_nothing_is_broken_whoever_looks() -> None:
    scale = scale_of(SHARES, {AS_IT_IS: 0.98}, noise=0.004, identity=1.0)
    assert scale.floor_from == NOISE
    assert judge(advantage(0.98, scale.floor, scale.ceiling), None).verdict == "broken"
    pictures = scale_of(PICTURES, {AS_IT_IS: 0.95, PUBLIC_MEAN: 0.4}, 0.0, 0.9)
    assert pictures.floor_from == PUBLIC_MEAN


def test_an_exact_chance_level_stands_in_for_noise() -> None:
    metric = AttackMetric("AUC", chance=0.5)
    assert scale_of(metric, {EXACT_CHANCE: 0.5}, noise=0.56, identity=0.9).floor == 0.5


def test_the_floor_of_a_metric_where_lower_is_worse_is_the_lowest() -> None:
    rank = AttackMetric("median rank", higher_is_worse=False, best=1.0)
    assert scale_of(rank, {AS_IT_IS: 200.0}, noise=300.0, identity=1.0).floor == 200.0


def test_an_attack_that_wins_on_noise_says_nothing_even_where_it_wins() -> None:
    controls = {"identity": 1.0, "noise": 0.0, "aes_ctr": 0.4}
    assert judge(1.0, None, control_problems(ACCURACY, 0.0, 1.0, controls)).verdict == "unreliable"


def test_a_win_stands_where_the_identity_control_fails_and_the_failure_is_told() -> None:
    problems = control_problems(ACCURACY, 0.0, 1.0, {"identity": 0.5, "noise": 0.0})
    judgement = judge(0.6, None, problems)
    assert (judgement.verdict, judgement.controls_failed) == ("partial", ("identity",))
    assert judge(0.05, None, problems).verdict == "unreliable"


def test_a_weak_attack_sets_no_scale_whatever_it_is_measured_by() -> None:
    """Named neighbours: as many as on unprotected images, and still few of all: no break."""
    named = AttackMetric("share of blocks with a correctly named neighbour")
    scale = scale_of(named, {EXACT_CHANCE: 0.133}, noise=0.13, identity=0.353)
    assert (scale.ceiling, bool(scale.short)) == (1.0, True)
    share = advantage(0.355, scale.floor, scale.ceiling)
    assert share == pytest.approx(0.256, abs=1e-3)
    assert judge(share, None, short=scale.short).verdict == "partial"
    assert judge(0.0, None, short=scale.short).verdict == "unreliable"
    strong = scale_of(named, {EXACT_CHANCE: 0.133}, noise=0.13, identity=0.6)
    assert (strong.ceiling, strong.short) == (0.6, "")


def test_the_top_of_a_scale_is_its_low_end_where_lower_is_worse_and_none_without_an_end() -> None:
    errors = AttackMetric("share wrong", higher_is_worse=False)
    assert scale_of(errors, {}, noise=1.0, identity=0.8).ceiling == 0.0
    assert scale_of(errors, {}, noise=1.0, identity=0.4).ceiling == 0.4
    endless = AttackMetric("bits", high=math.inf)
    assert scale_of(endless, {}, noise=0.0, identity=3.0).ceiling == 3.0
