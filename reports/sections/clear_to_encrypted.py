"""From the clear head to the executed scores: what each step of a method costs, step by step."""

from __future__ import annotations

from he_compare.common.run.records import CostRung
from he_compare.common.run.spelling import fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Block, Paragraph, inline
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.step_costs import costs_plot, difference_of, with_rungs
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection
from he_compare.reports.training_tables import costs_table

COSTS = (
    "From the clear head to the executed scores one thing changes at a time, such as the "
    "preparation of the features, the number of steps, a polynomial in place of the sigmoid, "
    "rounding to integers, and last the encryption. Each cost is a paired difference on the same "
    "test images."
)
COSTS_FIGURE = (
    "What each step costs, with 95% intervals, resampled by group: right of 0 is better. A point "
    "is filled where its interval does not reach 0."
)


class StepCosts(ReportSection):
    """Costs of every pipeline whose way from a clear reference is known."""

    order = 1450
    title = "From the clear head to the encrypted scores"
    anchor = "step-costs"

    def blocks(self, view: RunView) -> list[Block]:
        """Return figure and table; nothing where no such way is known."""
        found = with_rungs(view)
        if not found:
            return []
        alt = f"Costs: {'; '.join(_spoken(view, one) for one in found)}"
        figure = drawn(lambda: costs_plot(view), "step-costs", COSTS_FIGURE, alt)
        return [Paragraph(inline(COSTS)), *figure, costs_table(view, found)]


def _spoken(view: RunView, pipeline: PipelineView) -> str:
    steps = [_change(rung) for rung in (pipeline.scores.rungs[1:] if pipeline.scores else [])]
    return f"{short_title(view, pipeline)}: {', '.join(steps) or 'nothing to compare'}"


def _change(rung: CostRung) -> str:
    found = difference_of(rung, "auc")
    if found is None or found.difference is None:
        return f"{rung.cost} not defined"
    return f"{rung.cost} {fixed(found.difference, 4, signed=True)} AUC"


SECTION = StepCosts()
