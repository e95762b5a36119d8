"""How the numbers were made, on which machine, from which records, and how to make them again."""

from __future__ import annotations

from he_compare.common.run.records import EnvironmentFingerprint, RunRecord
from he_compare.common.run.spelling import MISSING, moment, parameters, significant, size
from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import (
    Bullets,
    Code,
    CodeBlock,
    Column,
    Inline,
    KeyValues,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.naming import record_target, short_title
from he_compare.reports.section import ReportSection

METHOD = (
    "All pipelines answer the same test images, so differences are paired.",
    "A pipeline is a client that protects, a server that computes and a client that reveals; "
    "the server half is a separate process behind HTTP on loopback, started with the public "
    "material only.",
    "Latency: one image at a time, closed loop, rounds of pipelines interleaved; raw samples are "
    "kept in the records and quantiles are nearest-rank over all rounds.",
    "Throughput: batches of the accuracy phase. It is never derived from latency, nor latency "
    "from it.",
    "Bytes: HTTP requests and replies as sent, headers included. Network time is modelled from "
    "them and shown separately.",
    "Accuracy is scored from stored predictions; the method of each interval is named under its "
    "table. The paired test of accuracies is exact: McNemar's, or sign flips of whole patients "
    "where a patient has several images.",
    "A cell that failed, timed out or could not run here is a result: it keeps its row and its "
    "reason.",
)
ALONE = (
    "A pipeline without a server is one call at the hospital. It is timed on the same path; no "
    "process is started and no message is sent for it, so that its bytes are 0, and no message "
    "can be disturbed or attacked."
)


class Method(ReportSection):
    """How the numbers were made, on which machine, from which records."""

    order = 1500
    title = "Method"

    def sections(self, view: RunView) -> list[Section]:
        """Return method, reproduce command, environment and the list of records."""
        alone = (ALONE,) if any(one.no_server for one in view.pipelines) else ()
        method = (Bullets(tuple(inline(text) for text in (*METHOD, *alone))), _settings(view))
        return [
            Section(self.title, 1, "method", method),
            Section("Reproduce", 2, "reproduce", _reproduce(view)),
            Section("Environment", 1, "environment", _environments(view)),
            Section("Records", 2, "records", (_records(view), *_outcomes(view))),
        ]


def _settings(view: RunView) -> KeyValues:
    manifest = view.manifest
    return KeyValues(
        (
            ("he-compare", inline(manifest.tool_version)),
            ("Started", inline(moment(manifest.created_at))),
            ("Profile", inline(manifest.profile)),
            ("Root seed", inline(str(manifest.seed))),
            ("Settings", inline(parameters(manifest.settings))),
            ("Plan (SHA-256)", inline(Code(manifest.plan))),
        )
    )


def _reproduce(view: RunView) -> tuple[Paragraph | CodeBlock, ...]:
    words = (
        "The same command on the same images and weights gives the same predictions; timings "
        "differ with the machine and its load."
    )
    return Paragraph(inline(words)), CodeBlock(view.manifest.command)


def _environments(view: RunView) -> tuple[KeyValues | Paragraph, ...]:
    if not view.environments:
        return (Paragraph(inline("No record holds an environment.")),)
    loads = [
        record.environment.load_average
        for record in view.records
        if record.environment and record.environment.load_average is not None
    ]
    span = f"{significant(min(loads))} to {significant(max(loads))}" if loads else "not recorded"
    return tuple(_environment(one, span, len(loads)) for one in view.environments)


def _environment(one: EnvironmentFingerprint, loads: str, n: int) -> KeyValues:
    packages = ", ".join(f"{name} {version}" for name, version in sorted(one.packages.items()))
    dirty = {True: "yes", False: "no", None: "not known"}[one.source_dirty]
    return KeyValues(
        (
            ("Processor", inline(one.cpu)),
            ("Logical cores", inline(str(one.logical_cores))),
            ("Memory", inline(size(one.memory_bytes))),
            ("Threads per process", inline(str(one.threads))),
            ("Load average, 1 min", inline(f"{loads} at the start of n = {n} cells, all machines")),
            ("System", inline(one.platform)),
            ("Python", inline(one.python)),
            ("Packages", inline(packages)),
            ("Commit", inline(Code(one.source_commit)) if one.source_commit else inline("unknown")),
            ("Uncommitted changes", inline(dirty)),
        )
    )


def _records(view: RunView) -> Table:
    names = {pipeline.label: short_title(view, pipeline) for pipeline in view.pipelines}
    columns = (
        Column("Record", weight=1.1),
        Column("Pipeline", weight=2.2),
        Column("Phase", weight=1.0),
        Column("Round", "right", weight=0.7),
        Column("Status", weight=1.1),
        Column("Images", "right", "n", 0.8),
        Column("Wall time", "right", "s", 0.9),
        Column("Started", unit="UTC", weight=1.6),
    )
    rows = tuple(Row(_record_cells(record, names)) for record in view.records)
    note = inline("Identities are cut to 8 characters; records.jsonl holds them in full.")
    return Table("Every cell of the run", columns, rows, note)


def _record_cells(record: RunRecord, names: dict[str, str]) -> tuple[Inline, ...]:
    return (
        inline(record_target(record.identity)),
        inline(names.get(record.cell.label, record.cell.label)),
        inline(record.cell.phase.value),
        inline(str(record.cell.round)),
        inline(record.status.value),
        inline(f"{record.n_images:,}"),
        inline(significant(record.seconds) if record.seconds else MISSING),
        inline(moment(record.started_at).removesuffix(" UTC")),
    )


def _outcomes(view: RunView) -> list[Table]:
    """Return the list of attack outcomes but those that do not apply, where there are any."""
    if not view.outcomes:
        return []
    columns = (
        Column("Outcome", weight=1.1),
        Column("Attack", weight=1.8),
        Column("Target", weight=2.0),
        Column("Adversary", weight=1.5),
        Column("Verdict", weight=1.2),
        Column("Wall time", "right", "s", 0.9),
    )
    rows = tuple(
        Row(
            (
                inline(record_target(one.identity)),
                inline(one.title or one.attack),
                inline(one.target),
                inline(one.rung.value),
                inline(one.verdict),
                inline(significant(one.seconds) if one.seconds else MISSING),
            )
        )
        for one in view.outcomes
        if one.verdict != "not applicable"
    )
    note = inline(
        f"{len(view.outcomes) - len(rows)} more are “not applicable”, with their reasons in "
        "attacks.jsonl, which also holds the identities in full."
    )
    return [Table("Every outcome of an attack that applies", columns, rows, note)]


SECTION = Method()
