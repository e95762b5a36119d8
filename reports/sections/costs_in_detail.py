"""Costs in detail: every stage, every step of one-time work, every byte, every disturbance."""

from __future__ import annotations

from he_compare.common.run.records import RunRecord
from he_compare.common.run.spelling import MISSING, kilobytes, megabytes, milliseconds, significant
from he_compare.common.run.timing import ColdStep, cold_steps, latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Per, Side, Stage
from he_compare.reports.disturbed_tables import disturbed_tables
from he_compare.reports.document.nodes import Column, Inline, Row, Section, Table, inline
from he_compare.reports.naming import row_name
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import blanks, grouped

PLACES = {Side.CLIENT: "hospital", Side.NETWORK: "wire", Side.SERVER: "server"}
# What is kept under these kinds of names; others are called by their kind.
MADE_BEFORE = {
    "features": "features of images for fitting",
    "head": "training of the head",
    "plain-vit": "fine-tuning on plain images",
    "convnet": "training of the network on plain images",
    "ciphertext-vit": "training on scrambled images, server included",
    "ciphertext-convnet": "training on scrambled images, server included",
}
STEPS = {
    Stage.FIT: "fitting, all else",
    Stage.COMPILE: "compilation",
    Stage.KEYGEN: "key generation",
    Stage.KEY_UPLOAD: "upload of keys and model",
    Stage.SERVER_LOAD: "start of the server",
    Stage.ENCRYPT: "encryption of the training data",
    Stage.ENCODE: "encoding of the training data",
    Stage.DECRYPT: "decryption of the trained weights",
    Stage.REFRESH: "refreshes of the weights by the client",
    Stage.TRANSPORT: "transport of training messages (loopback)",
    Stage.NETWORK: "network time of training messages (measured)",
}
FLOAT32_BYTES = 4


class CostsInDetail(ReportSection):
    """The parts of which the costs of the body are made."""

    order = 1400
    title = "Costs in detail"

    def sections(self, view: RunView) -> list[Section]:
        """Return stages, one-time work, bytes, memory, and disturbed messages."""
        disturbed = disturbed_tables(view)
        lost = [Section("Disturbed messages", 2, "disturbed-messages", tuple(disturbed))]
        return [
            Section(self.title, 1, "costs-in-detail", ()),
            Section("Stages of one image", 2, "stages", (_stages(view),)),
            Section("One-time work, step by step", 2, "one-time", (_once(view),)),
            Section("Payloads and sizes", 2, "payloads", (_payloads(view),)),
            Section("Memory of the processes", 2, "memory", (_memory(view),)),
            *(lost if disturbed else []),
        ]


def _stages(view: RunView) -> Table:
    timed = [latency.stages for one in view.pipelines if (latency := latency_of(one)) is not None]
    tail = any(timing.spread.p99 is not None for stages in timed for timing in stages)

    def rows_of(pipeline: PipelineView) -> list[Row]:
        latency = latency_of(pipeline)
        found = []
        for timing in latency.stages if latency else ():
            spread = timing.spread
            cells = (
                timing.stage.value,
                PLACES[timing.side],
                f"{spread.n:,}",
                milliseconds(spread.p50),
                milliseconds(spread.p90),
                *([MISSING if spread.p99 is None else milliseconds(spread.p99)] * tail),
            )
            found.append(Row(tuple(inline(cell) for cell in cells)))
        return found

    columns = (
        Column("Stage", weight=1.8),
        Column("Place"),
        Column("n", "right", "samples"),
        *[Column(name, "right", "ms") for name in ("p50", "p90", "p99")[: 2 + tail]],
    )
    note = inline("All quantiles are nearest-rank. A p99 is given from 200 samples on.")
    return Table("Stages of one image", columns, grouped(view, rows_of), note)


def _once(view: RunView) -> Table:
    def rows_of(pipeline: PipelineView) -> list[Row]:
        steps = cold_steps(pipeline)
        return [
            Row(
                (
                    inline(_step(step, alone=not any(one.reused for one in steps))),
                    inline(PLACES[step.side]),
                    inline("once" if step.per is Per.ONCE else "once per key"),
                    inline("not recorded" if step.seconds is None else significant(step.seconds)),
                    inline("reused" if step.reused else "in this cell"),
                )
            )
            for step in steps
        ]

    columns = (
        Column("Step", weight=2.4),
        Column("Place"),
        Column("How often"),
        Column("Cold", "right", "s"),
        Column("Done"),
    )
    return Table(
        "One-time work from a cold start", columns, grouped(view, rows_of), _once_note(view)
    )


