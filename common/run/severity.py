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
NOT_PROMISED, OPEN_BY_DESIGN = "not promised", "open by design"
# What an attack on pictures finds in ciphertexts that are none: in a cell, and in full.
AS_NOISE, A_CONTROL = "as noise", "a control: it finds in these ciphertexts what it finds in noise"
# Of a pipeline without a server: no attack applies, which is neither a pass nor a verdict.
NOTHING_TO_ATTACK = "no server, no message: nothing to attack"
# What must hold and shows nothing by holding: in a cell, and in full.
NECESSARY = "necessary"
IS_NECESSARY = (
    "it must hold, and that it holds is no evidence of resistance: no attack read the ciphertexts"
)


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
        "n/a", "n/a", "unknown", "what the attack undoes is not there, by construction"
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


def is_judged(outcome: AttackOutcome) -> bool:
    """Say whether a target is judged by an outcome.

    Not by what it never promised, nor by a control; by what is necessary only where it fails.
    """
    if outcome.counts_as == "necessary":
        return outcome.promised and outcome.verdict in WON
    return outcome.promised and outcome.counts_as == "evidence"


def is_control(outcome: AttackOutcome) -> bool:
    """Say whether an outcome is a control that came out as in noise, or one of the schemes."""
    return outcome.target_kind == "control" or outcome.counts_as == "control"


def only_necessary(outcome: AttackOutcome) -> bool:
    """Say whether an outcome is a pass that is no evidence: only its failure would count."""
    return outcome.counts_as == NECESSARY and outcome.verdict == "resists within budget"


def aside(outcome: AttackOutcome) -> str:
    """Say in two words why a target is not judged by what an attack won; '' where it is."""
    if not beyond_claims(outcome):
        return ""
    return OPEN_BY_DESIGN if outcome.counts_as == OPEN_BY_DESIGN else NOT_PROMISED


def gravity(outcome: AttackOutcome) -> tuple[bool, int, int, float]:
    """Return what to sort outcomes by: worst verdict first; of equal ones, least knowledge.

    What a target never promised comes after all that it did.
    """
    verdict = GRAVITY.index(outcome.verdict)
    advantage = outcome.advantage if outcome.advantage is not None else -1.0
    return not outcome.promised, verdict, LADDER.index(outcome.rung), -advantage


def gravest(outcomes: Iterable[AttackOutcome]) -> AttackOutcome | None:
    """Return the outcome that a target is judged by; None where none is about its promises.

    A target that no attack read has no pass: what is unknown, or does not apply, is its headline.
    """
    return min(filter(is_judged, outcomes), key=gravity, default=None)


def verdict_of(outcome: AttackOutcome) -> str:
    """Return an outcome's verdict in short; say where what it won was never promised."""
    if outcome.counts_as == "control":
        return AS_NOISE
    if only_necessary(outcome):
        return NECESSARY
    short = WORDS[outcome.verdict].short
    return f"{short} ({aside(outcome)})" if beyond_claims(outcome) else short
