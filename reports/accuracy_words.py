"""Sentences on accuracy: what a protection cost against its twin."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.leading import leading_metrics
from he_compare.common.run.protection import is_control_pipeline
from he_compare.common.run.records import PairedDifference
from he_compare.common.run.repeated_trainings import spread_beside
from he_compare.common.run.spelling import bracket, fixed
from he_compare.common.run.twin_words import no_twin_words
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Bold, Content, Inline, inline
from he_compare.reports.figures.accuracy import compared_with_twins, holds_zero, same_answers
from he_compare.reports.metric_tables import title_in
from he_compare.reports.naming import short_title


def lost_words(view: RunView) -> Inline:
    """Say which protections lost accuracy against their twins, and what is not excluded."""
    rows = compared_with_twins(view)
    if not rows:
        return inline("No set-up of this run protects anything, so nothing can be lost to it.")
    known = [one for one in rows if _differences(view, one)]
    lost = [one for one in known if any(_is_loss(found) for found in _differences(view, one))]
    equal = [one for one in known if one not in lost and same_answers(one)]
    unclear = [one for one in known if one not in lost and one not in equal]
    parts: list[Content] = []
    for one in lost:
        parts += [Bold(short_title(view, one)), f" lost {_losses(view, one)}. "]
    if equal:
        n = f"{view.n_test:,} of {view.n_test:,} test images"
        parts += [*_named(view, equal), f": right or wrong as the twin is, on {n}. "]
    if unclear:
        room = f": no loss against the twin is shown; {_worst(view, unclear)}. "
        parts += [*_named(view, unclear), room]
    for one in [one for one in rows if one not in known and one.scores]:
        why = no_twin_words(view, one) or "no difference to its twin is stored"
        parts += [Bold(short_title(view, one)), f": {why}. "]
    return inline(*parts) if parts else inline("No set-up could be compared with its twin.")


def control_words(view: RunView) -> str:
    """Say how the controls did against the same model: one protects nothing, one sends nothing."""
    parts = []
    for pipeline in filter(is_control_pipeline, view.pipelines):
        found = _differences(view, pipeline)[:1]
        for one in found:
            name = _in_prose(title_in(view, one.metric))
            gap = fixed(one.difference or 0.0, signed=True)
            shown = f"{gap} {bracket(one.interval, signed=True)}".rstrip()
            if spread := spread_beside(one, signed=True):
                shown += f" ({spread})"
            value = fixed(pipeline.value(one.metric) or 0.0)
            parts.append(f"{short_title(view, pipeline)} {name} {value}, minus its twin {shown}")
    return f"Controls: {'; '.join(parts)}." if parts else ""


def _named(view: RunView, pipelines: Sequence[PipelineView]) -> list[Content]:
    parts: list[Content] = []
    for position, one in enumerate(pipelines):
        parts += [", " if position else "", Bold(short_title(view, one))]
    return parts


def _differences(view: RunView, pipeline: PipelineView) -> list[PairedDifference]:
    """Return the differences to the twin in the leading metrics, where they have a value."""
    found = [pipeline.difference(name) for name in leading_metrics(view)]
    return [one for one in found if one is not None and one.difference is not None]


def _is_loss(one: PairedDifference) -> bool:
    return not holds_zero(one) and one.difference is not None and one.difference < 0


def _losses(view: RunView, pipeline: PipelineView) -> str:
    parts = []
    for one in _differences(view, pipeline):
        if _is_loss(one) and one.difference is not None:
            name = _in_prose(title_in(view, one.metric))
            lost = f"{fixed(one.difference, signed=True)} {bracket(one.interval, signed=True)}"
            spread = spread_beside(one, signed=True)
            parts.append(f"{name} ({lost}{spread and f', {spread}'})")
    return " and ".join(parts)


def _worst(view: RunView, pipelines: Sequence[PipelineView]) -> str:
    """Say the largest loss that no interval excludes, of each pipeline."""
    told = []
    for pipeline in pipelines:
        ends = [(one.interval.low, one) for one in _differences(view, pipeline) if one.interval]
        if not ends:
            continue
        low, one = min(ends, key=lambda end: end[0])
        if low < 0:
            where = _in_prose(title_in(view, one.metric))
            told.append((short_title(view, pipeline), f"{fixed(-low)} ({where})"))
    if told:
        room = [shown if len(pipelines) == 1 else f"{shown} with {name}" for name, shown in told]
        return f"the intervals leave room for a loss of up to {', '.join(room)}"
    known = any(one.interval for each in pipelines for one in _differences(view, each))
    return "nor do the intervals leave room for one" if known else "there are no intervals"


def _in_prose(title: str) -> str:
    """Return a metric's title inside a sentence: abbreviations keep their capitals."""
    return title if title.isupper() else title[:1].lower() + title[1:]
