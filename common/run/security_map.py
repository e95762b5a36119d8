"""The map of an audit: a column per protection, rows grouped by the property that is tested.

Pipelines without protection are one column, the set-ups of one cipher are one column, each
encryption is one. Controls are no columns: they behaved as they must, or are named. Rows that say
nothing about any protection are left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from he_compare.common.run.capability_matrix import controls_failed
from he_compare.common.run.one_cipher import cipher_groups
from he_compare.common.run.outcomes import outcomes_of, plain_title
from he_compare.common.run.protection import (
    ProtectionMark,
    is_control_pipeline,
    mark_of,
    replies_changed,
)
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.severity import LADDER, WON, only_necessary
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Aim

MapMark: TypeAlias = ProtectionMark | Literal["inconclusive", "necessary", "unreadable", "not run"]
NO_PROTECTION = "no protection"
UNNAMED = "property not named"
# What a mark says of a protection: rows in which no column has one of these are left out.
TELLING_MARKS: frozenset[MapMark] = frozenset(
    (
        *("broken", "partly", "held", "not promised", "not protected", "open by design"),
        "inconclusive",
    )
)
# Of unequal marks of several set-ups or public images, the one that is worse for the owner.
WORST_FIRST: tuple[MapMark, ...] = (
    "broken",
    "partly",
    "not protected",
    "not promised",
    "open by design",
    "held",
    "inconclusive",
    "control",
    "necessary",
    "unreadable",
    "not run",
    "not tested",
    "does not apply",
)


@dataclass(frozen=True)
class MapColumn:
    """One protection: its name, and the pipelines that use it."""

    title: str
    pipelines: tuple[PipelineView, ...]
    protected: bool = True


@dataclass(frozen=True)
class MapRow:
    """One attack, whatever public images it was given."""

    attack: str
    title: str
    aim: Aim | None


@dataclass(frozen=True)
class MapCell:
    """What one attack got from one protection: the worst over its set-ups."""

    mark: MapMark
    outcomes: tuple[AttackOutcome, ...] = ()


@dataclass(frozen=True)
class SecurityMap:
    """Columns, rows by property, cells by (attack, title of the column), and what was left out.

    ``left_out``: rows without a say about any protection, by why. ``controls``: one sentence.
    """

    columns: tuple[MapColumn, ...]
    groups: tuple[tuple[str, tuple[MapRow, ...]], ...]
    cells: Mapping[tuple[str, str], MapCell]
    left_out: Mapping[str, tuple[MapRow, ...]]
    controls: str

    def cell(self, row: MapRow, column: MapColumn) -> MapCell:
        """Return what an attack got from a protection."""
        return self.cells.get((row.attack, column.title), MapCell("does not apply"))


def security_map(view: RunView) -> SecurityMap:
    """Lay out the outcomes of a run. Without outcomes it has no rows."""
    columns = map_columns(view)
    every = {
        (row.attack, column.title): _cell(view, row, column)
        for row in _rows(view)
        for column in columns
    }
    kept: dict[str, list[MapRow]] = {}
    left: dict[str, list[MapRow]] = {}
    for row in _rows(view):
        marks = {every[row.attack, one.title].mark for one in columns if one.protected}
        if marks & TELLING_MARKS:
            kept.setdefault(row.aim.value if row.aim else UNNAMED, []).append(row)
        else:
            left.setdefault(_why_left_out(marks), []).append(row)
    order = [aim.value for aim in Aim] + [UNNAMED]
    return SecurityMap(
        columns,
        tuple((name, tuple(kept[name])) for name in order if name in kept),
        every,
        {why: tuple(rows) for why, rows in left.items()},
        controls_in_words(view),
    )


def map_columns(view: RunView) -> tuple[MapColumn, ...]:
    """Return the protections of a run: none first, then ciphers, then encryptions.

    Controls and what has no server are no columns.
    """
    asked = [one for one in view.pipelines if not one.no_server and not is_control_pipeline(one)]
    groups = cipher_groups(view)
    scrambled = {one.label for group in groups for one in group.pipelines}
    rest = [one for one in asked if one.protected and one.label not in scrambled]
    unprotected = tuple(one for one in asked if not one.protected and one.claims is not None)
    columns = [MapColumn(NO_PROTECTION, unprotected, protected=False)] if unprotected else []
    for group in groups:
        columns.append(
            MapColumn("scrambling" if len(groups) == 1 else _joined(group.ciphers), group.pipelines)
        )
    names = Counter(one.planned.name for one in rest)
    for one in rest:
        title = one.planned.name if names[one.planned.name] == 1 else one.label
        columns.append(MapColumn(title, (one,)))
    seen = Counter(column.title for column in columns)
    return tuple(
        column
        if seen[column.title] == 1
        else MapColumn(column.pipelines[0].label, column.pipelines, column.protected)
        for column in columns
    )


def controls_in_words(view: RunView) -> str:
    """Say whether identity, noise and AES-CTR behaved as they must, or which did not; '' if none.

    Of the controls that are pipelines, what was won on noise is named as well.
    """
    controls = [one for one in view.outcomes if one.target_kind == "control"]
    failed = controls_failed([one for one in view.outcomes if one.target_kind != "control"])
    if not controls and not any(one.controls for one in view.outcomes):
        return ""
    if failed:
        named = dict.fromkeys(
            f"{plain_title(one)} ({', '.join(one.controls_failed)})" for one in failed
        )
        return f"Controls that misbehaved: {'; '.join(named)}. These outcomes say nothing."
    ran = {one.attack for one in view.outcomes if one.controls}
    return (
        f"Controls: the {len(ran)} attacks that have controls won on unprotected images and got "
        "nothing from noise and from AES-CTR, as they must."
    )


def _joined(names: Iterable[str]) -> str:
    return ", ".join(names)


def _rows(view: RunView) -> list[MapRow]:
    """Return the attacks, those that take the least knowledge first."""
    found: dict[str, AttackOutcome] = {}
    for one in view.outcomes:
        if one.target_kind != "control":
            known = found.setdefault(one.attack, one)
            if LADDER.index(one.rung) < LADDER.index(known.rung):
                found[one.attack] = one
    ordered = sorted(found.values(), key=lambda one: (LADDER.index(one.rung), plain_title(one)))
    return [MapRow(one.attack, plain_title(one), one.aim) for one in ordered]


def _cell(view: RunView, row: MapRow, column: MapColumn) -> MapCell:
    marks = [
        _mark(outcome, column)
        for pipeline in column.pipelines
        for outcome in outcomes_of(view, pipeline)
        if outcome.attack == row.attack
    ]
    if not marks:
        return MapCell("not tested")
    worst = min((mark for mark, _ in marks), key=WORST_FIRST.index)
    return MapCell(worst, tuple(outcome for mark, outcome in marks if mark == worst))


def _mark(outcome: AttackOutcome, column: MapColumn) -> tuple[MapMark, AttackOutcome]:
    if not column.protected and outcome.verdict in WON:
        return "open by design", outcome
    mark, _ = mark_of([outcome])
    if replies_changed(outcome) or (mark == "not promised" and outcome.aim is Aim.INTEGRITY):
        return "not protected", outcome
    if outcome.verdict == "resists within budget" and mark == "not tested":
        return ("necessary" if only_necessary(outcome) else "held"), outcome
    if mark != "not tested":
        return mark, outcome
    told: dict[str, MapMark] = {
        "unreliable": "inconclusive",
        "unreadable": "unreadable",
        "not run": "not run",
    }
    return told.get(outcome.verdict, "not tested"), outcome


def _why_left_out(marks: set[MapMark]) -> str:
    """Say why a row says nothing about any protection."""
    if "not run" in marks:
        return "not run"
    if "unreadable" in marks:
        if "does not apply" in marks:
            return "apply to none of these ciphers, and cannot read encrypted messages"
        return "cannot read the messages"
    if "control" in marks:
        return "found what they find in noise"
    if "necessary" in marks:
        return "must hold, which shows nothing"
    return "apply to none of these protections"
