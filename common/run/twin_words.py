"""What is said of a pipeline's twin: the same model without the protection."""

from __future__ import annotations

from he_compare.common.run.view import PipelineView, RunView


def no_twin_words(view: RunView, pipeline: PipelineView) -> str:
    """Say why there is no difference to a twin; '' where there is one, or nothing to compare."""
    planned = pipeline.planned
    if planned.twin:
        twin = view.by_label.get(planned.twin)
        if twin is None or twin.scores is None:
            return f"its twin {planned.twin} has no scores in this run"
        if pipeline.scores is not None and not (view.scores and view.scores.against_twins):
            return "no difference to its twin is stored: run `compare score` again"
        return ""
    if planned.twin_wanted:
        return f"no twin in this run: add --pipeline '{planned.twin_wanted}'"
    return "its pipeline names no twin" if pipeline.protected else ""
