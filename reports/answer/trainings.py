"""How far repeated trainings of the same thing differ: over seeds, or set-ups of one cipher."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.repeated_trainings import TrainingSpread, seeds_of
from he_compare.common.run.spelling import fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.answer.price import metric_name
from he_compare.reports.answer.scrambling_words import spelled

ADAPTED = "adapted"


def trainings_words(view: RunView, groups: Sequence[Sequence[PipelineView]]) -> str:
    """Return a sentence on how often each was trained, and what smaller gaps are worth."""
    metric = leading_metrics(view)[0]
    repeated = [found for one in view.pipelines if (found := seeds_of(one, metric))]
    if repeated:
        widest = max(repeated, key=lambda one: one.width)
        count = len(widest.values)
        return (
            f"Trainings with {spelled(count)} seeds differed by up to {fixed(widest.width)} in "
            f"{metric_name(metric)}: smaller gaps rank nothing."
        )
    spreads = [found for group in groups if (found := _of_cipher(group, metric))]
    if spreads:
        widest = max(spreads, key=lambda one: one.width)
        return (
            f"One training each; {spelled(len(widest.values))} trainings of one cipher differed by "
            f"{fixed(widest.width)} in {metric_name(metric)}: smaller gaps rank nothing."
        )
    return "One training each: how far repeated trainings differ was not measured."


def _of_cipher(group: Sequence[PipelineView], metric: str) -> TrainingSpread | None:
    """Return the spread over set-ups that were trained on ciphertexts of one cipher.

    Equal values are one training under two names (same key, same seed), which shows no spread.
    """
    trained = [one for one in group if one.planned.resolved.get("mode") != ADAPTED]
    values = tuple(value for one in trained if (value := one.value(metric)) is not None)
    found = TrainingSpread(values) if len(values) > 1 else None
    return found if found and found.width > 0 else None
