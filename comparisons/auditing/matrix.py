"""The matrix of an audit as text and JSON, and one of its cells in full.

The worst verdict of a column is its headline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from he_compare.common.errors import UsageError
from he_compare.common.plugins import nearest
from he_compare.common.references.held_images import TRAIN
from he_compare.common.references.reference import Domain
from he_compare.common.run.capability_matrix import controls_failed, matrix_of
from he_compare.common.run.records import AttackOutcome, MetricValue, ReferenceFacts
from he_compare.common.run.severity import (
    A_CONTROL,
    AS_NOISE,
    IS_NECESSARY,
    NECESSARY,
    NOT_PROMISED,
    NOTHING_TO_ATTACK,
    WORDS,
    aside,
    beyond_claims,
    only_necessary,
)
from he_compare.common.types import NotRun
from he_compare.comparisons.attacks.tools.likeness import PUBLIC_MEAN
from he_compare.comparisons.auditing.outcome_draft import number

NOTE = (
    "`resists` means: not broken within the stated budget, which is not the same as secure. "
    "The number is the advantage: 0 for what is had without the attack, 1 as on unprotected images."
)


NEAR = Domain.IN_DOMAIN.value
BEYOND = (
    "* the attack won something that its target does not claim to protect, or that its server is "
    "meant to know (see `compare audit explain`); the strongest attack is chosen among the others."
)
OTHER_FLOORS = (
    "Rows with different public images have different floors: the mean of those images, which is "
    "closer to the originals the more alike they are. Do not compare their advantages with each "
    "other, or with rows without public images, whose floor is the mean training image; compare "
    "the metric (see `compare audit explain`)."
)


ORIGIN_OF_KEYS = {
    "operating system": "of the operating system: scores differ within the interval from one audit "
    "to the next",
    "seeded": "derived from --key-seed: for debugging only",
}


MESSAGES = {
    "crossed in the run": "key 1: as they crossed the wire in the run; other keys: encrypted anew",
    "deployed again": "of a pipeline that the audit deployed again: not the traffic of the run",
    "deployed for the audit": "of a pipeline that was deployed for the audit only",
    "cipher alone": "of the cipher alone, without a pipeline",
}


def mark(outcome: AttackOutcome | None) -> str:
    """Return the text of a cell: the verdict, and the advantage where there is one."""
    if outcome is None:
        return ""
    if outcome.counts_as == "control":
        return AS_NOISE
    share = "" if outcome.advantage is None else f" {outcome.advantage:.2f}"
    word = NECESSARY if only_necessary(outcome) else WORDS[outcome.verdict].mark
    return word + share + ("*" if beyond_claims(outcome) else "")


def render(outcomes: Sequence[AttackOutcome]) -> str:
    """Return the matrix as text."""
    matrix = matrix_of(outcomes)
    lines = [["", *matrix.targets]]
    for rung, rows in matrix.rungs():
        lines.append([f"[{rung.value}]"] + [""] * len(matrix.targets))
        for row in rows:
            marks = [mark(matrix.cell(row, target)) for target in matrix.targets]
            lines.append([f"  {row.title}", *marks])
    worst = [matrix.worst(target) for target in matrix.targets]
    lines.append(["strongest attack", *(WORDS[one.verdict].mark if one else "" for one in worst)])
    return "\n".join([*_aligned(lines), "", *_notes(outcomes)])


def _aligned(lines: list[list[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _notes(outcomes: Sequence[AttackOutcome]) -> list[str]:
    """Say what the marks mean, which attacks were left out, and which controls misbehaved."""
    notes = [NOTE]
    if any(map(beyond_claims, outcomes)):
        notes.append(BEYOND)
    if any(one.counts_as == "control" for one in outcomes):
        notes.append(f"`{AS_NOISE}`: {A_CONTROL}; it is not counted as an attack resisted.")
    if any(map(only_necessary, outcomes)):
        notes.append(f"`{NECESSARY}`: {IS_NECESSARY}.")
    if alone := sorted({one.target for one in outcomes if one.reason == NOTHING_TO_ATTACK}):
        notes.append(f"{', '.join(alone)}: {NOTHING_TO_ATTACK}; neither a pass nor a verdict.")
    if any(one.verdict == "unreadable" for one in outcomes):
        notes.append(f"`unreadable`: {WORDS['unreadable'].meaning}.")
    small = {(one.title, one.reason) for one in outcomes if one.not_run is NotRun.BUDGET}
    notes += [f"- {title}: not run, {reason}" for title, reason in sorted(small)]
    if near := sorted({o.title for o in outcomes if o.reference and o.reference.domain == NEAR}):
        notes.append(f"in-domain reference: {', '.join(near)}")
    if len({_mean_of(one) for one in outcomes if PUBLIC_MEAN in one.floors}) > 1:
        notes.append(OTHER_FLOORS)
    failed = controls_failed(outcomes)
    return notes + [f"! {one.title} on {one.target}: {one.unreliable[0]}" for one in failed]


def _mean_of(outcome: AttackOutcome) -> str:
    """Name the public images whose mean is a floor: the training images where it was given none."""
    return outcome.reference.name if outcome.reference else TRAIN


def as_json(outcomes: Sequence[AttackOutcome]) -> dict[str, Any]:
    """Return the matrix as JSON values."""
    matrix = matrix_of(outcomes)
    return {
        "targets": list(matrix.targets),
        "rows": [
            {
                "rung": row.rung.value,
                "attack": row.attack,
                "row": row.name,
                "title": row.title,
                "cells": {
                    target: _cell(one)
                    for target in matrix.targets
                    if (one := matrix.cell(row, target)) is not None
                },
            }
            for row in matrix.rows
        ],
        "controls_failed": [one.identity for one in controls_failed(outcomes)],
        "note": NOTE,
    }


def _cell(outcome: AttackOutcome) -> dict[str, Any]:
    return {
        "verdict": outcome.verdict,
        "promised": outcome.promised,
        "counts_as": outcome.counts_as,
        "not_run": outcome.not_run,
        "advantage": outcome.advantage,
        "headline": outcome.headline,
        "reason": outcome.reason,
        "reference": outcome.reference.model_dump() if outcome.reference else None,
        "identity": outcome.identity,
    }


def find_cell(outcomes: Sequence[AttackOutcome], cell: str) -> AttackOutcome:
    """Find a cell by ``TARGET/ATTACK`` or the start of its identity.

    ``TARGET/ATTACK@REFERENCE`` names one of several sets of public images. Raises UsageError.
    """
    known = {f"{o.target}/{o.row}": o for o in outcomes}
    rows = {o.row: o for o in outcomes if f"{o.target}/{o.attack}" == cell}
    if len(rows) == 1:
        return next(iter(rows.values()))
    if cell in known:
        return known[cell]
    starting = [o for o in outcomes if cell and o.identity.startswith(cell)]
    if len(starting) == 1:
        return starting[0]
    raise UsageError(f"no cell {cell!r} in this audit", fix=nearest(cell, sorted(known)))


def explain_outcome(outcome: AttackOutcome) -> str:
    """Describe one cell in full."""
    lines = [
        f"{outcome.title} on {outcome.target}: {outcome.verdict}{_counted(outcome)}",
        "",
        f"claim      {_claim(outcome)}",
        f"adversary  {', '.join(rung.value for rung in outcome.knowledge)}",
    ]
    if outcome.reference is not None:
        lines.append(f"public     {_reference(outcome.reference)}")
        lines += [f"           {note}" for note in outcome.reference.notes]
    if outcome.headline:
        lines.append(f"evidence   {outcome.headline}")
    if outcome.reason:
        lines.append(f"reason     {outcome.reason}")
    if outcome.advantage is not None:
        lines.append(f"advantage  {outcome.advantage:.3f}{_interval(outcome)}")
    if outcome.floor is not None and outcome.floor_from:
        others = ", ".join(
            f"{name} {number(value)}"
            for name, value in outcome.floors.items()
            if name != outcome.floor_from
        )
        lines.append(
            f"floor      {number(outcome.floor)}: {outcome.floor_from}"
            + (f" (and {others})" if others else "")
        )
    if outcome.control_keys:
        lines.append(
            f"           floor and ceiling are estimates from {outcome.control_keys} control keys, "
            "unless they are known exactly"
        )
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
    if outcome.messages:
        lines.append(f"messages   {MESSAGES[outcome.messages]}")
    if outcome.keys:
        lines.append(f"keys       {ORIGIN_OF_KEYS[outcome.keys]}")
    lines += [f"file       {name}" for name in outcome.artefacts]
    lines += [f"source     {outcome.source}", f"reproduce  {outcome.reproduce}"]
    return "\n".join(lines)


def _reference(reference: ReferenceFacts) -> str:
    count = "" if reference.images is None else f"{reference.images} images, "
    return (
        f"{reference.name} ({reference.domain} reference): {count}{reference.provenance}; "
        f"SHA-256 {reference.digest[:12]}"
    )


def _claim(outcome: AttackOutcome) -> str:
    if not outcome.claim:
        return "none"
    return outcome.claim if outcome.promised else f"{NOT_PROMISED}: {outcome.claim}"


def _counted(outcome: AttackOutcome) -> str:
    """Say what an outcome counts as where its target is not judged by it."""
    if outcome.counts_as == "control":
        return f" ({A_CONTROL})"
    if only_necessary(outcome):
        return f" ({NECESSARY}, no evidence of resistance)"
    why = aside(outcome)
    return f" ({why})" if why else ""


def _interval(outcome: AttackOutcome) -> str:
    interval = outcome.advantage_interval
    if interval is None:
        return ""
    return f" [{interval.low:.3f}, {interval.high:.3f}] ({interval.level:.0%}, {interval.method})"


def _detail(detail: MetricValue) -> str:
    if detail.value is None:
        return f"{detail.name}: none {detail.note}".rstrip()
    return f"{detail.name}: {number(detail.value)} {detail.unit} {detail.note}".rstrip()
