"""What was compared: the images, the backbone, the pipelines as resolved."""

from __future__ import annotations

from he_compare.common.run.records import DatasetSummary, SplitSummary
from he_compare.common.run.spelling import MISSING, fixed, parameters
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.confusion import MOST_CLASSES_SHOWN
from he_compare.reports.document.nodes import (
    Break,
    Bullets,
    Code,
    Column,
    Inline,
    KeyValues,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.naming import full_title, record_ids, row_name
from he_compare.reports.section import ReportSection

# Of many classes so many are named.
FIRST_NAMED = 5
SPLITS = ("train", "val", "test")


class Compared(ReportSection):
    """The cards of dataset and backbone, the pipelines, and how each model was fitted."""

    order = 200
    title = "What was compared"

    def sections(self, view: RunView) -> list[Section]:
        """Return the cards and the list of pipelines."""
        words = (
            f"{len(view.pipelines)} pipelines on one dataset with one backbone, "
            f"root seed {view.manifest.seed}, profile {view.manifest.profile}."
        )
        return [
            Section(self.title, 1, "compared", (Paragraph(inline(words)),)),
            _dataset(view.manifest.dataset),
            _backbone(view),
            _pipelines(view),
            *_training(view),
        ]


def _dataset(dataset: DatasetSummary) -> Section:
    card = dataset.card
    facts = KeyValues(
        (
            ("Title", inline(card.title)),
            ("Description", inline(card.description)),
            ("Kind", inline("synthetic" if card.synthetic else "real images")),
            ("Source", inline(card.source)),
            ("Licence", inline(card.licence)),
            ("Citation", inline(card.citation)),
            ("Classes", inline(_named(card.classes))),
            *((("Positive class", inline(card.positive_class)),) if card.positive_class else ()),
            ("Subset", inline(dataset.subset)),
            ("Stored size, pixels", inline(card.native_size or "not stated")),
            ("Size used, pixels", inline(f"{dataset.image_size} × {dataset.image_size}")),
            ("Fingerprint (SHA-256)", inline(Code(dataset.fingerprint))),
        )
    )
    remarks = [inline(text) for text in (*card.caveats, *dataset.notes)]
    blocks = (facts, _splits(dataset), *((Bullets(tuple(remarks)),) if remarks else ()))
    return Section(f"Dataset: {card.name}", 2, "dataset", blocks)


def _splits(dataset: DatasetSummary) -> Table:
    names = [name for name in SPLITS if name in dataset.splits]
    names += sorted(set(dataset.splits) - set(names))
    positive = dataset.card.positive_class
    of_one = (f"share of {positive}",) if positive else ()
    return Table(
        "Images of each split as used",
        (
            Column("Split"),
            Column("Images", "right", "n"),
            Column("Patient groups", "right", "n"),
            Column("Images per class", weight=3.5),
            *(Column("Prevalence", "right", unit, 1.4) for unit in of_one),
        ),
        tuple(Row(_split_cells(name, dataset.splits[name])[: 4 + len(of_one)]) for name in names),
        inline(
            "Group: images that belong together, for instance those of one patient. The bootstrap "
            "resamples groups."
        ),
    )


def _split_cells(name: str, split: SplitSummary) -> tuple[Inline, ...]:
    counts = ", ".join(f"{label}: {count}" for label, count in split.per_class.items())
    if len(split.per_class) > MOST_CLASSES_SHOWN:
        counts = _range_of(split.per_class)
    return (
        inline(name),
        inline(f"{split.n:,}"),
        inline(f"{split.groups:,}"),
        inline(counts),
        inline(MISSING if split.prevalence is None else fixed(split.prevalence)),
    )


def _named(classes: list[str]) -> str:
    """Name classes, the first few of many."""
    if len(classes) <= MOST_CLASSES_SHOWN:
        return ", ".join(classes)
    return f"{len(classes)}: {', '.join(classes[:FIRST_NAMED])}, …; all: manifest.json"


def _range_of(per_class: dict[str, int]) -> str:
    """Say between which numbers of images many classes lie, and name the smallest."""
    least, most = min(per_class.values()), max(per_class.values())
    smallest = [label for label, count in per_class.items() if count == least]
    if least == most:
        return f"{len(per_class)} classes of {least}"
    named = ", ".join(smallest[:FIRST_NAMED]) + (", …" if len(smallest) > FIRST_NAMED else "")
    return f"{len(per_class)} classes of {least} to {most}; smallest ({len(smallest)}): {named}"


def _backbone(view: RunView) -> Section:
    backbone = view.manifest.backbone
    untrained = "yes: random weights, accuracy says nothing about DeiT"
    facts = KeyValues(
        (
            ("Model", inline(Code(backbone.name))),
            ("Weights", inline(backbone.weights)),
            ("Untrained", inline(untrained if backbone.untrained else "no")),
            ("Trained by", inline(backbone.provenance)),
            ("Licence", inline(backbone.licence or "not stated")),
            ("Parameters", inline(f"{backbone.parameters:,}")),
            ("Feature width", inline(f"{backbone.feature_width:,}")),
            ("Weights (SHA-256)", inline(Code(backbone.weights_sha256))),
        )
    )
    return Section("Backbone", 2, "backbone", (facts,))


def _pipelines(view: RunView) -> Section:
    table = Table(
        "Pipelines and their parameters as resolved, defaults included",
        (
            Column("Pipeline", weight=2.0),
            Column("Plug-in", weight=1.1),
            Column("Parameters", weight=3.6),
            Column("FHE mode", weight=0.8),
            Column("Outcome", weight=0.9),
        ),
        tuple(Row(_pipeline_cells(view, pipeline)) for pipeline in view.pipelines),
        inline(
            "Outcome is that of the accuracy cell. The code under a name is the identity of its "
            "record."
        ),
    )
    return Section("Pipelines", 2, "pipelines", (table,))


def _training(view: RunView) -> list[Section]:
    """Return how each model was fitted, where that was recorded; series of epochs are left out."""
    rows = []
    for pipeline in view.pipelines:
        record = pipeline.measured
        facts = record.training if record else {}
        single = {k: v for k, v in facts.items() if not isinstance(v, list | dict)}
        if record is not None and single:
            name = row_name(view, pipeline, [record])
            rows.append(Row((name, inline(parameters(single, separator="; ")))))
    if not rows:
        return []
    columns = (Column("Pipeline", weight=2.0), Column("Fitted", weight=4.6))
    note = inline("As recorded by the pipeline; the records hold every epoch.")
    table = Table("How each model was fitted", columns, tuple(rows), note)
    return [Section("Training", 2, "training", (table,))]


def _pipeline_cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    record = pipeline.accuracy
    resolved = record.cell.resolved if record else pipeline.planned.resolved
    return (
        inline(full_title(view, pipeline), Break(), record_ids([record] if record else [])),
        inline(pipeline.planned.name),
        inline(parameters(resolved)),
        inline(record.fhe_mode.value if record else MISSING),
        inline(pipeline.state),
    )


SECTION = Compared()
