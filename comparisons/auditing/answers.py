"""Refuses what an attack or a check must not answer, and says what was expected instead."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np

from he_compare.common.adversary import Need
from he_compare.common.attack import Attack, AuditStep, CheckFinding
from he_compare.common.attack_score import AttackMetric, Score
from he_compare.common.errors import CellError
from he_compare.common.run.records import Verdict
from he_compare.common.types import Knowledge

VERDICTS: tuple[str, ...] = get_args(Verdict)


def expect_declared(step: AuditStep) -> None:
    """See that a step says what it is. Raises CellError."""
    if not isinstance(getattr(step, "rung", None), Knowledge):
        raise _wrong(step, "rung", getattr(step, "rung", None), "a member of Knowledge")
    if not isinstance(getattr(step, "title", None), str):
        raise _wrong(step, "title", getattr(step, "title", None), "a string")
    for need in step.needs:
        if not isinstance(need, Need):
            raise _wrong(step, "needs", need, "members of Need")
    metric = getattr(step, "metric", None)
    optional = metric is None and not isinstance(step, Attack)
    if not optional and not isinstance(metric, AttackMetric):
        raise _wrong(step, "metric", metric, "an AttackMetric")


def expect_score(attack: Attack, answer: Any) -> Score:
    """Return what ``score`` or ``score_nothing`` answered. Raises CellError."""
    if not isinstance(answer, Score):
        raise _wrong(attack, "score", answer, "a Score")
    if not _is_finite(answer.value):
        raise _wrong(attack, "score", answer.value, "a Score with a finite number as value")
    if not _is_finite(answer.error):
        raise _wrong(attack, "score", answer.error, "a Score with a finite number as error")
    _expect_images(attack, answer)
    return answer


def _expect_images(attack: Attack, score: Score) -> None:
    """See that what images give fits the images. Raises CellError."""
    if score.each is None or not len(score.images):
        return
    each = np.asarray(score.each)
    if each.shape != (len(score.images),) or not np.isfinite(each).all():
        raise _wrong(attack, "score", score.each, "a finite value for each of its images")


def expect_finding(check: AuditStep, answer: Any) -> CheckFinding:
    """Return what ``examine`` answered. Raises CellError."""
    if not isinstance(answer, CheckFinding):
        raise _wrong(check, "examine", answer, "a CheckFinding")
    if answer.verdict not in VERDICTS:
        known = ", ".join(map(repr, VERDICTS))
        raise _wrong(check, "examine", answer.verdict, f"a CheckFinding with a verdict of {known}")
    if answer.value is not None and not _is_finite(answer.value):
        raise _wrong(check, "examine", answer.value, "a CheckFinding with a finite number or None")
    return answer


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, ValueError):
        return False


def _wrong(step: AuditStep, part: str, answer: Any, expected: str) -> CellError:
    shown = repr(answer)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return CellError(f"{part} of {step.name!r} gave {shown}, expected {expected}")
