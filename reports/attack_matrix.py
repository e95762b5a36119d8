"""The capability matrix as the report shows it: its columns by title, and a cell in words."""

from __future__ import annotations

from he_compare.common.run.capability_matrix import CapabilityMatrix, matrix_of
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.severity import verdict_of
from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import Inline, inline
from he_compare.reports.naming import short_id, short_title


def matrix_of_run(view: RunView) -> CapabilityMatrix:
    """Return the outcomes of a run as a matrix, its pipelines in their order."""
    return matrix_of(view.outcomes, list(view.by_label))


def columns(view: RunView, matrix: CapabilityMatrix) -> list[tuple[str, str]]:
    """Return (target, shown name) of every column."""
    titles = {label: short_title(view, one) for label, one in view.by_label.items()}
    return [(target, titles.get(target, target)) for target in matrix.targets]


def cell_words(outcome: AttackOutcome | None) -> Inline:
    """Spell one cell: verdict, advantage with its interval, and its record."""
    if outcome is None:
        return inline("—")
    words = verdict_of(outcome)
    if outcome.advantage is not None:
        words += f" {outcome.advantage:.2f}"
        interval = outcome.advantage_interval
        if interval is not None:
            words += f" [{interval.low:.2f}, {interval.high:.2f}]"
    if outcome.verdict in ("not applicable", "unreadable"):
        return inline(words)
    return inline(words, " ", short_id(outcome.identity))
