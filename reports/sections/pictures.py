"""What the server sees: sample images as the client has them and as they arrive there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Column,
    Inline,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.document.photographs import Grid, GridRow, Head, Tile
from he_compare.reports.document.png import png_of
from he_compare.reports.numbers import MISSING, fixed
from he_compare.reports.view import Pictures, PipelineView, RunView

MOST_IMAGES = 4
MOST_ROWS = 5
LONGEST_ID = 28
HIDING = (
    "A picture that looks like noise, or a low correlation, shows perceptual hiding, not "
    "confidentiality: what an attacker can recover is measured by attacks (see Security)."
)


def sections(view: RunView) -> list[Section]:
    """Return the picture section; without stored pictures it says so."""
    if view.pictures is None:
        words = Paragraph(inline("The run stored no sample pictures."))
        return [Section("What the server sees", 1, "pictures", (words,))]
    blocks: list[Block] = [Paragraph(inline(Bold(HIDING)))]
    blocks += _grids(view, view.pictures)
    blocks.append(_table(view, view.pictures))
    return [Section("What the server sees", 1, "pictures", tuple(blocks))]


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
    titles = {pipeline.label: view.title(pipeline) for pipeline in view.pipelines}
    shown = [("original (client only)", pictures.original)]
    shown += [(titles.get(label, label), pictures.views[label]) for label in labels]
    count = min(MOST_IMAGES, len(pictures.ids))
    return Grid(
        name=f"pictures-{number}",
        caption="First row: the image on the client. Below: what reaches the server, enlarged "
        "or thinned to the same size.",
        alt=f"Grid of {count} sample images: originals, then what the server sees of them "
        f"under {', '.join(title for title, _ in shown[1:]) or 'no pipeline'}",
        heads=tuple(
            Head(pictures.classes[column], _end_of(pictures.ids[column])) for column in range(count)
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
        "have the same size. It describes the look, not the protection."
    )
    return Table("Look of what the server sees", columns, rows, note)


def _cells(view: RunView, pipeline: PipelineView, pictures: Pictures) -> tuple[Inline, ...]:
    name = view.row_name(pipeline, pipeline.cells[:1])
    seen = pictures.views.get(pipeline.label)
    if seen is None:
        what = "no picture: bytes only" if pipeline.state == "ok" else pipeline.state
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
