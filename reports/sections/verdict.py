"""The first page: one row per pipeline, then the same in plain words. Never one overall score."""

from __future__ import annotations

from he_compare.common.run.outcomes import Standing, standing, strongest, worst_of
from he_compare.common.run.severity import WORDS
from he_compare.common.run.spelling import MISSING, kilobytes, milliseconds, significant
from he_compare.common.run.timing import latency_of, throughput_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Side
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Break,
    Column,
    Figure,
    Inline,
    Paragraph,
    Row,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.tradeoff import tradeoff_plot
from he_compare.reports.naming import needs_numbers, row_name, short_id, short_title
from he_compare.reports.numbers import median_cell, metric_cell, with_interval
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import absent
from he_compare.reports.verdict_words import verdict_words

COLUMNS = (
    Column("Pipeline", weight=2.4),
    Column("Accuracy", "right", "95% interval", 1.45),
    Column("AUC", "right", "95% interval", 1.45),
    Column("Accuracy − reference", "right", "paired, 95%", 1.6),
    Column("One image, p50", "right", "ms", 1.2),
    Column("Client + server", "right", "of which, ms", 1.1),
    Column("Throughput", "right", "images/s", 1.35),
    Column("Up + down", "right", "kB/image", 1.0),
    Column("Strongest attack", weight=1.8),
)


class FirstPage(ReportSection):
    """One row per pipeline, then the same in plain words. Never one overall score."""

    order = 100
    title = "Verdict"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the table, the words and the trade-off."""
        return [
            _table(view),
            *[Paragraph(content) for content in verdict_words(view)],
            *_tradeoff_figure(view),
        ]


def _table(view: RunView) -> Table:
    rows: list[Row | SpanRow] = []
    for pipeline in view.pipelines:
        rows.append(Row(_cells(view, pipeline)))
        if pipeline.trouble:
            rows.append(SpanRow(inline(pipeline.trouble), "remark"))
    return Table("Accuracy, cost and security of each pipeline", COLUMNS, tuple(rows), _note(view))


def _tradeoff_figure(view: RunView) -> list[Figure]:
    spoken = "; ".join(
        f"{pipeline.number} {pipeline.label}: {_told(standing(view, pipeline))}"
        for pipeline in view.pipelines
    )
    caption = (
        "Accuracy against the time and the bytes of one image. Up and left is better. Cross: an "
        "attack broke it, at least partly; circle: no attack broke what it claims; square: "
        "unknown. Orange numbers claim protection. Values: table above."
    )
    if any(pipeline.no_server for pipeline in view.pipelines):
        caption += (
            " Diamond: no server, so that there is nothing to attack; it sends 0 bytes, which "
            "stand left of the dashed line."
        )
    alt = f"Accuracy against p50 and against bytes per image, by number of pipeline: {spoken}"
    return drawn(lambda: tradeoff_plot(view), "tradeoff", caption, alt)


def _told(found: Standing) -> str:
    return found if found == "no server" else f"{found} by attacks"


def _cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    throughput = throughput_of(pipeline)
    moved = pipeline.bytes_per_image
    accuracy = pipeline.metric("accuracy")
    absence = inline(MISSING)
    return (
        row_name(view, pipeline, pipeline.cells),
        metric_cell(accuracy) if accuracy else absent(pipeline),
        metric_cell(pipeline.metric("auc")),
        _difference(view, pipeline),
        *_wait(pipeline),
        inline(significant(throughput.images_per_second)) if throughput else absence,
        inline(f"{kilobytes(moved[0])} +", Break(), kilobytes(moved[1])) if moved else absence,
        _attacks(view, pipeline),
    )


def _attacks(view: RunView, pipeline: PipelineView) -> Inline:
    """Return the strongest attack that was executed and its outcome; none is not a pass."""
    verdict, by = strongest(view, pipeline)
    if pipeline.no_server:
        return inline(WORDS[verdict].short, Break(), by)
    worst = worst_of(view, pipeline)
    if verdict == "not run" or worst is None:
        return inline("not run")
    return inline(Bold(WORDS[verdict].short), Break(), by, Break(), short_id(worst.identity))


def _difference(view: RunView, pipeline: PipelineView) -> Inline:
    if view.reference is not None and pipeline.label == view.reference.label:
        return inline("reference")
    found = pipeline.difference("accuracy")
    return (
        with_interval(found.difference, found.interval, signed=True) if found else inline(MISSING)
    )


def _wait(pipeline: PipelineView) -> tuple[Inline, Inline]:
    """Return the time one image takes with its interval, and its client and server parts."""
    latency = latency_of(pipeline)
    if latency is None:
        return inline(MISSING), inline(MISSING)
    client, server = latency.sides.get(Side.CLIENT), latency.sides.get(Side.SERVER)
    parts = [milliseconds(side.p50) if side else MISSING for side in (client, server)]
    if pipeline.no_server:
        parts[1] = "no server"
    return median_cell(latency.total), inline(f"{parts[0]} +", Break(), parts[1])


def _note(view: RunView) -> Inline:
    """Say what the numbers are of."""
    reference = (
        short_title(view, view.reference) if view.reference else "none (the run has no scores)"
    )
    return inline(
        f"n = {view.n_test} test images, the same for all. Reference: {reference}. "
        "One image: measured at the client, from protecting the image to reading the answer, one "
        "image at a time; the interval is that of the median. Client and server are separate "
        "medians; the rest is transport. Throughput: batches of the accuracy phase. Bytes: HTTP "
        "requests and replies as sent. Under each name: the first record its numbers come from, "
        "and how many more. Attacks: the strongest attack that was run (see Security). No attack "
        "is not a pass. "
        "“Resists” means only that no attack succeeded within the stated budget."
        f"{_no_server_note(view)}",
        " Shortened names: see the table of pipelines." if needs_numbers(view) else "",
    )


def _no_server_note(view: RunView) -> str:
    if not any(pipeline.no_server for pipeline in view.pipelines):
        return ""
    return (
        " n/a: nothing leaves the hospital, so that there is nothing to attack; that is no pass "
        "of an attack."
    )


SECTION = FirstPage()
