"""Is any accuracy lost to the protection? Differences to the twins, and absolute values."""

from __future__ import annotations

from he_compare.common.run.leading import even_classes, leading_metrics, leading_titles
from he_compare.common.run.one_cipher import cipher_groups
from he_compare.common.run.records import PairedDifference
from he_compare.common.run.repeated_trainings import means_words, spread_beside
from he_compare.common.run.spelling import bracket, fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.accuracy_words import control_words, lost_words
from he_compare.reports.answer.trainings import trainings_words
from he_compare.reports.document.nodes import Block, Figure, Paragraph, inline
from he_compare.reports.figures.accuracy import compared_with_twins, forest_plot
from he_compare.reports.figures.block import drawn
from he_compare.reports.metric_tables import body_metrics, metric_tables, title_in
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import without_controls

NO_SCORES = "The run has no scores.json: `compare score` computes it from stored predictions."
UNEVEN = (
    "The classes are uneven or more than two, so balanced accuracy leads: a classifier that always "
    "answers the largest class has an accuracy of its share, and a balanced accuracy of one "
    "divided by the number of classes."
)


class Accuracy(ReportSection):
    """What the protection costs in accuracy; without scores the section says how to make them."""

    order = 400
    title = "Accuracy: is any lost to the protection?"
    anchor = "accuracy"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the answer, the differences to the twins and the values with intervals."""
        if view.scores is None:
            return [Paragraph(inline(NO_SCORES))]
        words = lost_words(view)
        if not even_classes(view):
            words = inline(words, f" {UNEVEN}")
        return [
            Paragraph(words),
            *_forest(view),
            *metric_tables(
                view, "Accuracy of every set-up", body_metrics(view), without_controls(view)
            ),
            Paragraph(inline(" ".join(filter(None, _trainings(view))))),
        ]


def _trainings(view: RunView) -> tuple[str, ...]:
    groups = [group.pipelines for group in cipher_groups(view)]
    return means_words(view), trainings_words(view, groups), control_words(view)


def _forest(view: RunView) -> list[Figure]:
    names, rows = leading_titles(view), compared_with_twins(view)
    return drawn(
        lambda: forest_plot(view),
        name="accuracy",
        caption=f"{names[0]} and {names[1]}: each protected set-up minus its twin, the same model "
        "without protection, on the same images. Hollow: the interval holds 0, so no difference is "
        "shown; that is no proof of equality.",
        alt="Differences to the twin with 95% intervals. "
        + "; ".join(_spoken(view, one) for one in rows),
    )


def _spoken(view: RunView, pipeline: PipelineView) -> str:
    parts = [
        f"{title_in(view, name)} {_difference(found)}"
        for name in leading_metrics(view)
        if (found := pipeline.difference(name)) is not None and found.difference is not None
    ]
    return f"{pipeline.label}: {', '.join(parts) or 'no difference to a twin'}"


def _difference(found: PairedDifference) -> str:
    assert found.difference is not None
    shown = fixed(found.difference, signed=True)
    spread = spread_beside(found, signed=True)
    return f"{shown} {bracket(found.interval, signed=True)}{spread and f', {spread}'}".strip()


SECTION = Accuracy()
