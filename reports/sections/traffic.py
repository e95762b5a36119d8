"""Bytes on the wire, the network time modelled from them, and peak memory."""

from __future__ import annotations

from he_compare.common.run.spelling import MISSING, kilobytes, megabytes, milliseconds, significant
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Column, Inline, Row, Section, Table, inline
from he_compare.reports.naming import row_name
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import blanks

BANDWIDTHS = (10, 100, 1000)
FLOAT32_BYTES = 4


class BytesAndMemory(ReportSection):
    """Bytes as measured, the network time they imply, and memory."""

    order = 610

    def sections(self, view: RunView) -> list[Section]:
        """Return bytes with modelled network time, and memory."""
        sent = (_bytes(view), _expansion(view), _network(view))
        return [
            Section("Bytes on the wire", 2, "bytes", sent),
            Section("Memory", 2, "memory", (_memory(view),)),
        ]


def _bytes(view: RunView) -> Table:
    columns = (
        Column("Pipeline", weight=2.2),
        Column("Up", "right", "kB/image"),
        Column("of which payload", "right", "kB/image"),
        Column("Down", "right", "kB/image"),
        Column("of which payload", "right", "kB/image"),
        Column("Public material", "right", "MB, once"),
        Column("Training", "right", "MB up / down"),
        Column("Images", "right", "n", 0.8),
    )
    note = inline("1 kB is 1,000 bytes. Measured in the accuracy cell; counts, so no interval.")
    rows = tuple(Row(_byte_cells(view, pipeline)) for pipeline in view.pipelines)
    return Table("Bytes across the trust boundary", columns, rows, note)


def _byte_cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = row_name(view, pipeline, pipeline.cells[:1])
    traffic = pipeline.measured.traffic if pipeline.measured else None
    if traffic is None or traffic.n_images <= 0:
        return (name, *blanks(pipeline, 7))
    per_image = [
        kilobytes(count / traffic.n_images)
        for count in (
            traffic.upload_bytes,
            traffic.payload_upload_bytes,
            traffic.download_bytes,
            traffic.payload_download_bytes,
        )
    ]
    training = (traffic.training_upload_bytes, traffic.training_download_bytes)
    shown = " / ".join(megabytes(count) for count in training) if any(training) else "none"
    material = megabytes(traffic.public_material_bytes)
    return (
        name,
        *[inline(text) for text in (*per_image, material, shown, f"{traffic.n_images:,}")],
    )


def _expansion(view: RunView) -> Table:
    """Return how many times larger an upload is than what it stands for."""
    width = view.manifest.backbone.feature_width
    columns = (
        Column("Pipeline", weight=2.2),
        Column("Upload", "right", "kB/image, payload"),
        Column("Relative to the features", "right", f"{width:,} float32"),
        Column("Relative to a JPEG", "right", "quality 90"),
        Column("Keys and model", "right", "MB, once"),
        Column("Reply", "right", "kB/image, payload"),
    )
    rows = []
    for pipeline in view.pipelines:
        name = row_name(view, pipeline, pipeline.cells[:1])
        traffic = pipeline.measured.traffic if pipeline.measured else None
        if traffic is not None and pipeline.no_server:
            rows.append(Row((name, inline("nothing is sent"), *[inline(MISSING)] * 4)))
            continue
        if traffic is None or traffic.n_images <= 0:
            rows.append(Row((name, *blanks(pipeline, 5))))
            continue
        up, down = (
            count / traffic.n_images
            for count in (traffic.payload_upload_bytes, traffic.payload_download_bytes)
        )
        features, jpeg = FLOAT32_BYTES * width, traffic.jpeg_bytes
        cells = (
            kilobytes(up),
            f"{significant(up / features)} ×" if features else MISSING,
            f"{significant(up / jpeg)} ×" if jpeg else MISSING,
            megabytes(traffic.public_material_bytes),
            kilobytes(down),
        )
        rows.append(Row((name, *[inline(cell) for cell in cells])))
    note = inline(
        "Upload for one image, divided by the size of its feature vector and by the size of the "
        "image as JPEG (mean of up to 64 test images)."
    )
    return Table("Expansion of what is protected", columns, tuple(rows), note)


def _network(view: RunView) -> Table:
    columns = (
        Column("Pipeline", weight=2.2),
        *[Column(f"modelled at {speed:,} Mbit/s", "right", "ms per image") for speed in BANDWIDTHS],
    )
    rows = []
    for pipeline in view.pipelines:
        moved = pipeline.bytes_per_image
        cells = blanks(pipeline, len(BANDWIDTHS))
        if moved:
            bits = 8 * sum(moved)
            cells = tuple(inline(milliseconds(bits / (speed * 1e6))) for speed in BANDWIDTHS)
        rows.append(Row((row_name(view, pipeline, pipeline.cells[:1]), *cells)))
    note = inline(
        "Modelled from measured bytes: (up + down) × 8 / bandwidth, without round-trip time or "
        "congestion. Not measured: the run used loopback. Not part of any latency above."
    )
    return Table("Network time, modelled from measured bytes", columns, tuple(rows), note)


def _memory(view: RunView) -> Table:
    columns = (
        Column("Pipeline", weight=2.2),
        Column("Client, peak", "right", "MB"),
        Column("Server, peak", "right", "MB"),
        Column("Server in its own process", weight=1.2),
    )
    rows = []
    for pipeline in view.pipelines:
        record = pipeline.measured
        name = row_name(view, pipeline, pipeline.cells[:1])
        if record is None:
            rows.append(Row((name, *blanks(pipeline, 3))))
            continue
        peaks = (record.client_peak_bytes, record.server_peak_bytes)
        cells = [inline(MISSING if peak is None else megabytes(peak)) for peak in peaks]
        if pipeline.no_server:
            rows.append(Row((name, cells[0], inline(MISSING), inline("no server"))))
            continue
        separate = {True: "yes", False: "no", None: "not recorded"}[record.server_pid_separate]
        rows.append(Row((name, *cells, inline(separate))))
    note = inline(
        "Peak resident memory of each process during the accuracy cell. The server is the one that "
        "classifies; for one that trains on ciphertexts see “Encrypted training”."
    )
    return Table("Peak memory", columns, tuple(rows), note)


SECTION = BytesAndMemory()
