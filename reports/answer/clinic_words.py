"""Whether a clinic could use the classifier: counts, what speaks against it, repeated trainings."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.clinical import clinical_reading
from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.spelling import fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.answer.sides import Sides, with_results
from he_compare.reports.answer.trainings import trainings_words
from he_compare.reports.document.nodes import Bold, Inline, inline
from he_compare.reports.naming import short_title

MOST_REASONS = 3


def clinic_words(
    view: RunView,
    sides: Sides,
    chosen: PipelineView | None,
    groups: Sequence[Sequence[PipelineView]],
) -> Inline:
    """Return the paragraph, with the counts of the chosen pipeline or of the best in the clear."""
    pipeline = chosen or _best(view, sides)
    reading = clinical_reading(view, pipeline) if pipeline else None
    spread = trainings_words(view, groups)
    if pipeline is None or reading is None:
        words = " No pipeline was scored, so that nothing is known of right and wrong answers."
        return inline(Bold("Not fit for a clinic."), words)
    name = short_title(view, pipeline)
    reasons = ". ".join(reading.fit.reasons[:MOST_REASONS])
    how = ""
    if reading.positive and not reading.validated:
        how = " (threshold not fixed on validation images)"
    elif reading.positive and reading.threshold is not None:
        how = (
            f" at the threshold chosen on validation images ({fixed(reading.threshold)}; the table"
        )
        how += " takes the likelier class)"
    counts = f" With {name}{how}: {reading.counts[:1].lower()}{reading.counts[1:]}."
    return inline(Bold(f"{reading.fit.verdict}."), counts, f" {reasons}. {spread}")


def _best(view: RunView, sides: Sides) -> PipelineView | None:
    metric = leading_metrics(view)[0]
    scored = with_results(sides.unprotected + sides.alone + sides.scrambled)
    return max(scored, key=lambda one: one.value(metric) or 0.0, default=None)
