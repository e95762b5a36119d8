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

from he_compare.common.attack import BUDGETS, Budget, Metric
from he_compare.common.run.records import Interval, Verdict
from he_compare.common.scheme import OPEN_CONTROL

# Whole interval above: the attack gets nearly all there is. Whole interval below: next to nothing.
BROKEN_FROM, RESISTS_BELOW = 0.8, 0.1
LEVEL = 0.95
CHANCE_ERRORS = 3.0
# Begins every reason that a control gives: such a run ends with an exit code of its own.
CONTROL_PREFIX = "control "
# Begins the reason of an attack that was left out because it could not have concluded.
BUDGET_PREFIX = "budget too small: "


@dataclass(frozen=True)
class Judgement:
    """Verdict and reason; ``unreliable``: what the controls say against it."""

    verdict: Verdict
    reason: str = ""
    unreliable: tuple[str, ...] = ()


def too_small(attack: object, budget: Budget) -> str:
    """Say why a budget cannot carry an attack's ``least_seconds`` or ``least_images``; or ''.

    It is then not run at all: a pass within a budget in which nothing could be won says nothing.
    """
    seconds, images = _least(attack)
    wants = []
    if budget.seconds < seconds:
        wants.append(
            f"it needs {seconds:g} s a key, the {budget.name} budget has {budget.seconds:g}"
        )
    if budget.images < images:
        wants.append(
            f"it needs {images} ciphertexts a key, the {budget.name} budget has {budget.images}"
        )
    if not wants:
        return ""
    enough = large_enough(attack, budget)
    advice = f"; run it with --budget {enough}" if enough != budget.name else ""
    return f"{BUDGET_PREFIX}{', and '.join(wants)}{advice}"


def large_enough(attack: object, budget: Budget) -> str:
    """Name the budget that carries an attack: this one, or else the first that does."""
    seconds, images = _least(attack)
    carry = [one for one in BUDGETS.values() if one.seconds >= seconds and one.images >= images]
    carried = budget.seconds >= seconds and budget.images >= images
    return budget.name if carried or not carry else carry[0].name


def _least(attack: object) -> tuple[float, int]:
    return getattr(attack, "least_seconds", 0.0), getattr(attack, "least_images", 0)


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
    metric: Metric,
    floor: float,
    ceiling: float,
    controls: Mapping[str, float],
    error: float = 0.0,
) -> tuple[str, ...]:
    """Say which controls misbehave: the attack must win on the identity and nowhere else.

    ``controls``: the metric by name of control; the one on noise is the floor. ``error``: standard
    error of the metric at chance level; what lies within three of it says nothing.
    """
    direction = 1.0 if metric.higher_is_worse else -1.0
    if direction * (ceiling - floor) < metric.resolution:
        return (
            f"{CONTROL_PREFIX}{OPEN_CONTROL}: the attack does not win on unprotected images "
            f"({metric.name} {ceiling:.3g}, {floor:.3g} on noise)",
        )
    problems = []
    for name, value in controls.items():
        share = advantage(value, floor, ceiling)
        if name == OPEN_CONTROL and share < BROKEN_FROM:
            problems.append(
                f"{CONTROL_PREFIX}{name}: the attack gets only {share:.2f} of what there is on "
                "unprotected images"
            )
        beyond_chance = abs(value - floor) > CHANCE_ERRORS * math.sqrt(2) * error
        if name != OPEN_CONTROL and share > RESISTS_BELOW and beyond_chance:
            problems.append(
                f"{CONTROL_PREFIX}{name}: the attack wins where nothing can be won "
                f"({metric.name} {value:.3g}, {floor:.3g} on noise)"
            )
    return tuple(problems)


def judge(value: float, interval: Interval | None, unreliable: Sequence[str] = ()) -> Judgement:
    """Turn an advantage and its interval into a verdict.

    An interval that is too wide to tell is said, not drawn as a pass.
    """
    if unreliable:
        return Judgement("unreliable", unreliable[0], tuple(unreliable))
    low, high = (interval.low, interval.high) if interval else (value, value)
    if low >= BROKEN_FROM:
        return Judgement("broken")
    if low > RESISTS_BELOW:
        return Judgement("partial")
    if high <= RESISTS_BELOW:
        return Judgement("resists within budget")
    reason = (
        f"too small a budget to conclude: the advantage lies between {low:.2f} and {high:.2f}, "
        "which holds both a break and a pass"
    )
    return Judgement("unreliable", reason, (reason,))
