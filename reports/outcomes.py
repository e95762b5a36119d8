"""What attacks achieved, pipeline by pipeline: the worst verdict and the outcome that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from common.records import AttackOutcome, Verdict
from common.types import Knowledge
from reports.view import PipelineView, RunView

# From the worst for the owner of the images to what says nothing.
GRAVITY: tuple[Verdict, ...] = (
    "broken",
    "partial",
    "resists within budget",
    "unreliable",
    "not applicable",
    "not run",
)
LADDER = tuple(Knowledge)
Standing: TypeAlias = Literal["broken", "unbroken", "unknown"]


def outcomes_of(view: RunView, pipeline: PipelineView) -> tuple[AttackOutcome, ...]:
    """Return the outcomes against a pipeline or its cipher, the worst first."""
    cipher = str(pipeline.planned.resolved.get("cipher", ""))
    mine = [
        one
        for one in view.outcomes
        if (one.target_kind == "pipeline" and one.target == pipeline.label)
        or (one.target_kind == "cipher" and cipher and one.target.partition("[")[0] == cipher)
    ]
    return tuple(sorted(mine, key=_gravity))


def _gravity(outcome: AttackOutcome) -> tuple[int, int, float]:
    """Worst verdict first; of equal ones, what takes the least knowledge."""
    advantage = outcome.advantage if outcome.advantage is not None else -1.0
    return GRAVITY.index(outcome.verdict), LADDER.index(outcome.rung), -advantage


def worst_of(view: RunView, pipeline: PipelineView) -> AttackOutcome | None:
    """Return the outcome that is worst for the owner of the images; None where none ran."""
    found = [one for one in outcomes_of(view, pipeline) if one.verdict != "not run"]
    return found[0] if found else None


def strongest(view: RunView, pipeline: PipelineView) -> tuple[Verdict, str]:
    """Return the worst verdict and what gave it: an attack by name, or how many did not win."""
    worst = worst_of(view, pipeline)
    if worst is None:
        return "not run", "no attack"
    if worst.verdict == "resists within budget":
        count = counted(outcomes_of(view, pipeline), worst.verdict)
        return worst.verdict, f"{count} attack{'s' if count > 1 else ''} within budget"
    return worst.verdict, worst.title


def standing(view: RunView, pipeline: PipelineView) -> Standing:
    """Say whether some attack broke a pipeline, all that ran failed to, or nothing is known."""
    verdicts = [one.verdict for one in outcomes_of(view, pipeline)]
    if "broken" in verdicts or "partial" in verdicts:
        return "broken"
    return "unbroken" if "resists within budget" in verdicts else "unknown"


def counted(outcomes: Sequence[AttackOutcome], verdict: Verdict) -> int:
    """Count the outcomes of one verdict."""
    return sum(one.verdict == verdict for one in outcomes)
