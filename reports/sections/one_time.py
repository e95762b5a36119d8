"""Work that is done once, and what it adds to an image when many share it."""

from __future__ import annotations

from he_compare.common.run.spelling import milliseconds, significant
from he_compare.common.run.timing import one_time_of, one_time_seconds
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Block, Column, Figure, Row, Table, inline
from he_compare.reports.figures.amortisation import amortisation_plot, shared_seconds
from he_compare.reports.figures.block import drawn
from he_compare.reports.naming import row_name
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import blanks, grouped

AMORTISED_OVER = (1, 100, 10_000)


class OneTime(ReportSection):
    """One-time work as measured, and shared out among images."""

    order = 620
    level = 2
    title = "One-time costs"
    anchor = "one-time"

    def blocks(self, view: RunView) -> list[Block]:
        """Return what was measured once, and the time per image with it shared out."""
        return [_one_time(view), *_amortisation_figure(view), _amortised(view)]


def _one_time(view: RunView) -> Table:
    def rows_of(pipeline: PipelineView) -> list[Row]:
        return [
            Row(
                (
                    inline(one.stage.value),
                    inline(one.side.value),
                    inline(one.per.value),
                    inline(f"{len(one.seconds):,}"),
                    inline(significant(sum(one.seconds) / len(one.seconds))),
                )
            )
            for one in one_time_of(pipeline)
            if one.seconds
        ]

    columns = (
        Column("Stage", weight=1.8),
        Column("Side"),
        Column("Per"),
        Column("n", "right", "samples"),
        Column("Mean", "right", "s"),
    )
    note = "Measured in the accuracy cell; one sample, so no interval, unless n is larger."
    return Table("Work done once", columns, grouped(view, rows_of), inline(note + _reused(view)))


def _reused(view: RunView) -> str:
    """Say how many cells used what was made before, and what making it had cost."""
    cells = [record for record in view.records if record.reused]
    if not cells:
        return ""
    text = (
        f" {len(cells)} of {len(view.records)} cells reused stored artefacts, whose contents were "
        "not computed again"
    )
    known = {name: cost for record in cells for name, cost in record.reused_seconds.items()}
    if not known:
        return f"{text}; what making them took was not recorded."
    return f"{text}; making them took {significant(sum(known.values()))} s when it was done."


def _amortisation_figure(view: RunView) -> list[Figure]:
    caption = (
        "Time per image when the one-time work is shared among 1 to 10,000 images, both axes "
        "logarithmic. Computed; values: next table."
    )
    alt = "Time per image over the number of images that share the one-time work, by pipeline"
    return drawn(lambda: amortisation_plot(view), "amortisation", caption, alt)


def _amortised(view: RunView) -> Table:
    rows = []
    for pipeline in view.pipelines:
        once = one_time_seconds(pipeline)
        found = [shared_seconds(pipeline, count) for count in AMORTISED_OVER]
        name = row_name(view, pipeline, pipeline.cells[:1])
        shares = [milliseconds(seconds) for seconds in found if seconds is not None]
        if len(shares) < len(AMORTISED_OVER):
            rows.append(Row((name, *blanks(pipeline, 1 + len(AMORTISED_OVER)))))
            continue
        rows.append(Row((name, inline(significant(once)), *[inline(share) for share in shares])))
    columns = (
        Column("Pipeline", weight=2.2),
        Column("One-time sum", "right", "s"),
        *[
            Column(f"over {count:,} image{'s' * (count > 1)}", "right", "ms per image")
            for count in AMORTISED_OVER
        ],
    )
    note = inline(
        "One-time sum shared among the images, plus the p50 of one image. Computed. What was made "
        "before and used again is not in the sum."
    )
    return Table("Time per image with its share of one-time work", columns, tuple(rows), note)


SECTION = OneTime()
