"""Findings: how a rule makes a card, in which order cards come, how they are numbered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import Content, FindingCard, Severity, inline

SEVERITIES: tuple[Severity, ...] = ("fail", "warn", "unknown", "stated", "pass")
Rule: TypeAlias = Callable[[RunView], Iterator[FindingCard]]


def card(
    severity: Severity,
    claim: Content,
    evidence: Content,
    limits: Content,
    *,
    reproduce: str = "",
    name: str = "",
) -> FindingCard:
    """Return what a rule found, the records that show it, what it does not show, how to see it.

    ``reproduce``: a command. ``name``: the card's own; without it ``numbered`` gives it one.
    """
    return FindingCard(
        id=name,
        severity=severity,
        claim=inline(claim),
        evidence=inline(evidence),
        limits=inline(limits) if limits else (),
        reproduce=reproduce,
    )


def found_by(rules: Iterable[Rule], view: RunView) -> list[FindingCard]:
    """Return everything that rules find, in their order."""
    return [found for rule in rules for found in rule(view)]


def gravest_first(cards: Iterable[FindingCard]) -> list[FindingCard]:
    """Sort by severity; cards of one severity keep their order."""
    return sorted(cards, key=lambda one: SEVERITIES.index(one.severity))


def numbered(letter: str, cards: Iterable[FindingCard]) -> tuple[FindingCard, ...]:
    """Name cards by a letter and their number, from 1."""
    return tuple(replace(one, id=f"{letter}{n}") for n, one in enumerate(cards, start=1))
