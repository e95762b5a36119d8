"""Accuracy in detail: all metrics, each class, confusion, and the tests behind the differences."""

from __future__ import annotations

from he_compare.common.run.positive import note_none_named
from he_compare.common.run.records import PairedDifference
from he_compare.common.run.repeated_trainings import seeds_trained, spread_beside
from he_compare.common.run.spelling import MISSING, probability, scientific, significant
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.confusion import MOST_CLASSES_SHOWN, confusion_tables, lowest_recalls
from he_compare.reports.document.nodes import (
    Block,
    Column,
    Inline,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.metric_tables import (
    CALIBRATION,
    body_metrics,
    is_recall,
    metric_names,
    metric_tables,
    title_in,
)
from he_compare.reports.naming import row_name, short_title
from he_compare.reports.numbers import with_interval
from he_compare.reports.section import ReportSection

ONE_BY_GROUP = "paired bootstrap by patient group"
OF_OLD_RECORDS = "McNemar's exact test, which takes images as independent"


class AccuracyDetail(ReportSection):
    """What stands behind the accuracies of the body; nothing without scores."""

    order = 1150
    title = "Accuracy in detail"

    def sections(self, view: RunView) -> list[Section]:
        """Return all metrics, recalls by class, confusion, differences and agreement."""
        if view.scores is None:
            return []
        names = metric_names(view)
        elsewhere = {*body_metrics(view), *CALIBRATION}
        further = [name for name in names if not is_recall(name) and name not in elsewhere]
        blocks: tuple[Block, ...] = (
            *_no_positive(view),
            *metric_tables(view, "Further metrics of the whole test set", further),
        )
        return [
            Section(self.title, 1, "accuracy-in-detail", blocks),
            *_per_class(view, [name for name in names if is_recall(name)]),
            Section("Confusion", 2, "confusion", tuple(confusion_tables(view))),
            *_differences(view),
            *_agreement(view),
        ]


def _no_positive(view: RunView) -> list[Paragraph]:
    """Say that no class was named positive, and by what option; or that one was taken unasked."""
    note = note_none_named(view.manifest.dataset.card)
    if note and view.positive:
        taken = f"{view.positive!r} was taken as the positive class unasked, for it comes second"
        note = f"{taken}: {note}"
    return [Paragraph(inline(f"{note[:1].upper()}{note[1:]}."))] if note else []


def _per_class(view: RunView, recalls: list[str]) -> list[Section]:
    if not recalls or view.positive:  # then they are sensitivity and specificity
        return []
    caption = "Recall of each class"
    if len(recalls) > MOST_CLASSES_SHOWN:
        every = len(recalls)
        recalls = lowest_recalls(view, recalls)
        caption = (
            f"Recall of the {len(recalls)} of {every} classes where it is lowest, by its mean over "
            "the pipelines; scores.json has all"
        )
    tables = metric_tables(view, caption, recalls)
    return [Section("Per class", 2, "per-class", tuple(tables))]


def _differences(view: RunView) -> list[Section]:
    """Return the differences to the twin, and to the run's reference where that is another."""
    rows = []
    for pipeline in view.pipelines:
        for one in pipeline.differences:
            discordant = "{} / {}".format(*one.discordant) if one.discordant else MISSING
            cells = (
                row_name(view, pipeline, pipeline.cells[:1]),
                _other(view, pipeline, one),
                inline(title_in(view, one.metric)),
                with_interval(
                    one.difference,
                    one.interval,
                    signed=True,
                    spread=spread_beside(one, signed=True),
                ),
                inline(probability(one.p_value)),
                inline(discordant),
            )
            rows.append(Row(cells))
    if not rows:
        return []
    columns = (
        Column("Pipeline", weight=2.0),
        Column("Minus", weight=1.8),
        Column("Metric", weight=1.0),
        Column("Difference", "right", "95% interval", 1.4),
        Column("p", "right", "exact paired test", 1.0),
        Column("Right only here / only there", "right", "images", 1.4),
    )
    note = (
        f"On the same {view.n_test:,} images, so each image is its own control. An interval that "
        "holds 0 shows no difference; it does not show equality. Intervals: "
        f"{view.scores.over_trainings if seeds_trained(view) and view.scores else ONE_BY_GROUP}."
    )
    if tests := sorted({one.p_method or OF_OLD_RECORDS for one in _of_accuracy(view)}):
        note += f" p: {'; '.join(tests)}."
    table = Table("Paired differences", columns, tuple(rows), inline(note))
    return [Section("Paired differences", 2, "differences", (table,))]


def _other(view: RunView, pipeline: PipelineView, one: PairedDifference) -> Inline:
    """Name the pipeline that is subtracted, and what it is to this one."""
    other = view.by_label.get(one.reference)
    name = short_title(view, other) if other else one.reference
    differs = f", twin but for: {pipeline.planned.twin_differs}"
    twin = differs if pipeline.planned.twin_differs else ", its twin"
    return inline(name, twin if one.reference == pipeline.planned.twin else ", another model")


def _of_accuracy(view: RunView) -> list[PairedDifference]:
    return [
        one
        for pipeline in view.pipelines
        for one in pipeline.differences
        if one.p_value is not None
    ]


def _agreement(view: RunView) -> list[Section]:
    rows = []
    for pipeline in view.pipelines:
        found = pipeline.measured.agreement if pipeline.measured else None
        if found is not None:
            cells = (
                row_name(view, pipeline, pipeline.cells[:1]),
                inline(found.reference),
                inline(f"{found.executed:,}"),
                inline(f"{found.agree:,} / {found.compared:,}"),
                inline(scientific(found.max_abs_score_difference)),
                inline(significant(found.max_abs_score)),
            )
            rows.append(Row(cells))
    if not rows:
        return []
    columns = (
        Column("Pipeline", weight=2.0),
        Column("Compared with", weight=1.2),
        Column("Executed", "right", "images", 0.9),
        Column("Same class", "right", "images", 1.0),
        Column("Largest score difference", "right", "score units", 1.2),
        Column("Largest score", "right", "score units", 1.0),
    )
    note = inline("Executed: images that went through the protected path, not a simulation of it.")
    table = Table("Executed predictions against the clear model", columns, tuple(rows), note)
    return [Section("Executed against clear", 2, "agreement", (table,))]


SECTION = AccuracyDetail()
