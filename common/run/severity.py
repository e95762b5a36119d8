"""Verdicts in order of severity, with the words for each, and what an outcome weighs.

The one home of the order and the words: terminal, report and figures take them from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from he_compare.common.run.records import AttackOutcome, Verdict
from he_compare.common.types import Knowledge

LADDER = tuple(Knowledge)
WON: tuple[Verdict, ...] = ("broken", "partial")
NOT_PROMISED = "not promised"


@dataclass(frozen=True)
class VerdictWords:
    """The words for a verdict.

    ``mark``: in a cell on the terminal. ``short``: in a cell of the report. ``severity``: of a
    finding with this verdict. ``meaning``: what it says, to follow the verdict and a colon.
    """

    mark: str
    short: str
    severity: Literal["fail", "warn", "pass", "unknown"]
    meaning: str


# From the worst for the owner of the images to what says nothing.
WORDS: dict[Verdict, VerdictWords] = {
    "broken": VerdictWords(
        "BROKEN", "broken", "fail", "the whole interval of the advantage is at 0.8 or above"
    ),
    "partial": VerdictWords("partial", "partial", "warn", "the whole interval is above 0.1"),
    "resists within budget": VerdictWords(
        "resists",
        "resists",
        "pass",
        "not broken within the stated budget, which is not the same as secure",
    ),
    "unreliable": VerdictWords(
        "unreliable",
        "unreliable",
        "unknown",
        "a control misbehaved, or the budget is too small to conclude; not a pass",
    ),
    "unreadable": VerdictWords(
        "unreadable",
        "unreadable",
        "unknown",
        "the attack cannot read such messages, nothing is known; not a pass",
    ),
    "not applicable": VerdictWords(
        "n/a", "n/a", "unknown", "the attack does not apply to this target"
    ),
    "not run": VerdictWords(
        "not run", "not run", "unknown", "the attack should have run and did not; not a pass"
    ),
}
GRAVITY = tuple(WORDS)


def beyond_claims(outcome: AttackOutcome) -> bool:
    """Say whether an attack won something that its target never promised to keep.

    It is shown like every other, but is not what the target is judged by.
    """
    return outcome.verdict in WON and not outcome.promised


def gravity(outcome: AttackOutcome) -> tuple[bool, int, int, float]:
    """Return what to sort outcomes by: worst verdict first; of equal ones, least knowledge.

    What a target never promised comes after all that it did.
    """
    verdict = GRAVITY.index(outcome.verdict)
    advantage = outcome.advantage if outcome.advantage is not None else -1.0
    return not outcome.promised, verdict, LADDER.index(outcome.rung), -advantage


def gravest(outcomes: Iterable[AttackOutcome]) -> AttackOutcome | None:
    """Return the outcome that a target is judged by; None where none is about its promises."""
    return min((one for one in outcomes if one.promised), key=gravity, default=None)


def verdict_of(outcome: AttackOutcome) -> str:
    """Return an outcome's verdict in short; say where what it won was never promised."""
    short = WORDS[outcome.verdict].short
    return f"{short} ({NOT_PROMISED})" if beyond_claims(outcome) else short
