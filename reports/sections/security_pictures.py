"""What attacks made of the pictures: one grid per attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from he_compare.common.run.view import RunView
from he_compare.common.scheme import CONTROLS
from he_compare.reports.attack_matrix import columns, matrix_of_run
from he_compare.reports.attack_pictures import ROLES, Strip, lost_files, strip_of
from he_compare.reports.document.nodes import Block, Bold, Paragraph, inline
from he_compare.reports.document.photographs import ColumnHead, Grid, GridRow, Tile
from he_compare.reports.section import ReportSection

SSIM_WORDS = (
    "A low SSIM between an image and its ciphertext is perceptual hiding, not confidentiality; a "
    "high SSIM between an image and what an attack made of its ciphertext is a break."
)
MOST_STRIPS = 6
MOST_GRIDS = 4


class AttackedPictures(ReportSection):
    """Pictures before and after each attack that left some, the controls beside them."""

    order = 810
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
    for row in matrix.rows:
        strips = [
            (target in CONTROLS, strip)
            for target, shown in names
            if (outcome := matrix.cell(row, target)) is not None
            if (strip := strip_of(view, shown, outcome)) is not None
        ]
        attacked = [strip for control, strip in strips if not control]
        ends = [strip for control, strip in strips if control]
        if attacked:
            yield _grid(row.name, row.title, [*attacked[: MOST_STRIPS - len(ends)], *ends])


def _grid(row: str, title: str, strips: Sequence[Strip]) -> Grid:
    return Grid(
        name=f"security-{row.replace('_', '-').replace('@', '-')}",
        caption=f"{title}: original, what the server sees, and what the attack made of it; "
        "the controls on the right. " + SSIM_WORDS,
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
