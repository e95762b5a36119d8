"""What attacks achieved, pipeline by pipeline: the worst verdict and the outcome that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from he_compare.common.run.records import AttackOutcome, PlannedPipeline, Verdict
from he_compare.common.run.severity import (
    NOTHING_TO_ATTACK,
    beyond_claims,
    gravest,
    gravity,
    is_judged,
)
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import NotRun

# More targets than this are counted, not named.
MOST_NAMED = 3
PUBLIC_IMAGES = ", public images: "
Standing: TypeAlias = Literal["broken", "unbroken", "unknown", "no server"]


def concerns(outcome: AttackOutcome, planned: PlannedPipeline) -> bool:
    """Say whether an outcome is about a pipeline: its label was attacked, or the cipher it uses."""
    if outcome.target_kind == "pipeline":
        return outcome.target == planned.label
    cipher = str(planned.resolved.get("cipher", ""))
    return outcome.target_kind == "cipher" and bool(cipher) and outcome.scheme == cipher


def outcomes_of(view: RunView, pipeline: PipelineView) -> tuple[AttackOutcome, ...]:
    """Return the outcomes against a pipeline or its cipher, the worst first."""
    mine = [one for one in view.outcomes if concerns(one, pipeline.planned)]
    return tuple(sorted(mine, key=gravity))


def worst_of(view: RunView, pipeline: PipelineView) -> AttackOutcome | None:
    """Return the outcome that is worst for the owner of the images; None where none ran.

    What the pipeline never promised does not count.
    """
    return gravest(one for one in outcomes_of(view, pipeline) if one.verdict != "not run")


def strongest(view: RunView, pipeline: PipelineView) -> tuple[Verdict, str]:
    """Return the worst verdict and what gave it: an attack by name, or how many did not win.

    Without a server nothing is sent that an attack could read, whether attacks ran or not.
    """
    if pipeline.no_server:
        return "not applicable", NOTHING_TO_ATTACK
    worst = worst_of(view, pipeline)
    if worst is None:
        return "not run", "no attack"
    if worst.verdict == "resists within budget":
        beyond = len(won_beyond(view, pipeline))
        words = how_many(len(resisted(view, pipeline))) + " within budget"
        words += f"; {beyond} succeeded beyond its claims" if beyond else ""
        if controls := as_noise(view, pipeline):
            words += f"; {len(controls)} on pictures found what they find in noise (controls)"
        if unknown := unread(view, pipeline):
            words += f"; {len(unknown)} could not read it"
        return worst.verdict, words
    if worst.verdict == "unreadable":
        return worst.verdict, "no attack of the suite reads its messages"
    return worst.verdict, worst.title


def command_for(outcome: AttackOutcome) -> str:
    """Return the command that repeats an outcome; of one not run, a command that would run it.

    Where the quick budget was too small for the attack, the full one is asked for.
    """
    if outcome.not_run is NotRun.BUDGET:
        return outcome.reproduce.replace("--budget quick", "--budget full")
    return outcome.reproduce


def how_many(attacks: int) -> str:
    """Spell a number of attacks."""
    return f"{attacks} attack{'s' * (attacks != 1)}"


def resisted(view: RunView, pipeline: PipelineView) -> list[AttackOutcome]:
    """Return the outcomes that a pipeline resisted and is judged by: controls are counted apart."""
    return [
        one
        for one in outcomes_of(view, pipeline)
        if one.verdict == "resists within budget" and is_judged(one)
    ]


def as_noise(view: RunView, pipeline: PipelineView) -> list[AttackOutcome]:
    """Return the attacks on pictures that found in its ciphertexts what they find in noise."""
    return [one for one in outcomes_of(view, pipeline) if one.counts_as == "control"]


def unread(view: RunView, pipeline: PipelineView) -> list[AttackOutcome]:
    """Return the outcomes of attacks that cannot read its ciphertexts: nothing is known of them."""
    return [one for one in outcomes_of(view, pipeline) if one.verdict == "unreadable"]


def won_beyond(view: RunView, pipeline: PipelineView) -> list[AttackOutcome]:
    """Return the outcomes that won what the pipeline does not claim to keep, the worst first."""
    return [one for one in outcomes_of(view, pipeline) if beyond_claims(one)]


def standing(view: RunView, pipeline: PipelineView) -> Standing:
    """Say whether some attack broke a pipeline, all that ran failed to, or nothing is known.

    Without a server there is nothing to break.
    """
    if pipeline.no_server:
        return "no server"
    verdicts = [one.verdict for one in outcomes_of(view, pipeline) if is_judged(one)]
    if "broken" in verdicts or "partial" in verdicts:
        return "broken"
    return "unbroken" if "resists within budget" in verdicts else "unknown"


def by_reason(view: RunView, verdict: Verdict) -> dict[str, list[AttackOutcome]]:
    """Return the outcomes with one verdict by their reason: one cause often stops many attacks."""
    found: dict[str, list[AttackOutcome]] = {}
    for outcome in view.outcomes:
        if outcome.verdict == verdict:
            found.setdefault(outcome.reason, []).append(outcome)
    return found


@dataclass(frozen=True)
class NotRunGroup:
    """Outcomes that should have come and did not, for one reason: attacks by title, targets."""

    reason: str
    attacks: tuple[str, ...]
    targets: tuple[str, ...]
    outcomes: int


def not_run_by_reason(view: RunView) -> tuple[NotRunGroup, ...]:
    """Return what was not run, one cause at a time, the one that stopped most first."""
    groups = [
        NotRunGroup(
            reason or "no reason was recorded",
            tuple(dict.fromkeys(map(plain_title, found))),
            tuple(dict.fromkeys(one.target for one in found)),
            len(found),
        )
        for reason, found in by_reason(view, "not run").items()
    ]
    return tuple(sorted(groups, key=lambda one: -one.outcomes))


def plain_title(outcome: AttackOutcome) -> str:
    """Return the name of an attack without that of the public images it was given."""
    return (outcome.title or outcome.attack).partition(PUBLIC_IMAGES)[0]


def name_attacks(outcomes: Sequence[AttackOutcome]) -> str:
    """Name attacks and their targets, each attack once."""
    targets: dict[str, list[str]] = {}
    for one in outcomes:
        targets.setdefault(one.title, []).append(one.target)
    return "; ".join(f"{title} on {name_targets(names)}" for title, names in targets.items())


def name_targets(names: Sequence[str]) -> str:
    """Name a few targets, count many."""
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} targets"