def _step(step: ColdStep, *, alone: bool) -> str:
    """Name a step; ``alone``: nothing of the fit was made before, so that all of it is measured."""
    if step.reused:
        kind = step.name.rpartition("-")[0] or step.name
        return MADE_BEFORE.get(kind, kind)
    if step.stage is Stage.FIT and step.side is Side.SERVER:
        return "training at the server"
    if step.stage is Stage.FIT and alone:
        return "fitting"
    return STEPS.get(step.stage, step.stage.value)


def _once_note(view: RunView) -> Inline:
    loaded = [
        record.library_seconds
        for one in view.pipelines
        if (record := one.measured) is not None and record.library_seconds is not None
    ]
    shown = (
        f" Loading libraries and compiled code into the hospital's process took "
        f"{significant(sum(loaded))} s in all, once for all pipelines, before any of these clocks "
        "started."
        if loaded
        else ""
    )
    return inline(
        "Reused: made before, by another pipeline or an earlier run, and not computed again; the "
        f"seconds are those of making it. One sample each, so no interval.{shown}"
    )


def _payloads(view: RunView) -> Table:
    width = view.manifest.backbone.feature_width
    columns = (
        Column("Pipeline", weight=2.2),
        Column("Payload up", "right", "kB/image"),
        Column("Payload down", "right", "kB/image"),
        Column("Up, relative to the features", "right", f"{width:,} float32"),
        Column("One image as JPEG", "right", "kB, quality 90"),
        Column("Training up / down", "right", "MB"),
        Column("Images", "right", "n", 0.7),
    )
    rows = tuple(Row(_payload_cells(view, one, width)) for one in view.pipelines)
    note = inline("Without HTTP headers and framing. Counts, so no interval.")
    return Table("Payloads", columns, rows, note)


def _payload_cells(view: RunView, pipeline: PipelineView, width: int) -> tuple[Inline, ...]:
    name = row_name(view, pipeline, pipeline.cells[:1])
    traffic = pipeline.measured.traffic if pipeline.measured else None
    if traffic is None or traffic.n_images <= 0:
        return (name, *blanks(pipeline, 6))
    if pipeline.no_server:
        return (name, inline("nothing is sent"), *[inline(MISSING)] * 5)
    up = traffic.payload_upload_bytes / traffic.n_images
    trained = (traffic.training_upload_bytes, traffic.training_download_bytes)
    cells = (
        kilobytes(up),
        kilobytes(traffic.payload_download_bytes / traffic.n_images),
        f"{significant(up / (FLOAT32_BYTES * width))} ×" if width else MISSING,
        MISSING if traffic.jpeg_bytes is None else kilobytes(traffic.jpeg_bytes),
        " / ".join(megabytes(count) for count in trained) if any(trained) else "none",
        f"{traffic.n_images:,}",
    )
    return (name, *[inline(cell) for cell in cells])


def _memory(view: RunView) -> Table:
    columns = (
        Column("Pipeline", weight=2.2),
        Column("Hospital, peak of the process", "right", "MB"),
        Column("above what it held before", "right", "MB"),
        Column("Server, peak of the process", "right", "MB"),
        Column("Server in a process of its own"),
    )
    rows = []
    for pipeline in view.pipelines:
        name = row_name(view, pipeline, pipeline.cells[:1])
        record = pipeline.measured
        cells = _memory_cells(pipeline, record) if record else blanks(pipeline, 4)
        rows.append(Row((name, *cells)))
    methods = sorted({one.client_peak_method for one in view.records if one.client_peak_method})
    how = f" Measured by: {'; '.join(methods)}." if methods else " The method was not recorded."
    note = inline(
        "While the test images of the accuracy phase were classified. The hospital's process holds "
        "the pipelines of the run one after the other, so its own peak rises with their order and "
        f"compares nothing; what it grew by does.{how} The server's process is new for each "
        "pipeline; whether it is separate was compared by process ids, the one that the service "
        "reports and the client's own."
    )
    return Table("Peak memory", columns, tuple(rows), note)


def _memory_cells(pipeline: PipelineView, record: RunRecord) -> tuple[Inline, ...]:
    counts = (record.client_peak_bytes, record.client_growth_bytes, record.server_peak_bytes)
    shown = ["not measured" if count is None else megabytes(count) for count in counts]
    separate = {True: "yes", False: "no", None: "not recorded"}[record.server_pid_separate]
    if pipeline.no_server:
        shown[2], separate = MISSING, "no server"
    return tuple(inline(text) for text in (*shown, separate))


SECTION = CostsInDetail()
