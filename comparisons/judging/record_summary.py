"""One record of a run as a person reads it: what was asked, how it ended, what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from he_compare.common.run.device_words import devices_of
from he_compare.common.run.quantiles import quantile
from he_compare.common.run.records import CellScores, Measurement, RunRecord
from he_compare.common.run.replaced_servers import replaced_servers_words
from he_compare.common.run.spelling import bracket, duration, fixed, megabytes, moment, size
from he_compare.common.run.view import RunView
from he_compare.comparisons.terminal import TextTable, fold_text, labelled, laid_out, unbroken

INDENT = 14
SHORT = 8
STAGES = ("stage", "where", "per", "samples", "median", "all together")


def summary_of(view: RunView, record: RunRecord, columns: int | None = None) -> str:
    """Describe a record in lines of at most ``columns``; None: no limit."""
    cell = record.cell
    part = cell.phase.value + (f", round {cell.round}" if cell.round else "")
    title = f"{cell.label}: {part}: {record.status.value} (record {record.identity[:SHORT]})"
    lines = [*fold_text(title, columns), ""]
    for name, text in _facts(view, record):
        lines += labelled(name, text, columns, INDENT)
    if record.measurements:
        table = TextTable(STAGES, [_stage(one) for one in record.measurements])
        lines += ["", *laid_out(table, columns)]
    lines += ["", *fold_text("The whole record: the same command with --json.", columns)]
    return "\n".join(lines)


def _facts(view: RunView, record: RunRecord) -> Iterator[tuple[str, str]]:
    if record.reason:
        yield "reason", record.reason
    if record.error:
        yield "error", f"{record.error.kind}: {record.error.message}"
    yield "pipeline", record.cell.pipeline
    for name, value in sorted(record.cell.resolved.items()):
        yield "parameter", f"{name}: {'none' if value is None else value}"
    yield "images", f"{record.n_images:,}, after {record.warmup_images:,} to warm up"
    yield "encryption", f"mode of execution: {record.fhe_mode.value}"
    scores = view.scores.cells if view.scores else []
    mine = next((one for one in scores if one.identity == record.identity), None)
    yield from _metrics(mine)
    yield from _bytes(record)
    if record.agreement:
        one = record.agreement
        yield (
            "agreement",
            (
                f"{one.agree:,} of {one.compared:,} classes as the {one.reference}; "
                f"largest difference of a score {fixed(one.max_abs_score_difference, 6)}"
                f"{one.noise_words}"
            ),
        )
    for name, memory in (
        ("client", record.client_peak_bytes),
        ("server", record.server_peak_bytes),
    ):
        if memory is not None:
            yield "memory", f"{name}: at most {megabytes(memory)} MB"
    if record.claims:
        yield "protects", f"{record.claims.protects} ({record.claims.scheme})"
        yield from (("server learns", fact) for fact in record.claims.server_learns)
    yield from (("reused", name) for name in record.reused)
    if record.servers_replaced:
        yield "server", replaced_servers_words([record])
    yield from (("warning", text) for text in record.warnings)
    yield "started", f"{moment(record.started_at)}; took {duration(record.seconds)}"
    if record.environment:
        one_ = record.environment
        yield "machine", f"{one_.cpu}, {one_.threads} threads; {one_.platform}; {one_.python}"
    if devices := devices_of([record]):
        yield "devices", devices
    if record.predictions:
        yield "predictions", record.predictions


def _metrics(scores: CellScores | None) -> Iterator[tuple[str, str]]:
    for metric in scores.metrics if scores else []:
        value = "not defined" if metric.value is None else fixed(metric.value)
        ends = unbroken(bracket(metric.interval))
        words = f"{metric.name}: {value} {metric.unit} {ends} (n {metric.n}) {metric.note}"
        yield "metric", " ".join(words.split(" ")).replace("  ", " ").rstrip()


def _bytes(record: RunRecord) -> Iterator[tuple[str, str]]:
    traffic = record.traffic
    if traffic is None:
        return
    yield "sent once", f"{size(traffic.public_material_bytes)} of keys, contexts and weights"
    if traffic.n_images:
        up, down = (n / traffic.n_images for n in (traffic.upload_bytes, traffic.download_bytes))
        yield "one image", f"{size(up)} to the server, {size(down)} back"


def _stage(one: Measurement) -> tuple[str, ...]:
    """Return a row of the table of stages."""
    return (
        one.stage.value,
        one.side.value,
        one.per.value,
        f"{len(one.seconds):,}",
        duration(quantile(one.seconds, 0.5)) if one.seconds else "-",
        duration(sum(one.seconds)),
    )
