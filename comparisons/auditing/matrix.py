"""The matrix of an audit as text and JSON, and one of its cells told in full.

Rows are the capability ladder and the attacks on each rung, columns what was attacked; the worst
verdict of a column is its headline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from he_compare.common.errors import UsageError
from he_compare.common.plugins import nearest
from he_compare.common.run.outcomes import beyond_claims, gravity
from he_compare.common.run.records import AttackOutcome, MetricValue
from he_compare.common.types import Knowledge
from he_compare.comparisons.auditing.outcomes import number
from he_compare.comparisons.auditing.verdicts import BUDGET_PREFIX, CONTROL_PREFIX

MARKS = {
    "broken": "BROKEN",
    "partial": "partial",
    "unreliable": "unreliable",
    "resists within budget": "resists",
    "not applicable": "n/a",
    "not run": "not run",
}
NOTE = (
    "`resists` means: not broken within the stated budget, which is not the same as secure. "
    "The number is the advantage: 0 as on noise, 1 as on unprotected images."
)


BEYOND = (
    "* wins something that its target does not claim (see `compare audit explain`); the strongest "
    "attack is taken among the others."
)


def columns(outcomes: Sequence[AttackOutcome]) -> list[str]:
    """Return the targets: pipelines and ciphers first, controls last, each in order of attack."""
    seen = {outcome.target: outcome.target_kind for outcome in outcomes}
    return sorted(seen, key=lambda target: seen[target] == "control")


def rows(outcomes: Sequence[AttackOutcome]) -> list[tuple[Knowledge, str, str]]:
    """Return (rung, attack, title), from the weakest adversary to the strongest."""
    ladder = list(Knowledge)
    seen = {outcome.attack: (outcome.rung, outcome.attack, outcome.title) for outcome in outcomes}
    return sorted(seen.values(), key=lambda row: (ladder.index(row[0]), row[2]))


def cells(outcomes: Sequence[AttackOutcome]) -> dict[tuple[str, str], AttackOutcome]:
    """Return the outcomes by (attack, target); a later one replaces an earlier one."""
    return {(outcome.attack, outcome.target): outcome for outcome in outcomes}


def worst(outcomes: Sequence[AttackOutcome], target: str) -> AttackOutcome | None:
    """Return the outcome that is worst for a target's owner, None where nothing was attacked.

    Of equal verdicts the one that takes the least knowledge counts.
    """
    mine = [outcome for outcome in outcomes if outcome.target == target]
    return min(mine, key=gravity, default=None)


def controls_failed(outcomes: Sequence[AttackOutcome]) -> list[AttackOutcome]:
    """Return the outcomes that a control makes unreliable."""
    return [
        outcome
        for outcome in outcomes
        if any(reason.startswith(CONTROL_PREFIX) for reason in outcome.unreliable)
    ]


def mark(outcome: AttackOutcome | None) -> str:
    """Spell a cell: the verdict, and the advantage where there is one."""
    if outcome is None:
        return ""
    share = "" if outcome.advantage is None else f" {outcome.advantage:.2f}"
    return MARKS[outcome.verdict] + share + ("*" if beyond_claims(outcome) else "")


def render(outcomes: Sequence[AttackOutcome]) -> str:
    """Return the matrix as text."""
    names, known = columns(outcomes), cells(outcomes)
    lines = [["", *names]]
    rung = None
    for ladder, attack, title in rows(outcomes):
        if ladder != rung:
            rung = ladder
            lines.append([f"[{ladder.value}]"] + [""] * len(names))
        lines.append([f"  {title}", *(mark(known.get((attack, name))) for name in names)])
    headlines = [worst(outcomes, name) for name in names]
    lines.append(["strongest attack", *(MARKS[o.verdict] if o else "" for o in headlines)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(names) + 1)]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    left_out = sorted({(o.title, o.reason) for o in outcomes if o.reason.startswith(BUDGET_PREFIX)})
    small = [f"- {title}: not run, {reason}" for title, reason in left_out]
    failed = [f"! {o.title} on {o.target}: {o.unreliable[0]}" for o in controls_failed(outcomes)]
    beyond = [BEYOND] if any(map(beyond_claims, outcomes)) else []
    return "\n".join([text, "", NOTE, *beyond, *small, *failed])


def as_json(outcomes: Sequence[AttackOutcome]) -> dict[str, Any]:
    """Return the matrix as JSON values."""
    return {
        "targets": columns(outcomes),
        "rows": [
            {
                "rung": ladder.value,
                "attack": attack,
                "title": title,
                "cells": {
                    o.target: {
                        "verdict": o.verdict,
                        "advantage": o.advantage,
                        "headline": o.headline,
                        "reason": o.reason,
                        "identity": o.identity,
                    }
                    for o in outcomes
                    if o.attack == attack
                },
            }
            for ladder, attack, title in rows(outcomes)
        ],
        "controls_failed": [o.identity for o in controls_failed(outcomes)],
        "note": NOTE,
    }


def find_cell(outcomes: Sequence[AttackOutcome], cell: str) -> AttackOutcome:
    """Find a cell by ``TARGET/ATTACK`` or the start of its identity. Raises UsageError."""
    known = {f"{o.target}/{o.attack}": o for o in outcomes}
    if cell in known:
        return known[cell]
    starting = [o for o in outcomes if cell and o.identity.startswith(cell)]
    if len(starting) == 1:
        return starting[0]
    raise UsageError(f"no cell {cell!r} in this audit", fix=nearest(cell, sorted(known)))


def explain(outcome: AttackOutcome) -> str:
    """Tell one cell in full."""
    lines = [
        f"{outcome.title} on {outcome.target}: {outcome.verdict}",
        "",
        f"claim      {outcome.claim or 'none'}",
        f"adversary  {', '.join(rung.value for rung in outcome.knowledge)}",
    ]
    if outcome.headline:
        lines.append(f"evidence   {outcome.headline}")
    if outcome.reason:
        lines.append(f"reason     {outcome.reason}")
    if outcome.advantage is not None:
        lines.append(f"advantage  {outcome.advantage:.3f}{_interval(outcome)}")
    for name, value in outcome.controls.items():
        lines.append(f"control    {name}: {number(value)}")
    lines += [f"detail     {_detail(detail)}" for detail in outcome.details]
    lines += [f"unreliable {reason}" for reason in outcome.unreliable]
    lines += [f"limit      {limit}" for limit in outcome.limits]
    if outcome.spent:
        spent = ", ".join(f"{value} {name}" for name, value in outcome.spent.items())
        lines.append(f"spent      {spent}; {outcome.seconds:.2f} s")
    if outcome.budget:
        budget = ", ".join(f"{name} {value}" for name, value in outcome.budget.items())
        lines.append(f"budget     {budget}")
    lines += [f"file       {name}" for name in outcome.artefacts]
    lines += [f"source     {outcome.source}", f"reproduce  {outcome.reproduce}"]
    return "\n".join(lines)


def _interval(outcome: AttackOutcome) -> str:
    interval = outcome.advantage_interval
    if interval is None:
        return ""
    return f" [{interval.low:.3f}, {interval.high:.3f}] ({interval.level:.0%}, {interval.method})"


def _detail(detail: MetricValue) -> str:
    if detail.value is None:
        return f"{detail.name}: none {detail.note}".rstrip()
    return f"{detail.name}: {number(detail.value)} {detail.unit} {detail.note}".rstrip()
