"""The rules that turn a metric between its floor and its ceiling into a verdict."""

from __future__ import annotations

import pytest

from he_compare.common.attack_score import AttackMetric
from he_compare.common.audit_budget import BUDGETS
from he_compare.comparisons.auditing.verdicts import (
    advantage,
    control_problems,
    interval_over_keys,
    judge,
    larger,
    share_interval,
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
    assert interval.method == "Student's t over 3 keys"
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
    judgement = judge(1.0, None, problems)
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
