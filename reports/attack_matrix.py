"""The outcomes of a run as a matrix, its columns by their titles in a report."""

from __future__ import annotations

from he_compare.common.run.capability_matrix import CapabilityMatrix, matrix_of
from he_compare.common.run.view import RunView
from he_compare.reports.naming import short_title


def matrix_of_run(view: RunView) -> CapabilityMatrix:
    """Return the outcomes of a run as a matrix, its pipelines in their order."""
    return matrix_of(view.outcomes, list(view.by_label))


def columns(view: RunView, matrix: CapabilityMatrix) -> list[tuple[str, str]]:
    """Return (target, shown name) of every column."""
    titles = {label: short_title(view, one) for label, one in view.by_label.items()}
    return [(target, titles.get(target, target)) for target in matrix.targets]
