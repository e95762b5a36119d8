"""What the audit of a run leaves undone: attacks that failed, and those it had no time for."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.capability_matrix import controls_failed
from he_compare.common.run.records import AttackOutcome
from he_compare.common.types import NotRun
from he_compare.comparisons.auditing.audit import QUICK_SECONDS


def attacks_failed(outcomes: Sequence[AttackOutcome]) -> bool:
    """Say whether an attack on a run ended with an error, or a control misbehaves.

    That the time of the audit ended before all had begun is no failure.
    """
    return bool(controls_failed(outcomes)) or any(
        outcome.not_run is NotRun.ERROR for outcome in outcomes
    )


def open_ends(outcomes: Sequence[AttackOutcome]) -> str:
    """Say how many attacks on a run failed or were not begun in time; '' where none."""
    failed = sum(outcome.not_run is NotRun.ERROR for outcome in outcomes)
    late = sum(outcome.not_run is NotRun.AUDIT_TIME for outcome in outcomes)
    parts = [f"{failed} failed with an error"] if failed else []
    verb = "was" if late == 1 else "were"
    parts += [f"{late} {verb} not begun in its {QUICK_SECONDS:g} s"] if late else []
    if not parts:
        return ""
    return f"of the attacks, {' and '.join(parts)}; run the same command again to go on with them"
