"""What protection costs besides time per image: bytes, one-time work, batches, memory."""

from __future__ import annotations

from he_compare.common.run.network_model import (
    LINKS,
    MODEL_TOLERANCE,
    NetworkLink,
    checked_model,
    measured_link,
    network_of,
    single_image_bytes,
)
from he_compare.common.run.records import RunRecord
from he_compare.common.run.server_places import wire_is_loopback
from he_compare.common.run.spelling import (
    MISSING,
    fixed,
    kilobytes,
    megabytes,
    milliseconds,
    significant,
)
from he_compare.common.run.timing import cold_seconds, cold_steps, throughput_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.run.work_places import beside_words
from he_compare.reports.document.nodes import (
    Block,
    Column,
    Inline,
    Paragraph,
    Row,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.naming import row_name, short_title
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import blanks, without_controls

REUSED = "reused"
NOT_RECORDED = "not recorded"
NOT_MEASURED = "not measured"
SENT = (
    Column("Pipeline", weight=2.0),
    Column("Up", "right", "kB/image", 0.8),
    Column("Down", "right", "kB/image", 0.8),
    Column("Up, relative to a JPEG", "right", "quality 90", 0.9),
    Column("Keys and model", "right", "MB, once", 0.9),
    Column("Training", "right", "MB, up + down, once", 0.9),
    *[Column(link.name, "right", "ms, modelled", 0.9) for link in LINKS],
)
SENT_NOTE = (
    "Counted in the accuracy phase, HTTP headers included; 1 kB is 1,000 bytes. Network time of "
    "one image is modelled from these bytes for three links, each by its bandwidth and round trip: "
    "one round trip and (up + down) × 8 / bandwidth, without congestion, on a connection that is "
    "open. "
)
NOT_IN_LATENCY = "The run itself used loopback, so it is in no latency above."
IN_LATENCY = "Where servers were reached through a host, latency above has the real network in it."
MEASURED = (
    Column("Pipeline", weight=2.0),
    Column("Up + down", "right", "kB/image", 0.9),
    Column("n", "right", "images", 0.6),
    Column("Network, p50", "right", "ms, measured", 1.0),
    Column("p90", "right", "ms, measured", 0.9),
    Column("Network", "right", "ms, modelled", 0.9),
    Column("Measured / modelled", "right", weight=0.9),
)
WORK = (
    Column("Pipeline", weight=2.0),
    Column("Once, cold", "right", "s", 0.9),
    Column("of which reused", "right", "s", 0.9),
    Column("Batches", "right", "images/s, median", 1.0),
    Column("slowest to fastest", "right", "images/s", 1.2),
    Column("n", "right", "batches", 0.7),
    Column("Memory, hospital", "right", "MB, growth", 1.1),
    Column("Memory, server", "right", "MB, peak", 1.0),
)
WORK_NOTE = (
    "Once, cold: all work before the first image, with what was made before and used again "
    "(“reused”) at the price of making it; loading libraries at the hospital is left out. Batches: "
    "the median batch of the accuracy phase. Memory at the hospital: how far the peak while the "
    "test images were classified is above what the process held before, which is all that the run "
    "holds. Memory of the server: peak of its process, from its start to the last test image. "
    "Times and batches are those of the machine at that moment, which was not equally busy for all."
)


class OtherCosts(ReportSection):
    """Bytes with the network time they imply; one-time work, throughput and memory."""

    order = 550
    title = "Bytes, one-time work, throughput and memory"
    anchor = "other-costs"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the answer and two tables; nothing where no accuracy cell ended ok."""
        if not any(one.measured for one in view.pipelines):
            return []
        words = " ".join(filter(None, (_bytes_words(view), _once_words(view))))
        said = [Paragraph(inline(words))] if words else []
        return [*said, _sent(view), *_measured(view), _work(view)]


def _bytes_words(view: RunView) -> str:
    """Say how many times the bytes of its twin each protected pipeline moves."""
    by_ratio: dict[str, list[str]] = {}
    for pipeline in view.pipelines:
        twin = view.twin_of(pipeline)
        moved, plain = pipeline.bytes_per_image, twin.bytes_per_image if twin else None
        if pipeline.protected and moved and plain and sum(plain) > 0:
            ratio = significant(sum(moved) / sum(plain), 2)
            words = "as many" if ratio == "1.0" else f"{ratio} times as many"
            by_ratio.setdefault(words, []).append(short_title(view, pipeline))
    said = [f"{words} with {', '.join(names)}" for words, names in by_ratio.items()]
    return f"Bytes per image against the unprotected twin: {'; '.join(said)}." if said else ""


def _once_words(view: RunView) -> str:
    """Say which pipeline needs the most one-time work."""
    known = [(seconds, one) for one in view.pipelines if (seconds := cold_seconds(one)) is not None]
    if len(known) < 2:
        return ""
    most, least = max(known, key=lambda row: row[0]), min(known, key=lambda row: row[0])
    return (
        f"One-time work takes {significant(least[0])} s ({short_title(view, least[1])}) to "
        f"{significant(most[0])} s ({short_title(view, most[1])}) from a cold start."
    )


def _sent(view: RunView) -> Table:
    rows = tuple(Row(_sent_cells(view, one)) for one in without_controls(view))
    told = NOT_IN_LATENCY if wire_is_loopback(view) else IN_LATENCY
    return Table("Bytes across the trust boundary", SENT, rows, inline(f"{SENT_NOTE}{told}"))


def _measured(view: RunView) -> list[Table]:
    """Return the measured network time of one image beside the model; nothing without a host."""
    link = measured_link(view)
    rows, off = [], []
    for pipeline in without_controls(view):
        measured, moved = network_of(pipeline), single_image_bytes(pipeline)
        if measured is None or moved is None:
            continue
        checked = checked_model(pipeline, link) if link else None
        if checked is not None and not checked.holds:
            off.append(short_title(view, pipeline))
        cells = (
            kilobytes(moved),
            f"{measured.n:,}",
            milliseconds(measured.p50),
            milliseconds(measured.p90),
            milliseconds(checked.modelled) if checked else MISSING,
            f"{significant(checked.ratio, 2)} ×" if checked else MISSING,
        )
        name = row_name(view, pipeline, pipeline.timed)
        rows.append(Row((name, *[inline(cell) for cell in cells])))
    if not rows:
        return []
    words = MEASURED_WORDS + (_link_words(link) + _off_words(off) if link else NO_LINK)
    caption = "Network time of one image, measured and modelled"
    return [Table(caption, MEASURED, tuple(rows), inline(words))]


MEASURED_WORDS = (
    "Measured: from sending a request to having its reply, less the time for which the host held "
    "it; single images. "
)
NO_LINK = (
    "Not modelled: batches took no longer on the network than requests without messages, so that "
    "nothing tells the speed of the link."
)


def _link_words(link: NetworkLink) -> str:
    return (
        "Modelled: as above, for the link as other measurements have it: round trip "
        f"{milliseconds(link.round_trip)} ms, the median of requests without messages; "
        f"{significant(link.bits_per_second / 1e6)} Mbit/s, from the bytes and the network time of "
        "batches."
    )


def _off_words(off: list[str]) -> str:
    if not off:
        return f" The model is within {fixed(100 * MODEL_TOLERANCE, 0)}% for all."
    return (
        f" The model is off by more than {fixed(100 * MODEL_TOLERANCE, 0)}% for {', '.join(off)}: "
        "TCP that starts slowly after a rest, congestion, or work on the way that the host does "
        "not count."
    )


def _sent_cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = row_name(view, pipeline, pipeline.cells[:1])
    traffic = pipeline.measured.traffic if pipeline.measured else None
    moved = pipeline.bytes_per_image
    if traffic is None or moved is None:
        return (name, *blanks(pipeline, len(SENT) - 1))
    if pipeline.no_server:
        return (name, inline("none"), *[inline(MISSING)] * (len(SENT) - 2))
    jpeg = traffic.jpeg_bytes
    up = traffic.payload_upload_bytes / traffic.n_images
    training = traffic.training_upload_bytes + traffic.training_download_bytes
    cells = (
        kilobytes(moved[0]),
        kilobytes(moved[1]),
        f"{significant(up / jpeg)} ×" if jpeg else MISSING,
        megabytes(traffic.public_material_bytes),
        megabytes(training) if training else "none",
        *[milliseconds(link.seconds(sum(moved))) for link in LINKS],
    )
    return (name, *[inline(cell) for cell in cells])


def _work(view: RunView) -> Table:
    rows: list[Row | SpanRow] = []
    for one in without_controls(view):
        rows.append(Row(_work_cells(view, one)))
        if words := _training_memory(one):
            rows.append(SpanRow(inline(words), "remark"))
    caption = "One-time work from a cold start, throughput in batches, and memory"
    note = " ".join(filter(None, (WORK_NOTE, beside_words(view))))
    return Table(caption, WORK, tuple(rows), inline(note))


def _training_memory(pipeline: PipelineView) -> str:
    """Say what training under encryption took, which the columns, of classification, leave out."""
    record = pipeline.measured
    facts = record.training.get("memory") if record else None
    found = facts if isinstance(facts, dict) else {}
    told = [
        f"{megabytes(value)} MB at the {side}"
        for side, name in (("hospital", "client"), ("server", "server"))
        if isinstance(value := found.get(f"{name}_bytes_measured"), int | float) and value > 0
    ]
    return f"Training on ciphertexts took {' and '.join(told)}." if told else ""


def _work_cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = row_name(view, pipeline, pipeline.cells[:1])
    record, rate = pipeline.measured, throughput_of(pipeline)
    if record is None:
        return (name, *blanks(pipeline, len(WORK) - 1))
    cold = cold_seconds(pipeline)
    return (
        name,
        inline(NOT_RECORDED if cold is None else significant(cold)),
        _reused(pipeline),
        *[
            inline(text)
            for text in (
                (
                    significant(rate.images_per_second),
                    f"{significant(rate.slowest)} to {significant(rate.fastest)}",
                    f"{rate.n_batches:,}",
                )
                if rate
                else (MISSING,) * 3
            )
        ],
        inline(_growth(record)),
        inline(_server_peak(pipeline, record)),
    )


def _reused(pipeline: PipelineView) -> Inline:
    made = [step for step in cold_steps(pipeline) if step.reused]
    if not made:
        return inline("none")
    known = [step.seconds for step in made if step.seconds is not None]
    seconds = significant(sum(known)) if len(known) == len(made) else NOT_RECORDED
    return inline(f"{seconds} ({REUSED})")


def _growth(record: RunRecord) -> str:
    if record.client_growth_bytes is None:
        return NOT_MEASURED
    return megabytes(record.client_growth_bytes)


def _server_peak(pipeline: PipelineView, record: RunRecord) -> str:
    if pipeline.no_server:
        return "no server"
    return NOT_MEASURED if record.server_peak_bytes is None else megabytes(record.server_peak_bytes)


SECTION = OtherCosts()
