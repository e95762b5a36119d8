"""One page over many runs and datasets: every pipeline of every run, and AUC as a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from he_compare.common.errors import UsageError
from he_compare.common.files import write_atomic
from he_compare.common.run.protection import secrecy_of
from he_compare.common.run.spelling import MISSING, fixed, kilobytes, milliseconds, moment
from he_compare.common.run.store import RunFolder
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import PipelineView, RunView, read_run
from he_compare.reports.document.nodes import (
    Bullets,
    Callout,
    Code,
    Column,
    Document,
    Inline,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.naming import SHORT_ID
from he_compare.reports.numbers import metric_cell
from he_compare.reports.render.html import html

COLUMNS = (
    Column("Run", weight=0.5),
    Column("Dataset", weight=1.4),
    Column("Pipeline", weight=2.4),
    Column("Images", "right", "n"),
    Column("Accuracy", "right", "95% interval", 1.4),
    Column("AUC", "right", "95% interval", 1.4),
    Column("One image, p50", "right", "ms"),
    Column("Up + down", "right", "kB/image"),
    Column("Secret from the server?", weight=1.6),
    Column("Record"),
)


def write_gallery(runs: Sequence[Path], out: Path) -> Path:
    """Write the page. Raises UsageError on a folder that is no run or a file not writable."""
    page = html(gallery([read_run(RunFolder(path)) for path in runs]))
    try:
        write_atomic(out, page.encode())
    except OSError as error:
        raise UsageError(
            f"cannot write {out}: {error.strerror}", fix="name another file with --out"
        ) from None
    return out


def gallery(views: Sequence[RunView]) -> Document:
    """Lay out many runs as one document. Raises UsageError on none."""
    if not views:
        raise UsageError("no run named", fix="pass the folders of one or more runs")
    datasets = {view.manifest.dataset.card.name for view in views}
    return Document(
        title="Runs side by side",
        subtitle=inline(
            f"{len(views)} run{'s' * (len(views) > 1)}, "
            f"{len(datasets)} dataset{'s' * (len(datasets) > 1)}"
        ),
        date=max(view.manifest.created_at for view in views),
        banners=_banners(views),
        sections=(
            Section("Every pipeline of every run", 1, "pipelines", (_words(), _table(views))),
            Section("AUC by run", 1, "auc", (_matrix(views),)),
            Section("Runs", 1, "runs", (_runs(views),)),
        ),
    )


def _words() -> Paragraph:
    return Paragraph(
        inline(
            "Accuracies compare within a run, where all pipelines answered the same images. "
            "Timings compare only between runs of one environment; see the list of runs."
        )
    )


def _banners(views: Sequence[RunView]) -> tuple[Callout, ...]:
    found = []
    machines = {
        (
            view.threads_on(one),
            one.model_copy(update={"load_average": None, "threads": 0}).model_dump_json(),
        )
        for view in views
        for one in view.environments
    }
    if len(machines) > 1:
        words = f"{len(machines)} environments: timings of different ones are not comparable."
        found.append(Callout("warning", "Several environments", inline(words)))
    for flag, title, words in (
        ([v.manifest.dataset.card.synthetic for v in views], "Synthetic data", "about patients"),
        ([v.manifest.backbone.untrained for v in views], "Untrained backbone", "about DeiT"),
    ):
        numbers = ", ".join(f"R{number}" for number, on in enumerate(flag, start=1) if on)
        if numbers:
            content = inline(f"accuracies of {numbers} say nothing {words}.")
            found.append(Callout("warning", title, content))
    return tuple(found)


def _table(views: Sequence[RunView]) -> Table:
    rows = tuple(
        Row(_cells(number, view, pipeline))
        for number, view in enumerate(views, start=1)
        for pipeline in view.pipelines
    )
    note = inline("“Not tested” is not a pass, “not broken” is no proof. Click a heading to sort.")
    return Table("Pipelines of all runs", COLUMNS, rows, note)


def _cells(number: int, view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    latency, moved = latency_of(pipeline), pipeline.bytes_per_image
    record = pipeline.accuracy
    accuracy = pipeline.metric("accuracy")
    return (
        inline(f"R{number}"),
        inline(view.manifest.dataset.card.name),
        inline(pipeline.label),
        inline(f"{view.n_test:,}"),
        metric_cell(accuracy) if accuracy else inline(pipeline.state),
        metric_cell(pipeline.metric("auc")),
        inline(milliseconds(latency.total.p50) if latency else MISSING),
        inline(kilobytes(sum(moved)) if moved else MISSING),
        inline(secrecy_of(view, pipeline).words),
        inline(Code(record.identity[:SHORT_ID]) if record else MISSING),
    )


def _matrix(views: Sequence[RunView]) -> Table:
    labels = list(dict.fromkeys(one.label for view in views for one in view.pipelines))
    columns = (
        Column("Pipeline", weight=2.4),
        *(
            Column(f"R{number}", "right", view.manifest.dataset.card.name)
            for number, view in enumerate(views, start=1)
        ),
    )
    rows = tuple(Row((inline(label), *(_auc(view, label) for view in views))) for label in labels)
    note = inline("Point estimates; intervals: table above.")
    return Table("AUC of each pipeline in each run", columns, rows, note)


def _auc(view: RunView, label: str) -> Inline:
    pipeline = next((one for one in view.pipelines if one.label == label), None)
    metric = pipeline.metric("auc") if pipeline else None
    return inline(MISSING if metric is None or metric.value is None else fixed(metric.value))


def _runs(views: Sequence[RunView]) -> Bullets:
    items = []
    for number, view in enumerate(views, start=1):
        manifest = view.manifest
        machine = "; ".join(one.cpu for one in view.environments) or "no environment recorded"
        items.append(
            inline(
                f"R{number}: {manifest.dataset.card.title}, backbone {manifest.backbone.name} "
                f"({manifest.backbone.weights}), started {moment(manifest.created_at)}, "
                f"{machine}: ",
                Code(manifest.command),
            )
        )
    return Bullets(tuple(items))
