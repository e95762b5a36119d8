"""How the numbers were made, with which settings, on which machine, from which records."""

from __future__ import annotations

from he_compare.common.run.records import EnvironmentFingerprint, ServerHost
from he_compare.common.run.repeated_trainings import means_words
from he_compare.common.run.server_places import hosts_of, remote_records
from he_compare.common.run.spelling import moment, significant, size
from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import (
    Bullets,
    Code,
    Column,
    KeyValues,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.plain_values import plain_value
from he_compare.reports.section import ReportSection

METHOD = (
    "All pipelines answer the same test images, so differences are paired.",
    "A pipeline is a client that protects, a server that computes and a client that reveals; "
    "the server half is a separate process behind HTTP, on loopback or on a host, started with the "
    "public material only.",
    "Latency: one image at a time, closed loop, rounds of pipelines interleaved; raw samples are "
    "kept in the records and quantiles are nearest-rank over all rounds.",
    "Throughput: batches of the accuracy phase. It is never derived from latency, nor latency "
    "from it.",
    "Bytes: HTTP requests and replies as sent, headers included. Network time is modelled from "
    "them and shown separately; where a host was used it was measured as well.",
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
    title = "Method, settings, records"

    def sections(self, view: RunView) -> list[Section]:
        """Return method, settings, environment and the index that links lead to."""
        alone = (ALONE,) if any(one.no_server for one in view.pipelines) else ()
        means = (means_words(view),) if means_words(view) else ()
        method = (Bullets(tuple(inline(text) for text in (*METHOD, *means, *alone))),)
        return [
            Section(self.title, 1, "method", method),
            Section("Settings", 2, "settings", _settings(view)),
            Section("Environment", 2, "environment", _environments(view)),
        ]


def _settings(view: RunView) -> tuple[KeyValues, Table]:
    manifest = view.manifest
    plan = KeyValues(
        (
            ("he-compare", inline(manifest.tool_version)),
            ("Started", inline(moment(manifest.created_at))),
            ("Command", inline(Code(manifest.command))),
            ("Plan (SHA-256)", inline(Code(manifest.plan))),
            ("Images (SHA-256)", inline(Code(manifest.dataset.fingerprint))),
            ("Weights (SHA-256)", inline(Code(manifest.backbone.weights_sha256))),
        )
    )
    meanings = manifest.meanings
    rows = [
        Row(
            (
                inline(Code(name)),
                *((inline(meanings.get(name, "not recorded")),) if meanings else ()),
                inline(plain_value(value)),
            )
        )
        for name, value in manifest.settings.items()
        if value not in ("", None, [])
    ]
    columns = (
        Column("Setting", weight=1.3),
        *((Column("Meaning", weight=3.6),) if meanings else ()),
        Column("Value", weight=1.7),
    )
    without = "" if meanings else " This run did not record what they mean."
    note = inline(f"Settings that were not given and have no value are left out.{without}")
    return plan, Table("Settings of the run, defaults included", columns, tuple(rows), note)


def _environments(view: RunView) -> tuple[KeyValues | Paragraph, ...]:
    if not view.environments:
        return (Paragraph(inline("No record holds an environment.")),)
    loads = [
        record.environment.load_average
        for record in view.records
        if record.environment and record.environment.load_average is not None
    ]
    span = f"{significant(min(loads))} to {significant(max(loads))}" if loads else "not recorded"
    own = tuple(_environment(view, one, span, len(loads)) for one in view.environments)
    return (*own, *_host_facts(view))


def _environment(view: RunView, one: EnvironmentFingerprint, loads: str, n: int) -> KeyValues:
    packages = ", ".join(f"{name} {version}" for name, version in sorted(one.packages.items()))
    dirty = {True: "yes", False: "no", None: "not known"}[one.source_dirty]
    return KeyValues(
        (
            ("Processor", inline(one.cpu)),
            ("Logical cores", inline(str(one.logical_cores))),
            ("Memory", inline(size(one.memory_bytes))),
            ("Threads per process", inline(view.threads_on(one))),
            ("Load average, 1 min", inline(f"{loads} at the start of n = {n} cells, all machines")),
            ("System", inline(one.platform)),
            ("Python", inline(one.python)),
            ("Packages", inline(packages)),
            ("Commit", inline(Code(one.source_commit)) if one.source_commit else inline("unknown")),
            ("Uncommitted changes", inline(dirty)),
        )
    )


def _host_facts(view: RunView) -> tuple[KeyValues, ...]:
    """Return the machine of each host, with its certificate."""
    return tuple(_host(one) for one in hosts_of(remote_records(view)))


def _host(host: ServerHost) -> KeyValues:
    there = host.environment
    packages = ", ".join(f"{name} {version}" for name, version in sorted(there.packages.items()))
    return KeyValues(
        (
            ("Servers on host", inline(Code(host.machine))),
            ("Processor", inline(there.cpu)),
            ("Logical cores", inline(str(there.logical_cores))),
            ("Memory", inline(size(there.memory_bytes))),
            ("System", inline(there.platform)),
            ("Python", inline(there.python)),
            ("Packages", inline(packages)),
            ("Commit", inline(Code(there.source_commit or "unknown"))),
            ("Certificate (SHA-256)", inline(Code(host.certificate or "none: without TLS"))),
        )
    )


SECTION = Method()
