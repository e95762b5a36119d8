"""What attacks made of the pictures: one grid per attack, set-ups of one cipher in one column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from he_compare.common.run.one_cipher import cipher_groups
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.view import RunView
from he_compare.common.scheme import CONTROLS
from he_compare.reports.attack_matrix import columns, matrix_of_run
from he_compare.reports.attack_pictures import (
    ROLES,
    WHAT_ALIGNED_MEANS,
    Strip,
    lost_files,
    strip_of,
)
from he_compare.reports.document.nodes import Block, Bold, Paragraph, inline
from he_compare.reports.document.photographs import ColumnHead, Grid, GridRow, Tile
from he_compare.reports.section import ReportSection

SSIM_WORDS = (
    "A low SSIM between an image and its ciphertext is perceptual hiding, not confidentiality; a "
    "high SSIM between an image and what an attack made of its ciphertext is a break. An attack "
    "that learnt nothing may return a typical image: what it reaches stands at noise and AES-CTR."
)
MOST_STRIPS = 6
MOST_GRIDS = 4


class AttackedPictures(ReportSection):
    """Pictures before and after each attack that left some, the controls beside them."""

    order = 1310
    level = 2
    title = "What attacks made of the pictures"
    anchor = "security-pictures"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the grids, and which files are missing; nothing where no attack left pictures."""
        made: list[Block] = list(islice(_grids(view), MOST_GRIDS))
        lost = lost_files(view)
        if lost:
            words = "Not shown, because missing or unreadable in the run folder: "
            made.append(Paragraph(inline(f"{words}{', '.join(lost)}.")))
        return [Paragraph(inline(Bold(SSIM_WORDS))), *made] if made else []


def _grids(view: RunView) -> Iterator[Grid]:
    """Return a grid for each attack that left pictures: pipelines first, controls last."""
    matrix = matrix_of_run(view)
    names = columns(view, matrix)
    again = _other_set_ups(view)
    for row in matrix.rows:
        found = [
            (target in CONTROLS, strip, outcome)
            for target, shown in names
            if target not in again
            if (outcome := matrix.cell(row, target)) is not None
            if (strip := strip_of(view, shown, outcome)) is not None
        ]
        attacked = [strip for control, strip, _ in found if not control]
        ends = [strip for control, strip, _ in found if control]
        if attacked:
            outcomes = [outcome for _, _, outcome in found]
            strips = [*attacked[: MOST_STRIPS - len(ends)], *ends]
            yield _grid(row.name, row.title, strips, outcomes)


def _other_set_ups(view: RunView) -> set[str]:
    """Return the labels of pipelines whose cipher another pipeline before them has shown."""
    return {one.label for group in cipher_groups(view) for one in group.pipelines[1:]}


def _grid(row: str, title: str, strips: Sequence[Strip], outcomes: Sequence[AttackOutcome]) -> Grid:
    aligned = f" {WHAT_ALIGNED_MEANS}" if any(one.aligned for one in outcomes) else ""
    return Grid(
        name=f"security-{row.replace('_', '-').replace('@', '-')}",
        caption=f"{title}: original, what the server sees, and what the attack made of it; "
        f"the controls on the right.{aligned} {SSIM_WORDS}",
        alt=f"Pictures before and after the attack “{title}” for "
        + ", ".join(strip.title for strip in strips),
        heads=tuple(ColumnHead(strip.title) for strip in strips),
        rows=tuple(
            GridRow(role, tuple(_tile(strip, row, role) for strip in strips))
            for row, role in enumerate(ROLES)
        ),
    )


def _tile(strip: Strip, row: int, role: str) -> Tile:
    png, caption = strip.pictures[row]
    return Tile(png, f"{strip.title}, {role}", caption)


SECTION = AttackedPictures()
