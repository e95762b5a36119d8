"""The matrix of an audit as text and JSON.

The worst verdict of a column is its headline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from he_compare.common.references.held_images import TRAIN
from he_compare.common.references.reference import Domain
from he_compare.common.run.capability_matrix import (
    CapabilityMatrix,
    MatrixRow,
    controls_failed,
    matrix_of,
)
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.severity import (
    A_CONTROL,
    AS_NOISE,
    IS_NECESSARY,
    NECESSARY,
    NOTHING_TO_ATTACK,
    WORDS,
    beyond_claims,
    only_necessary,
)
from he_compare.common.types import NotRun
from he_compare.comparisons.attacks.tools.likeness import PUBLIC_MEAN
from he_compare.comparisons.auditing.outcome_draft import PUBLIC_TITLE
from he_compare.comparisons.terminal import TextTable, fold_text, in_columns, labelled, unbroken

RESISTS = "`resists` means: not broken within the stated budget, which is not the same as secure. "
SCALE = (
    "The number is the advantage: 0 for what is had without the attack, 1 as on unprotected images."
)
NO_NUMBERS = "The advantage of each attack is printed with --wide."


NEAR = Domain.IN_DOMAIN.value
BEYOND = (
    "* won, but not promised: the attack got something that its target does not claim to protect, "
    "or that its server is meant to know (see `compare audit explain`); the strongest attack is "
    "chosen among the others."
)
OTHER_FLOORS = (
    "Rows with different public images have different floors: the mean of those images, which is "
    "closer to the originals the more alike they are. Do not compare their advantages with each "
    "other, or with rows without public images, whose floor is the mean training image; compare "
    "the metric (see `compare audit explain`)."
)


# What was won and had never been promised is not called broken.
WON_ASIDE = {"broken": "won", "partial": "partly"}
# A cell of one letter, where the terminal is narrow.
LETTERS = {
    "broken": ("B", "broken"),
    "partial": ("P", "partly broken"),
    "won aside": ("*", "won, not promised"),
    "resists within budget": ("r", "resists within budget"),
    "as noise": ("c", "control: as noise"),
    "necessary": ("n", "necessary, no evidence"),
    "unreliable": ("?", "unreliable"),
    "unreadable": ("u", "unreadable"),
    "not run": ("o", "not run"),
    "not applicable": ("-", "not applicable"),
}
# Fewer columns than this are no room for the name of an attack.
TITLE_COLUMNS = 30
STRONGEST = "strongest attack"


def mark(outcome: AttackOutcome | None) -> str:
    """Return the text of a cell: the verdict, and the advantage where there is one."""
    if outcome is None:
        return ""
    if outcome.counts_as == "control":
        return AS_NOISE
    share = "" if outcome.advantage is None else f" {outcome.advantage:.2f}"
    return _word(outcome).removesuffix("*") + share + ("*" if beyond_claims(outcome) else "")


def _word(outcome: AttackOutcome | None) -> str:
    """Return the verdict alone."""
    if outcome is None:
        return ""
    if outcome.counts_as == "control":
        return AS_NOISE
    if beyond_claims(outcome):
        return WON_ASIDE[outcome.verdict] + "*"
    return NECESSARY if only_necessary(outcome) else WORDS[outcome.verdict].mark


def _kind(outcome: AttackOutcome) -> str:
    if outcome.counts_as == "control":
        return "as noise"
    if beyond_claims(outcome):
        return "won aside"
    return "necessary" if only_necessary(outcome) else outcome.verdict


def _letter(outcome: AttackOutcome | None) -> str:
    return "" if outcome is None else LETTERS[_kind(outcome)][0]


def render(outcomes: Sequence[AttackOutcome], columns: int | None = None) -> str:
    """Return the matrix as text in at most ``columns``; None: no limit.

    Where it is too wide, targets get letters, then cells lose their numbers, then become letters;
    where even that is too wide, each target is a paragraph of its own.
    """
    matrix = matrix_of(outcomes)
    if columns is None:
        everything = in_columns(_table(matrix, matrix.targets, mark), None) or []
        return "\n".join([*everything, "", *_notes(outcomes)])
    absent = _nowhere_applicable(matrix)
    shown = replace(matrix, rows=tuple(row for row in matrix.rows if row not in absent))
    names = [_column_name(number) for number in range(len(matrix.targets))]
    for heads, cell in ((matrix.targets, mark), (names, mark), (names, _word), (names, _letter)):
        table = _table(shown, heads, cell, _short_title)
        grid = in_columns(table, columns, first=TITLE_COLUMNS)
        if grid is not None:
            break
    key = [] if grid is not None and heads is matrix.targets else _key(matrix, columns)
    notes = _notes(outcomes, _short_title, numbers=cell is mark)
    if absent:
        notes.append("not applicable to any target: " + "; ".join(map(_short_title, absent)))
    if grid is not None and cell is _letter:
        notes.insert(0, _letters_used(outcomes))
    lines = [line for note in notes for line in fold_text(note, columns, "  ")]
    body = [*_paragraphs(matrix, columns)] if grid is None else [*key, *grid, ""]
    return "\n".join([*body, *lines])


def _key(matrix: CapabilityMatrix, columns: int) -> list[str]:
    """Say which target each letter over a column stands for."""
    lines = [
        line
        for number, target in enumerate(matrix.targets)
        for line in labelled(_column_name(number), target, columns, 4)
    ]
    return [*lines, ""]


def _table(
    matrix: CapabilityMatrix,
    heads: Sequence[str],
    cell: Callable[[AttackOutcome | None], str],
    title: Callable[[MatrixRow | AttackOutcome], str] = lambda row: row.title,
) -> TextTable:
    rows: list[Sequence[str] | str] = []
    for rung, of_rung in matrix.rungs():
        rows.append(f"[{rung.value}]")
        for row in of_rung:
            cells = (unbroken(cell(matrix.cell(row, target))) for target in matrix.targets)
            rows.append((f"  {title(row)}", *cells))
    worst = [matrix.worst(target) for target in matrix.targets]
    rows.append((STRONGEST, *(cell(one) for one in map(_verdict_alone, worst))))
    return TextTable(("", *heads), rows)


def _verdict_alone(outcome: AttackOutcome | None) -> AttackOutcome | None:
    """Return the outcome without its number: the strongest attack has a verdict."""
    return outcome.model_copy(update={"advantage": None}) if outcome else None


def _column_name(number: int) -> str:
    """Name a column by letters: A to Z, then AA, AB and so on."""
    before, last = divmod(number, 26)
    return (_column_name(before - 1) if before else "") + chr(ord("A") + last)


def _letters_used(outcomes: Sequence[AttackOutcome]) -> str:
    used = {_kind(one) for one in outcomes}
    return "; ".join(
        unbroken(f"{sign} = {words}") for kind, (sign, words) in LETTERS.items() if kind in used
    )


def _short_title(row: MatrixRow | AttackOutcome) -> str:
    """Return a title that ends in @NAME of its public images, as the cell is called by name."""
    name = row.name if isinstance(row, MatrixRow) else row.row
    _, at, public = name.partition("@")
    return row.title.split(PUBLIC_TITLE)[0] + at + public


def _nowhere_applicable(matrix: CapabilityMatrix) -> list[MatrixRow]:
    """Return the rows that say nothing: not applicable to any target."""
    return [
        row
        for row in matrix.rows
        if {one.verdict for target in matrix.targets if (one := matrix.cell(row, target))}
        == {"not applicable"}
    ]


def _paragraphs(matrix: CapabilityMatrix, columns: int) -> Iterator[str]:
    """Yield a paragraph per target: its strongest attack, and the attacks of each verdict."""
    for target in matrix.targets:
        worst = matrix.worst(target)
        yield from fold_text(target, columns, "  ")
        yield from labelled("  " + STRONGEST, _word(worst) or "none", columns, 20)
        for word, rows in _by_word(matrix, target).items():
            titles = "; ".join(map(_short_title, rows))
            yield from labelled("  " + word, titles, columns, 14)
        yield ""


def _by_word(matrix: CapabilityMatrix, target: str) -> dict[str, list[MatrixRow]]:
    found: dict[str, list[MatrixRow]] = {}
    for row in matrix.rows:
        if outcome := matrix.cell(row, target):
            found.setdefault(_word(outcome), []).append(row)
    return found


def _notes(
    outcomes: Sequence[AttackOutcome],
    title: Callable[[AttackOutcome], str] = lambda one: one.title,
    *,
    numbers: bool = True,
) -> list[str]:
    """Say what the marks mean, which attacks were left out, and which controls misbehaved."""
    notes = [RESISTS + (SCALE if numbers else NO_NUMBERS)]
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
    small: dict[str, set[str]] = {}
    for one in outcomes:
        if one.not_run is NotRun.BUDGET:
            small.setdefault(one.reason, set()).add(title(one))
    notes += [f"not run, {why}: {', '.join(sorted(names))}" for why, names in small.items()]
    if near := sorted({title(o) for o in outcomes if o.reference and o.reference.domain == NEAR}):
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
        "note": RESISTS + SCALE,
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
