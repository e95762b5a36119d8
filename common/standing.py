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
# Begins the claim of an outcome about something its target never promised.
NOT_CLAIMED = "not claimed: "
WON: tuple[Verdict, ...] = ("broken", "partial")


def concerns(outcome: AttackOutcome, planned: PlannedPipeline) -> bool:
    """Say whether an outcome is about a pipeline: its label was attacked, or the cipher it uses."""
    if outcome.target_kind == "pipeline":
        return outcome.target == planned.label
    cipher = str(planned.resolved.get("cipher", ""))
    named = outcome.target.partition("[")[0]
    return outcome.target_kind == "cipher" and bool(cipher) and named == cipher


def beyond_claims(outcome: AttackOutcome) -> bool:
    """Say whether an attack won something that its target never promised to keep.

    It is shown like every other, but is not what the target is judged by.
    """
    return outcome.verdict in WON and outcome.claim.startswith(NOT_CLAIMED)


def gravity(outcome: AttackOutcome) -> tuple[int, bool, int, float]:
    """Return what to sort outcomes by: worst verdict first; of equal ones, least knowledge.

    What was won beyond a target's claims comes after all that failed against them.
    """
    beyond = beyond_claims(outcome)
    verdict = GRAVITY.index("resists within budget" if beyond else outcome.verdict)
    advantage = outcome.advantage if outcome.advantage is not None else -1.0
    return verdict, beyond, LADDER.index(outcome.rung), -advantage
