"""Scrambling: what each adversary got from it, what it took, and what came out, with pictures."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.adversaries import Gain, gains_from
from he_compare.common.run.one_cipher import CipherGroup, cipher_groups
from he_compare.common.run.outcomes import outcomes_of, plain_title
from he_compare.common.run.protection import secrecy_of, worst_standing
from he_compare.common.run.result_words import short_result
from he_compare.common.run.severity import WON, verdict_of
from he_compare.common.run.view import RunView
from he_compare.reports.attack_pictures import ROLES, WHAT_ALIGNED_MEANS, Strip, strip_of
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Column,
    Paragraph,
    Row,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.document.photographs import ColumnHead, Grid, GridRow, Tile
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection

MOST_PICTURED = 4
COLUMNS = (
    Column("The adversary has", weight=1.3),
    Column("Best attack that was run", weight=1.6),
    Column("It took, per key", weight=1.2),
    Column("Time", "right", "per key", 0.7),
    Column("It got", weight=2.2),
    Column("Verdict", weight=0.9),
)


class WhatAdversariesGot(ReportSection):
    """Rung by rung: who needs what to get which picture."""

    order = 650
    title = "Scrambling: what each adversary got"
    anchor = "scrambling"

    def blocks(self, view: RunView) -> list[Block]:
        """Return words, table and pictures; nothing where no attack ran on a cipher."""
        ladders = [(group, gains_from(view, group.pipelines)) for group in cipher_groups(view)]
        ladders = [(group, gains) for group, gains in ladders if gains]
        if not ladders:
            return []
        several = len(ladders) > 1
        return [
            Paragraph(inline(*_answer(view, ladders))),
            _table(view, ladders, several),
            *_pictures(view, *ladders[0]),
        ]


def _answer(
    view: RunView, ladders: Sequence[tuple[CipherGroup, Sequence[Gain]]]
) -> list[str | Bold]:
    """Say of every cipher whether it held, and what the weakest adversary that won needed."""
    parts: list[str | Bold] = []
    for group, gains in ladders:
        name = group.title[:1].upper() + group.title[1:]
        winners = [gain for gain in gains if gain.outcome.verdict in WON]
        everywhere = [gain for gain in winners if not _where(view, group, gain)] or winners
        seen = [gain for gain in everywhere if gain.outcome.pictures]
        won = next(iter(seen or everywhere), None)
        standing = worst_standing([secrecy_of(view, one) for one in group.pipelines])
        if won is None or standing.mark not in ("broken", "partly"):
            parts += [Bold(f"{name}: {standing.words}."), " "]
        else:
            parts += [
                Bold(f"{name} did not protect the images."),
                f" {won.needed[:1].upper()}{won.needed[1:]} ({won.rung.value}) and {won.time} per "
                f"key were enough for “{plain_title(won.outcome)}”{_where(view, group, won)}: "
                f"{short_result(won.outcome).rstrip('.')}. ",
            ]
        if group.words:
            parts.append(f"This is {group.words}; what differs is how each model was trained. ")
    return parts


def _where(view: RunView, group: CipherGroup, gain: Gain) -> str:
    """Name the set-ups that an attack won on, where it did not win on all of the cipher's."""
    won = [
        one
        for one in group.pipelines
        if any(
            other.attack == gain.outcome.attack and other.verdict in WON
            for other in outcomes_of(view, one)
        )
    ]
    if len(won) in (0, len(group.pipelines)):
        return ""
    return f", on {', '.join(short_title(view, one) for one in won)}"


def _table(
    view: RunView, ladders: Sequence[tuple[CipherGroup, Sequence[Gain]]], several: bool
) -> Table:
    rows: list[Row | SpanRow] = []
    for group, gains in ladders:
        if several:
            rows.append(SpanRow(inline(group.title)))
        for gain in gains:
            more = f" (best of {gain.attacks})" if gain.attacks > 1 else ""
            rows.append(
                Row(
                    (
                        inline(gain.rung.value),
                        inline(f"{plain_title(gain.outcome)}{more}{_where(view, group, gain)}"),
                        inline(gain.needed),
                        inline(gain.time),
                        inline(short_result(gain.outcome)),
                        inline(verdict_of(gain.outcome)),
                    )
                )
            )
    keys = sorted({gain.keys for _, gains in ladders for gain in gains if gain.keys})
    under = f" Tried under {' to '.join(map(str, dict.fromkeys((keys[0], keys[-1]))))} keys."
    note = inline(
        "Rows from the weakest adversary to the strongest; every one of them knows the algorithm. "
        "In brackets: the same attack on noise, or chance."
        f"{under if keys else ''} Time: of the attack alone, on this machine."
    )
    return Table("What each adversary got from scrambling", COLUMNS, tuple(rows), note)


def _pictures(view: RunView, group: CipherGroup, gains: Sequence[Gain]) -> list[Grid]:
    """Return the pictures of the attacks in the table, the first of each rung."""
    shown: list[tuple[Gain, Strip]] = []
    for gain in gains:
        strip = strip_of(view, plain_title(gain.outcome), gain.outcome)
        if strip is not None:
            shown.append((gain, strip))
    shown = shown[:MOST_PICTURED]
    if not shown:
        return []
    aligned = any(gain.outcome.aligned for gain, _ in shown)
    return [
        Grid(
            name="scrambling-adversaries",
            caption=f"One image under {group.title}: original, what the server gets, and what the "
            "best attack of each adversary made of it."
            + (f" {WHAT_ALIGNED_MEANS}" if aligned else ""),
            alt="Pictures before and after the attacks "
            + ", ".join(f"“{strip.title}”" for _, strip in shown),
            heads=tuple(ColumnHead(strip.title, gain.rung.value) for gain, strip in shown),
            rows=tuple(
                GridRow(
                    role,
                    tuple(
                        Tile(
                            strip.pictures[row][0], f"{strip.title}, {role}", strip.pictures[row][1]
                        )
                        for _, strip in shown
                    ),
                )
                for row, role in enumerate(ROLES)
            ),
        )
    ]


SECTION = WhatAdversariesGot()
