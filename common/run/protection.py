"""What each protection keeps: secrecy, integrity and what leaks with decryptions, told apart.

Three questions with three answers, and no counts: that a server could not read an image says
nothing of whether it could change an answer. What was never promised and was won all the same has a
mark of its own. A control is neither held nor broken, and what nothing protects is open by design.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.severity import (
    OPEN_BY_DESIGN,
    WON,
    aside,
    beyond_claims,
    gravest,
    gravity,
    is_judged,
)
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.scheme import CONTROLS
from he_compare.common.types import Aim

ProtectionMark: TypeAlias = Literal[
    "not tested",
    "held",
    "broken",
    "partly",
    "not promised",
    "not protected",
    "open by design",
    "control",
    "no server",
    "does not apply",
]
# An aim that an attack's author did not name counts as one at what is to be kept secret.
SECRECY: tuple[Aim | None, ...] = (Aim.IMAGE, Aim.ANSWER, Aim.LINKS, Aim.KEY, None)
BROKEN_WORDS: dict[Aim | None, str] = {
    Aim.IMAGE: "images recovered",
    Aim.ANSWER: "class read off",
    Aim.LINKS: "images told apart or named",
    Aim.KEY: "key recovered",
    Aim.DECRYPTIONS: "decrypted values reach the server",
    Aim.INTEGRITY: "replies changed unnoticed",
    Aim.MODEL: "model recovered",
}
NOTHING_SENT = "nothing is sent: there is no server"
NOT_TESTED = "not tested: no attack was run"
CHANGED, TO_THE_KEY = "malleability", "ind_cpa_d"
# The details of that check that count them.
GIVEN_ANOTHER, OF_THAT_CLASS = "replies that were given another class", "of that class before"


@dataclass(frozen=True)
class ProtectionStanding:
    """One answer: a mark, words for a cell of a table, and the outcomes that show it."""

    mark: ProtectionMark
    words: str
    outcomes: tuple[AttackOutcome, ...] = ()


def secrecy_of(view: RunView, pipeline: PipelineView) -> ProtectionStanding:
    """Say whether images, classes, identities and the key stayed secret from the server."""
    if (unasked := _without_a_question(pipeline, "the server reads the image")) is not None:
        return unasked
    mine = [one for one in outcomes_of(view, pipeline) if one.aim in SECRECY]
    mark, shown = mark_of(mine)
    if mark == "held":
        unsure = sum(one.verdict == "unreliable" and is_judged(one) for one in mine)
        told = f"; {unsure} test{'s' * (unsure > 1)} inconclusive" if unsure else ""
        words = f"not broken by what was run{_ground(pipeline)}{told}"
        return ProtectionStanding(mark, words, shown)
    if mark in ("broken", "partly"):
        taken = BROKEN_WORDS[shown[0].aim or Aim.IMAGE]
        words = f"broken: {taken}" if mark == "broken" else f"partly broken: {shown[0].title}"
        return ProtectionStanding(mark, words, shown)
    if mark in ("not promised", "open by design"):
        return ProtectionStanding(mark, f"not promised: {shown[0].title}", shown)
    return _untested(mine)


def integrity_of(view: RunView, pipeline: PipelineView) -> ProtectionStanding:
    """Say whether a changed message or reply would be noticed."""
    if pipeline.no_server:
        return ProtectionStanding("no server", NOTHING_SENT)
    mine = [one for one in outcomes_of(view, pipeline) if one.aim is Aim.INTEGRITY]
    changed = next((one for one in mine if replies_changed(one)), None)
    if changed is not None:
        words = f"not protected: {replies_changed(changed)} changed unnoticed"
        return ProtectionStanding("not protected", words, (changed,))
    mark, shown = mark_of(mine)
    if mark == "held":
        return ProtectionStanding(mark, "changes were noticed by what was run", shown)
    if mark in ("broken", "partly"):
        return ProtectionStanding(mark, f"broken: {BROKEN_WORDS[Aim.INTEGRITY]}", shown)
    if mark in ("not promised", "open by design"):
        return ProtectionStanding("not protected", "not protected: nothing is signed", shown)
    if mark in ("not tested", "does not apply") and _server_has_scores(pipeline):
        words = "open by design: the server computes the scores, and can answer anything"
        return ProtectionStanding("open by design", words)
    return _untested(mine)


def leaked_decryptions_of(view: RunView, pipeline: PipelineView) -> ProtectionStanding:
    """Say what whoever sees decrypted results beside their ciphertexts could take."""
    if (unasked := _without_a_question(pipeline, "the server has the scores")) is not None:
        return unasked
    mine = [one for one in outcomes_of(view, pipeline) if one.aim is Aim.DECRYPTIONS]
    mark, shown = mark_of(mine)
    if mark in ("broken", "partly"):
        return ProtectionStanding(mark, f"broken: {BROKEN_WORDS[Aim.DECRYPTIONS]}", shown)
    won = next((one for one in mine if one.attack == TO_THE_KEY and one.verdict in WON), None)
    if won is not None:
        return ProtectionStanding("not promised", f"{_replies(won)} gives the key", (won,))
    if mark in ("not promised", "open by design"):
        return ProtectionStanding(mark, f"not promised: {shown[0].title}", shown)
    if _server_has_scores(pipeline):
        return ProtectionStanding("open by design", "the server has the scores: none is decrypted")
    exact = next((one for one in mine if one.attack == TO_THE_KEY and one.reason), None)
    if exact is not None and exact.verdict == "not applicable":
        return ProtectionStanding("not tested", f"not tested: {exact.reason}", (exact,))
    if mark == "held":
        return ProtectionStanding(mark, "decrypted values stayed with the client", shown)
    return _untested(mine)


def mark_of(
    outcomes: Iterable[AttackOutcome],
) -> tuple[ProtectionMark, tuple[AttackOutcome, ...]]:
    """Return the mark of some outcomes against one target and those that show it, worst first.

    What was promised and lost comes before what was never promised and won, and both before what
    held; a control, or a check that is only necessary, shows nothing by holding.
    """
    found = sorted(outcomes, key=gravity)
    worst = gravest(found)
    if worst is not None and worst.verdict in WON:
        lost = tuple(one for one in found if is_judged(one) and one.verdict == worst.verdict)
        return ("broken" if worst.verdict == "broken" else "partly"), lost
    beyond = tuple(one for one in found if beyond_claims(one))
    if asked := tuple(one for one in beyond if aside(one) != OPEN_BY_DESIGN):
        return "not promised", asked
    if beyond:
        return "open by design", beyond
    held = tuple(one for one in found if one.verdict == "resists within budget" and is_judged(one))
    if held:
        return "held", held
    controls = tuple(one for one in found if one.counts_as == "control")
    if controls:
        return "control", controls
    if found and all(one.verdict == "not applicable" for one in found):
        return "does not apply", tuple(found)
    return "not tested", tuple(found)


def replies_changed(outcome: AttackOutcome) -> str:
    """Return how many replies were changed unnoticed, as "7 of 8 replies"; '' where none was.

    Whatever the verdict: some that were changed are changed.
    """
    if outcome.attack != CHANGED or outcome.metric is None:
        return ""
    details = {one.name: one.value for one in outcome.details}
    # Older records count replies of the chosen class, had they it before or not.
    less = details.get(OF_THAT_CLASS) or 0.0
    share = details.get(GIVEN_ANOTHER, (outcome.metric.value or 0.0) - less)
    if not share or share < 0:
        return ""
    replies = int(outcome.spent.get("replies", 0))
    count = round(share * replies)
    return f"{count} of {replies} replies" if count else "replies"


def is_control_pipeline(pipeline: PipelineView) -> bool:
    """Say whether a pipeline is a control with a known answer: it protects nothing, or too well."""
    return str(pipeline.planned.resolved.get("cipher", "")) in CONTROLS


def _without_a_question(pipeline: PipelineView, opened: str) -> ProtectionStanding | None:
    """Return the answer for a pipeline that claims nothing; None where it claims protection."""
    if pipeline.no_server:
        return ProtectionStanding("no server", NOTHING_SENT)
    if is_control_pipeline(pipeline):
        return ProtectionStanding("control", "a control, not a protection")
    if pipeline.claims is None:
        return ProtectionStanding("not tested", "not known: no claim was recorded")
    if not pipeline.protected:
        return ProtectionStanding("open by design", f"open by design: {opened}")
    return None


def _server_has_scores(pipeline: PipelineView) -> bool:
    """Say whether the server computes scores in the clear; older claims say so in words."""
    claims = pipeline.claims
    if claims is None or claims.server_learns_class is not None:
        return bool(claims and claims.server_learns_class)
    return any("class scores" in learnt for learnt in claims.server_learns)


def _ground(pipeline: PipelineView) -> str:
    """Return what secrecy rests on, where that is a hardness assumption; '' elsewhere."""
    assumption = pipeline.claims.assumption if pipeline.claims else ""
    if "RLWE" in assumption or "ring learning with errors" in assumption.lower():
        return "; rests on RLWE"
    if "LWE" in assumption or "learning with errors" in assumption.lower():
        return "; rests on LWE"
    return f"; rests on {assumption}" if assumption else ""


def _replies(outcome: AttackOutcome) -> str:
    """Say how many decoded replies give the key: one where a complex decode of one is enough."""
    one_enough = any(
        detail.name == "from one complex decode of a reply" and (detail.value or 0.0) > 0.99
        for detail in outcome.details
    )
    return "one reply decoded in full" if one_enough else "the decoding of two replies in full"


def _untested(outcomes: Sequence[AttackOutcome]) -> ProtectionStanding:
    """Say why nothing is known."""
    words: tuple[tuple[Callable[[AttackOutcome], bool], str], ...] = (
        (lambda one: one.verdict == "unreliable", "tested, inconclusive"),
        (lambda one: one.verdict == "unreadable", "not tested: no attack reads its messages"),
        (lambda one: one.verdict == "not run", "not tested: the attacks were not run"),
    )
    for fits, told in words:
        if shown := tuple(one for one in outcomes if fits(one)):
            return ProtectionStanding("not tested", told, shown)
    if outcomes:
        return ProtectionStanding("not tested", "not tested: no attack applies", tuple(outcomes))
    return ProtectionStanding("not tested", NOT_TESTED, tuple(outcomes))


# Of several set-ups of one protection, the answer that is worse for the owner.
WORST_STANDING: tuple[ProtectionMark, ...] = (
    "broken",
    "partly",
    "not protected",
    "not promised",
    "open by design",
    "held",
    "control",
    "not tested",
    "does not apply",
    "no server",
)


def worst_standing(standings: Sequence[ProtectionStanding]) -> ProtectionStanding:
    """Return the worst of some answers to one question. Raises ValueError on none."""
    return min(standings, key=lambda one: WORST_STANDING.index(one.mark))
