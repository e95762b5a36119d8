"""Latency of one image: median and 90th percentile, by place, and above the unprotected twin."""

from __future__ import annotations

from he_compare.common.run.device_words import devices_of
from he_compare.common.run.load import WHAT_IT_SHOWS, loaded_words
from he_compare.common.run.quantiles import Spread
from he_compare.common.run.same_network import same_network_words
from he_compare.common.run.server_places import wire_words
from he_compare.common.run.spelling import MISSING, fixed, milliseconds
from he_compare.common.run.timing import extra_seconds, latency_of
from he_compare.common.run.twin_words import no_twin_words
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.run.work_places import latency_machines_words, timed_records
from he_compare.common.types import FheMode, Side
from he_compare.reports.document.nodes import (
    Block,
    Break,
    Bullets,
    Column,
    Inline,
    Paragraph,
    Row,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.naming import row_name, short_title
from he_compare.reports.numbers import median_cell
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import blanks, without_controls

COLUMNS = (
    Column("Pipeline", weight=2.0),
    Column("n", "right", "images", 0.6),
    Column("One image, p50", "right", "ms, 95%", 1.2),
    Column("p90", "right", "ms", 0.7),
    Column("Hospital", "right", "ms, p50 / p90", 1.1),
    Column("Wire", "right", "ms, p50 / p90", 1.1),
    Column("Server", "right", "ms, p50 / p90", 1.1),
    Column("Above its twin", "right", "ms, 95%", 1.3),
)
WORDS = (
    "Single images, one after the other, timed at the hospital from the image to the answer; "
    "warm-up images are left out, and rounds of the pipelines take turns. The wire is {wire}; "
    "one-time work and batches are in the next part."
)
NOTE = (
    "p50 with the interval of the median from order statistics (none below 6 samples). Hospital: "
    "all that is neither on the wire nor at the server. Above its twin: median over the same "
    "images in the same rounds of the difference to the same model without protection, so it need "
    "not equal the difference of the two medians. Medians of places need not sum to the whole."
)


class LatencyByPlace(ReportSection):
    """What one image takes, where, and how much of it is the price of the protection."""

    order = 500
    title = "Latency"
    anchor = "latency"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the answer, the table, and what limits it; nothing where no image was timed."""
        if not any(one.latency for one in view.pipelines):
            return []
        extra = _extra_words(view)
        words = WORDS.format(wire=wire_words(view))
        said = [Paragraph(inline(f"{extra} {words}".strip()))]
        limits = [*same_network_words(view)]
        if devices := devices_of(view.records):
            limits.append(devices)
        if machines := latency_machines_words(timed_records(view)):
            limits.append(machines)
        if loaded := loaded_words(view):
            limits.append(f"{loaded} {WHAT_IT_SHOWS}")
        told = [Bullets(tuple(inline(one) for one in limits))] if limits else []
        return [*said, _table(view), *told]


def _extra_words(view: RunView) -> str:
    """Say what each protected pipeline takes above its twin, where the interval tells."""
    more, unknown = [], []
    for pipeline in view.pipelines:
        twin = view.twin_of(pipeline)
        extra = extra_seconds(pipeline, twin) if twin and pipeline.protected else None
        if extra is None or twin is None:
            continue
        name = short_title(view, pipeline)
        if extra.interval is not None and extra.interval.low > 0:
            more.append(f"{name} {milliseconds(extra.p50)} ms")
        else:
            unknown.append(name)
    said = ""
    if more:
        said = f"Per image and above the same model without protection: {', '.join(more)}."
    if unknown:
        said += (
            f" For {', '.join(unknown)} the interval of the difference reaches 0 or less: no extra "
            "time is shown, which does not show that there is none."
        )
    return said.strip()


def _table(view: RunView) -> Table:
    rows: list[Row | SpanRow] = []
    for pipeline in without_controls(view):
        rows.append(Row(_cells(view, pipeline)))
        for remark in _remarks(view, pipeline):
            rows.append(SpanRow(inline(remark), "remark"))
    return Table("Latency of one image by place", COLUMNS, tuple(rows), inline(NOTE))


def _remarks(view: RunView, pipeline: PipelineView) -> list[str]:
    """Say why a row has no numbers, or what must be known of them."""
    if not pipeline.timed:
        return [pipeline.trouble] if pipeline.trouble else []
    said = []
    modes = {record.fhe_mode for record in pipeline.timed} & {FheMode.SIMULATE, FheMode.CLEAR}
    if modes:
        names = ", ".join(sorted(mode.value for mode in modes))
        said.append(f"Encryption was not executed (mode {names}): these are not its timings.")
    if pipeline.protected and view.twin_of(pipeline) is None:
        said.append(no_twin_words(view, pipeline))
    elif pipeline.planned.twin_differs:
        said.append(
            f"Its twin differs in more than the protection: {pipeline.planned.twin_differs}"
        )
    return [words for words in said if words]


def _cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = row_name(view, pipeline, pipeline.timed or pipeline.latency)
    latency = latency_of(pipeline)
    if latency is None:
        return (name, *blanks(pipeline, len(COLUMNS) - 1))
    twin = view.twin_of(pipeline)
    extra = extra_seconds(pipeline, twin) if twin else None
    return (
        name,
        inline(f"{latency.total.n:,}"),
        median_cell(latency.total),
        inline(milliseconds(latency.total.p90)),
        *[_place(pipeline, latency.places.get(side)) for side in _ORDER],
        _signed(extra) if extra else inline(MISSING),
    )


_ORDER = (Side.CLIENT, Side.NETWORK, Side.SERVER)


def _place(pipeline: PipelineView, found: Spread | None) -> Inline:
    if found is None:
        return inline(MISSING)
    if found.p90 <= 0:
        return inline("none")
    return inline(f"{milliseconds(found.p50)} / {milliseconds(found.p90)}")


def _signed(extra: Spread) -> Inline:
    """Spell a difference in milliseconds with its interval, both with their sign."""
    decimals = 1 if abs(extra.p50) < 0.1 else 0
    shown = fixed(1e3 * extra.p50, decimals, signed=True)
    if extra.interval is None:
        return inline(shown)
    low, high = (
        fixed(1e3 * limit, decimals, signed=True)
        for limit in (extra.interval.low, extra.interval.high)
    )
    return inline(shown, Break(), f"[{low}, {high}]")


SECTION = LatencyByPlace()
