"""From the metric, its floor and its ceiling to an advantage and a verdict: pure functions.

advantage = (metric - floor) / (ceiling - floor), cut to [0, 1]; the floor is the same attack on
uniform noise, the ceiling the same attack on unprotected images (or the best possible). A verdict
holds for the budget it was reached with and no further.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from he_compare.common.attack import AuditStep
from he_compare.common.attack_score import AttackMetric
from he_compare.common.audit_budget import BUDGETS, AttackBudget
from he_compare.common.run.records import Interval, Verdict
from he_compare.common.scheme import OPEN_CONTROL

# Whole interval above: the attack gets nearly all there is. Whole interval below: next to nothing.
BROKEN_FROM, RESISTS_BELOW = 0.8, 0.1
LEVEL = 0.95
CHANCE_ERRORS = 3.0


@dataclass(frozen=True)
class Judgement:
    """Verdict and reason; ``unreliable``: what is against it, ``controls_failed`` by name."""

    verdict: Verdict
    reason: str = ""
    unreliable: tuple[str, ...] = ()
    controls_failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ControlProblem:
    """A control, by name, and the sentence that says how its answer is wrong."""

    control: str
    sentence: str


def too_small(step: AuditStep, budget: AttackBudget) -> str:
    """Say why a budget cannot carry an attack's ``least_seconds`` or ``least_images``; or ''.

    It is then not run at all: a pass within a budget in which nothing could be won says nothing.
    """
    wants = []
    if budget.seconds < step.least_seconds:
        wants.append(
            f"it needs {step.least_seconds:g} s per key, the {budget.name} budget has "
            f"{budget.seconds:g}"
        )
    if budget.images < step.least_images:
        wants.append(
            f"it needs {step.least_images} ciphertexts per key, the {budget.name} budget has "
            f"{budget.images}"
        )
    if not wants:
        return ""
    enough = large_enough(step, budget)
    advice = f"; run it with --budget {enough}" if enough != budget.name else ""
    return f"the budget is too small: {', and '.join(wants)}{advice}"


def large_enough(step: AuditStep, budget: AttackBudget) -> str:
    """Name the budget that carries an attack: this one, or else the first that does."""
    carry = [
        one.name
        for one in (budget, *BUDGETS.values())
        if one.seconds >= step.least_seconds and one.images >= step.least_images
    ]
    return carry[0] if carry else budget.name


def advantage(value: float, floor: float, ceiling: float) -> float:
    """Return where ``value`` lies between floor (0) and ceiling (1); 0 where they coincide."""
    if ceiling == floor:
        return 0.0
    return float(np.clip((value - floor) / (ceiling - floor), 0.0, 1.0))


def interval_over_keys(values: Sequence[float], low: float, high: float) -> Interval | None:
    """Student's t interval of the mean over keys, cut to [low, high]; None for one key."""
    from scipy import stats

    n = len(values)
    if n < 2:
        return None
    centre = float(np.mean(values))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(
        low=max(low, centre - half),
        high=min(high, centre + half),
        level=LEVEL,
        method=f"Student's t over {n} keys",
    )


def share_interval(values: Sequence[float], floor: float, ceiling: float) -> Interval | None:
    """Interval of the advantage over keys. Only its ends are cut to [0, 1]: cut one by one, values
    at chance would all come out above it."""
    if floor == ceiling:
        return interval_over_keys([0.0] * len(values), 0.0, 1.0)
    shares = [(value - floor) / (ceiling - floor) for value in values]
    found = interval_over_keys(shares, -np.inf, np.inf)
    if found is None:
        return None
    low, high = (float(np.clip(end, 0.0, 1.0)) for end in (found.low, found.high))
    return found.model_copy(update={"low": low, "high": high})


def control_problems(
    metric: AttackMetric,
    floor: float,
    ceiling: float,
    controls: Mapping[str, float],
    error: float = 0.0,
) -> tuple[ControlProblem, ...]:
    """Say which controls misbehave: the attack must win on the identity and nowhere else.

    ``controls``: the metric by name of control; the one on noise is the floor. ``error``: standard
    error of the metric at chance level; what lies within three of it says nothing.
    """
    direction = 1.0 if metric.higher_is_worse else -1.0
    if direction * (ceiling - floor) < metric.resolution:
        words = f"does not win on unprotected images ({metric.name} {ceiling:.3g}"
        return (_problem(OPEN_CONTROL, f"{words}, {floor:.3g} on noise)"),)
    problems = []
    for name, value in controls.items():
        share = advantage(value, floor, ceiling)
        if name == OPEN_CONTROL and share < BROKEN_FROM:
            words = f"reaches only {share:.2f} of the possible advantage on unprotected images"
            problems.append(_problem(name, words))
        beyond_chance = abs(value - floor) > CHANCE_ERRORS * math.sqrt(2) * error
        if name != OPEN_CONTROL and share > RESISTS_BELOW and beyond_chance:
            words = f"wins where nothing can be won ({metric.name} {value:.3g}"
            problems.append(_problem(name, f"{words}, {floor:.3g} on noise)"))
    return tuple(problems)


def _problem(control: str, words: str) -> ControlProblem:
    return ControlProblem(control, f"control {control}: the attack {words}")


def judge(
    value: float,
    interval: Interval | None,
    problems: Sequence[ControlProblem] = (),
    advice: str = "",
) -> Judgement:
    """Turn an advantage and its interval into a verdict.

    An interval too wide to decide is reported as such, not as a pass; ``advice``: what to do then.
    """
    if problems:
        sentences = tuple(problem.sentence for problem in problems)
        failed = tuple(problem.control for problem in problems)
        return Judgement("unreliable", sentences[0], sentences, failed)
    low, high = (interval.low, interval.high) if interval else (value, value)
    if low >= BROKEN_FROM:
        return Judgement("broken")
    if low > RESISTS_BELOW:
        return Judgement("partial")
    if high <= RESISTS_BELOW:
        return Judgement("resists within budget")
    between = f"the advantage lies between {low:.2f} and {high:.2f}"
    reason = f"the budget is too small to conclude{advice and f'; {advice}'}"
    return Judgement("unreliable", reason, (f"{between}, so both a break and a pass are possible",))


def larger(budget: AttackBudget) -> str:
    """Say with which budget to run again; '' where there is no larger one."""
    return "run it with --budget full" if budget.name == "quick" else ""
