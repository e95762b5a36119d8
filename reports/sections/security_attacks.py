"""Attacks one by one: what each did to whom, its limits, and the command that runs it again."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.severity import (
    A_CONTROL,
    GRAVITY,
    WORDS,
    aside,
    beyond_claims,
    is_control,
    is_judged,
    verdict_of,
)
from he_compare.common.run.view import RunView
from he_compare.reports.cards import card, gravest_first
from he_compare.reports.document.nodes import Block, FindingCard, Paragraph, Severity, inline
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection


class AttacksOneByOne(ReportSection):
    """One card per attack."""

    order = 840
    level = 2
    title = "Attacks one by one"
    anchor = "security-findings"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the cards, the gravest first; nothing where no attack ran."""
        if not view.outcomes:
            return []
        cards = _cards(view)
        nothing = Paragraph(inline("No attack applied to any pipeline of this run."))
        return [*cards] if cards else [nothing]


def _cards(view: RunView) -> list[FindingCard]:
    """Return one card per row of the matrix; controls and what does not apply have none."""
    by_row: dict[str, list[AttackOutcome]] = {}
    for outcome in view.outcomes:
        if outcome.target_kind != "control" and outcome.verdict != "not applicable":
            by_row.setdefault(outcome.row, []).append(outcome)
    cards = [_card(view, outcomes) for outcomes in by_row.values()]
    return gravest_first(sorted(cards, key=lambda one: one.id))


def _card(view: RunView, outcomes: Sequence[AttackOutcome]) -> FindingCard:
    names = {pipeline.label: short_title(view, pipeline) for pipeline in view.pipelines}
    graded = sorted(
        outcomes,
        key=lambda one: (is_control(one), GRAVITY.index(one.verdict), -(one.advantage or 0.0)),
    )
    worst = graded[0]
    targets_by_words: dict[str, list[str]] = {}
    for one in graded:
        words = f"{verdict_of(one)}, {one.headline or one.reason}"
        targets_by_words.setdefault(words, []).append(names.get(one.target, one.target))
    evidence = "; ".join(
        f"{', '.join(targets)}: {words}" for words, targets in targets_by_words.items()
    )
    hit = [names.get(one.target, one.target) for one in graded if one.verdict == worst.verdict]
    claim = f"{worst.title} ({worst.rung.value}): {worst.verdict} on {', '.join(hit)}"
    if beyond_claims(worst):
        claim += f", which is {aside(worst)}"
    if is_control(worst):
        claim += f", {A_CONTROL}"
    limits = " ".join(f"{limit[:1].upper()}{limit[1:]}." for limit in worst.limits)
    spent = ", ".join(f"{value} {name}" for name, value in worst.spent.items())
    if spent:
        limits = f"{limits} Spent: {spent}.".strip()
    return card(
        _severity(worst),
        claim,
        evidence,
        limits,
        reproduce=worst.reproduce,
        name=f"SEC-{worst.row.replace('_', '-').replace('@', '-')}",
    )


def _severity(outcome: AttackOutcome) -> Severity:
    """A pass is what a target is judged by: neither a control nor what is only necessary."""
    if beyond_claims(outcome):
        return "warn"
    severity = WORDS[outcome.verdict].severity
    return severity if severity != "pass" or is_judged(outcome) else "unknown"


SECTION = AttacksOneByOne()
