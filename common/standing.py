"""Which attack outcomes concern a pipeline, and how grave a verdict is for the images' owner."""

from __future__ import annotations

from common.records import AttackOutcome, PlannedPipeline, Verdict
from common.types import Knowledge

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


def concerns(outcome: AttackOutcome, planned: PlannedPipeline) -> bool:
    """Say whether an outcome is about a pipeline: its label was attacked, or the cipher it uses."""
    if outcome.target_kind == "pipeline":
        return outcome.target == planned.label
    cipher = str(planned.resolved.get("cipher", ""))
    named = outcome.target.partition("[")[0]
    return outcome.target_kind == "cipher" and bool(cipher) and named == cipher


def gravity(outcome: AttackOutcome) -> tuple[int, int, float]:
    """Return what to sort outcomes by: worst verdict first; of equal ones, least knowledge."""
    advantage = outcome.advantage if outcome.advantage is not None else -1.0
    return GRAVITY.index(outcome.verdict), LADDER.index(outcome.rung), -advantage
