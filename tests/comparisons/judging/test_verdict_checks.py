"""A verdict that its own advantage contradicts is found, hashes rewritten or not."""

from __future__ import annotations

import pytest

from he_compare.common.run.records import AttackOutcome, Interval
from he_compare.comparisons.judging.verdict_checks import verdict_problems
from tests.support.samplerun.first_pages import two_classes


def outcome(verdict: str, advantage: float | None, low: float, high: float) -> AttackOutcome:
    known = two_classes().outcomes[0]
    interval = Interval(low=low, high=high, level=0.95, method="t over keys")
    return known.model_copy(
        update={
            "verdict": verdict,
            "advantage": advantage,
            "advantage_interval": interval,
            "target_kind": "pipeline",
        }
    )


@pytest.mark.parametrize(
    ("verdict", "advantage", "low", "high"),
    [
        ("resists within budget", 1.0, 1.0, 1.0),
        ("broken", 0.5, 0.4, 0.6),
        ("partial", 0.01, 0.0, 0.02),
        ("resists within budget", 0.3, 0.0, 0.6),
    ],
)
def test_a_verdict_against_its_advantage_is_named(
    verdict: str, advantage: float, low: float, high: float
) -> None:
    (line,) = verdict_problems([outcome(verdict, advantage, low, high)])
    assert verdict in line and f"{advantage:.2f}" in line


def test_what_fits_or_has_no_scale_is_passed_over() -> None:
    fits = [
        outcome("broken", 1.0, 0.9, 1.0),
        outcome("partial", 0.5, 0.4, 0.6),
        outcome("resists within budget", 0.02, 0.0, 0.05),
        outcome("broken", None, 0.0, 0.0),
        outcome("unreliable", 0.9, 0.85, 0.95),
        outcome("resists within budget", 1.0, 1.0, 1.0).model_copy(
            update={"target_kind": "control"}
        ),
    ]
    assert list(verdict_problems(fits)) == []
