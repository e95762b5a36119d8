"""What the server sees: sample images as the client has them and as they arrive there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from he_compare.common.run.spelling import MISSING, fixed
from he_compare.common.run.view import Pictures, PipelineView, RunView
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Column,
    Inline,
    Paragraph,
    Row,
    Table,
    inline,
)
from he_compare.reports.document.photographs import ColumnHead, Grid, GridRow, Tile
from he_compare.reports.document.png import png_of
from he_compare.reports.naming import row_name, short_title
from he_compare.reports.section import ReportSection

MOST_IMAGES = 4
MOST_ROWS = 5
LONGEST_ID = 28
HIDING = (
    "A picture that looks like noise, or a low correlation, shows perceptual hiding, not "
    "confidentiality. What an attacker can recover is measured by attacks (see Security)."
)


class ServersView(ReportSection):
    """Sample images as the client has them and as they arrive at the server."""

    order = 700
    title = "What the server sees"
    anchor = "pictures"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the pictures; without stored ones the section says so."""
        if view.pictures is None:
            return [Paragraph(inline("The run stored no sample pictures."))]
        grids = _grids(view, view.pictures)
        return [Paragraph(inline(Bold(HIDING))), *grids, _table(view, view.pictures)]


def _grids(view: RunView, pictures: Pictures) -> list[Grid]:
    """Return the grids, a few pipelines each; the originals head every one."""
    labels = list(pictures.views)
    parts = max(1, -(-len(labels) // MOST_ROWS))
    cuts = [len(labels) * part // parts for part in range(parts + 1)]
    return [
        _grid(view, pictures, number, labels[start:end])
        for number, (start, end) in enumerate(pairwise(cuts), start=1)
    ]


def _grid(view: RunView, pictures: Pictures, number: int, labels: list[str]) -> Grid:
    titles = {pipeline.label: short_title(view, pipeline) for pipeline in view.pipelines}
    shown = [("original (client only)", pictures.original)]
    shown += [(titles.get(label, label), pictures.views[label]) for label in labels]
    count = min(MOST_IMAGES, len(pictures.ids))
    return Grid(
        name=f"pictures-{number}",
        caption="First row: the image on the client. Below: what reaches the server, enlarged "
        "or reduced to the same size.",
        alt=f"Grid of {count} sample images: originals, then what the server sees of them "
        f"under {', '.join(title for title, _ in shown[1:]) or 'no pipeline'}",
        heads=tuple(
            ColumnHead(pictures.classes[column], _end_of(pictures.ids[column]))
            for column in range(count)
        ),
        rows=tuple(
            GridRow(
                title,
                tuple(
                    Tile(png_of(images[column]), f"{title}, image {column + 1}")
                    for column in range(count)
                ),
            )
            for title, images in shown
        ),
    )


def _end_of(identity: str) -> str:
    """Keep of a long identity its end, which differs."""
    return identity if len(identity) <= LONGEST_ID else "…" + identity[1 - LONGEST_ID :]


def _table(view: RunView, pictures: Pictures) -> Table:
    columns = (
        Column("Pipeline", weight=2.2),
        Column("The server sees", weight=1.6),
        Column("Correlation with the original", "right", "mean Pearson r", 1.4),
        Column("Images", "right", "n", 0.6),
    )
    rows = tuple(Row(_cells(view, pipeline, pictures)) for pipeline in view.pipelines)
    note = inline(
        "Pearson r between original and server's view over all values of an image, where both "
        "have the same size. It describes the appearance, not the protection."
    )
    return Table("Similarity to the original", columns, rows, note)


def _cells(view: RunView, pipeline: PipelineView, pictures: Pictures) -> tuple[Inline, ...]:
    name = row_name(view, pipeline, pipeline.cells[:1])
    seen = pictures.views.get(pipeline.label)
    if seen is None:
        what = "nothing: there is no server" if pipeline.no_server else "no picture: bytes only"
        what = what if pipeline.state == "ok" else pipeline.state
        return (name, inline(what), inline(MISSING), inline(MISSING))
    size = f"picture of {seen.shape[2]} × {seen.shape[1]} pixels"
    if seen.shape != pictures.original.shape:
        return (name, inline(size), inline("sizes differ"), inline(MISSING))
    correlation = mean_correlation(pictures.original, seen)
    shown = "not defined" if correlation is None else fixed(correlation)
    return (name, inline(size), inline(shown), inline(str(len(seen))))


def mean_correlation(
    original: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    seen: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> float | None:
    """Return the mean Pearson r of (m, h, w, 3) pairs; None where an image is constant."""
    first = original.reshape(len(original), -1).astype(float)
    second = seen.reshape(len(seen), -1).astype(float)
    first -= first.mean(axis=1, keepdims=True)
    second -= second.mean(axis=1, keepdims=True)
    scale = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    if not scale.all():
        return None
    return float(((first * second).sum(axis=1) / scale).mean())


SECTION = ServersView()
