"""What an image costs in time: latency by side and stage, and throughput in batches."""

from __future__ import annotations

from he_compare.common.run.spelling import MISSING, duration, milliseconds, significant
from he_compare.common.run.timing import Spread, latency_of, throughput_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Side
from he_compare.reports.document.nodes import (
    Block,
    Column,
    Figure,
    Inline,
    Paragraph,
    Row,
    Section,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.latency import latency_plot, stage_grid
from he_compare.reports.naming import row_name
from he_compare.reports.numbers import median_cell
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import blanks, grouped

PER_IMAGE = "ms per image"
WORDS = (
    "Latency is measured on single images in a closed loop, throughput on batches; one-time "
    "work stands apart. Warm-up images are run and left out. All quantiles are nearest-rank, "
    "so with n < 100 the p99 is the largest sample."
)


class Cost(ReportSection):
    """What one image and a batch cost; latency and throughput never share a table."""

    order = 600
    title = "Cost"

    def sections(self, view: RunView) -> list[Section]:
        """Return latency, its stages, and throughput."""
        latency: tuple[Block, ...] = (*_latency_figure(view), _latency(view))
        return [
            Section(self.title, 1, "cost", (Paragraph(inline(WORDS)),)),
            Section("Latency of one image", 2, "latency", latency),
            Section("Stages", 2, "stages", (*_stage_figure(view), _stages(view))),
            Section("Throughput", 2, "throughput", (_throughput(view),)),
        ]


def _latency_figure(view: RunView) -> list[Figure]:
    spoken = "; ".join(
        f"{pipeline.label}: p50 {duration(latency.total.p50)}"
        for pipeline in view.pipelines
        if (latency := latency_of(pipeline)) is not None
    )
    caption = (
        "Time for one image on a log axis: total by the client's clock, and the sums of the "
        "client's and the server's stages. The numbers stand in the next table."
    )
    alt = f"Latency by pipeline: {spoken}"
    return drawn(lambda: latency_plot(view), "latency", caption, alt)


def _stage_figure(view: RunView) -> list[Figure]:
    caption = "p50 of every stage in milliseconds. The numbers stand in the next table."
    alt = "Grid of pipelines by stages with the p50 of each stage, as in the table that follows"
    return drawn(lambda: stage_grid(view), "stages", caption, alt)


def _latency(view: RunView) -> Table:
    columns = (
        Column("Pipeline", weight=2.2),
        Column("Mode", weight=0.8),
        Column("n", "right", "images", 0.7),
        Column("p50", "right", f"{PER_IMAGE}, 95%", 1.3),
        Column("p90", "right", "ms"),
        Column("p99", "right", "ms"),
        Column("client p50", "right", "ms"),
        Column("server p50", "right", "ms"),
    )
    note = (
        "Interval: of the median, from order statistics; none below 6 samples. Samples of all "
        "interleaved rounds are pooled. Client and server are sums of their stages image by image."
    )
    rows: list[Row | SpanRow] = []
    for pipeline in view.pipelines:
        rows.append(Row(_latency_cells(view, pipeline)))
        if pipeline.trouble and not pipeline.timed:
            rows.append(SpanRow(inline(pipeline.trouble), "remark"))
    return Table("Latency of one image", columns, tuple(rows), inline(note))


def _latency_cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = row_name(view, pipeline, pipeline.timed or pipeline.latency)
    latency = latency_of(pipeline)
    if latency is None:
        return (name, *blanks(pipeline, 7))
    modes = sorted({record.fhe_mode.value for record in pipeline.timed})
    return (
        name,
        inline(", ".join(modes)),
        inline(f"{latency.total.n:,}"),
        median_cell(latency.total),
        inline(milliseconds(latency.total.p90)),
        inline(milliseconds(latency.total.p99)),
        _side(latency.sides.get(Side.CLIENT)),
        _side(latency.sides.get(Side.SERVER)),
    )


def _side(spread: Spread | None) -> Inline:
    return inline(milliseconds(spread.p50) if spread else MISSING)


def _stages(view: RunView) -> Table:
    def rows_of(pipeline: PipelineView) -> list[Row]:
        latency = latency_of(pipeline)
        return [
            Row(
                (
                    inline(timing.stage.value),
                    inline(timing.side.value),
                    inline(f"{timing.spread.n:,}"),
                    *[
                        inline(milliseconds(value))
                        for value in (timing.spread.p50, timing.spread.p90, timing.spread.p99)
                    ],
                )
            )
            for timing in (latency.stages if latency else ())
        ]

    columns = (
        Column("Stage", weight=1.8),
        Column("Side"),
        Column("n", "right", "samples"),
        Column("p50", "right", "ms"),
        Column("p90", "right", "ms"),
        Column("p99", "right", "ms"),
    )
    note = inline("From the latency cells named in the table of latencies.")
    return Table("Stages of one image", columns, grouped(view, rows_of), note)


def _throughput(view: RunView) -> Table:
    rows = []
    for pipeline in view.pipelines:
        found = throughput_of(pipeline)
        name = row_name(view, pipeline, pipeline.cells[:1])
        if found is None:
            rows.append(Row((name, *blanks(pipeline, 4))))
            continue
        mode = pipeline.measured.fhe_mode.value if pipeline.measured else MISSING
        rate = significant(found.images_per_second)
        counts = (f"{found.n_images:,}", f"{found.n_batches:,}" if found.n_batches else MISSING)
        rows.append(Row((name, inline(mode), inline(rate), *[inline(count) for count in counts])))
    columns = (
        Column("Pipeline", weight=2.2),
        Column("Mode"),
        Column("Throughput", "right", "images/s"),
        Column("Images", "right", "n"),
        Column("Batches", "right", "n"),
    )
    note = inline("Images of the accuracy phase over their wall time; one pass, so no interval.")
    return Table("Throughput in batches", columns, tuple(rows), note)


SECTION = Cost()
