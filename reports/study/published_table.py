"""Published figures, each beside the figure of this study that comes nearest to it."""

from __future__ import annotations

from he_compare.common.run.encrypted_training import encrypted_training_of
from he_compare.common.run.records import MetricValue, PairedDifference
from he_compare.common.run.repeated_trainings import spread_beside
from he_compare.common.run.spelling import MISSING, bracket, duration, fixed
from he_compare.common.run.view import PipelineView
from he_compare.common.study.study_records import (
    TRAINING_SECONDS,
    WHAT_ATTACKERS_GOT,
    PublishedFigure,
)
from he_compare.common.study.study_view import StudiedSet, StudyView
from he_compare.reports.document.nodes import Break, Column, Content, Inline, Row, Table, inline
from he_compare.reports.metric_tables import title_of
from he_compare.reports.study.study_attack_tables import secrecy_cell
from he_compare.reports.study.study_titles import run_link

NOT_VERIFIED, NO_RESULT = "not verified", "no result"
TITLES = {
    WHAT_ATTACKERS_GOT: "What attackers got of the images",
    TRAINING_SECONDS: "Training on ciphertexts, after the upload",
}


def published_table(study: StudyView) -> list[Table]:
    """Return the table of published figures; [] where the study file names none."""
    figures = study.record.published
    if not figures:
        return []
    columns = (
        Column("Published", weight=1.9),
        Column("Figure", weight=1.0),
        Column("Ours", "right", "95% interval", 1.2),
        Column("Of", weight=1.7),
        Column("What differs", weight=2.4),
    )
    rows = tuple(Row(_cells(study, one)) for one in figures)
    note = (
        "“Not verified”: the figure is told as others tell it. Figures of other images, models and "
        "machines stand beside each other here; neither confirms or refutes the other by itself."
    )
    return [Table("Published figures, and ours", columns, rows, inline(note))]


def _cells(study: StudyView, one: PublishedFigure) -> tuple[Inline, ...]:
    place = next(each for each in study.sets if each.row.name == one.data)
    minus = " minus twin" if one.minus_twin else ""
    return (
        inline(f"{one.work} ({one.checked or NOT_VERIFIED})"),
        inline(one.says),
        _ours(place, one),
        inline(
            f"{TITLES.get(one.metric) or title_of(one.metric)}{minus}; {one.pipeline}; ",
            place.title,
        ),
        inline(one.differs or MISSING),
    )


def _ours(place: StudiedSet, one: PublishedFigure) -> Inline:
    """Return our figure with interval and trainings, as a link to its run."""
    if one.metric == WHAT_ATTACKERS_GOT:
        return secrecy_cell(place, one.pipeline)
    if one.metric == TRAINING_SECONDS:
        return _training(place, one.pipeline)
    found, value = _found(place.pipeline(one.pipeline), one)
    if found is None or value is None:
        return inline(NO_RESULT)
    signed = one.minus_twin
    parts: list[Content] = [run_link(place, fixed(value, signed=signed))]
    for words in (bracket(found.interval, signed=signed), spread_beside(found, signed=signed)):
        parts += [Break(), words] if words else []
    return inline(*parts)


def _training(place: StudiedSet, label: str) -> Inline:
    pipeline = place.pipeline(label)
    training = encrypted_training_of(pipeline) if pipeline else None
    return inline(run_link(place, duration(training.seconds)) if training else NO_RESULT)


def _found(
    pipeline: PipelineView | None, one: PublishedFigure
) -> tuple[MetricValue | PairedDifference | None, float | None]:
    if pipeline is None:
        return None, None
    if one.minus_twin:
        difference = pipeline.difference(one.metric)
        return difference, difference.difference if difference else None
    metric = pipeline.metric(one.metric)
    return metric, metric.value if metric else None
