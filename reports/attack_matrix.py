"""The capability matrix as the report shows it: its columns, its rows, and a cell in words."""

from __future__ import annotations

from he_compare.common.run.outcomes import beyond_claims
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.view import RunView
from he_compare.common.scheme import CONTROLS
from he_compare.common.types import Knowledge
from he_compare.reports.document.nodes import Inline, inline
from he_compare.reports.figures.security import LETTERS
from he_compare.reports.naming import short_id, short_title


def columns(view: RunView) -> list[tuple[str, str]]:
    """Return (target, shown name): the run's pipelines in their order, then the controls."""
    seen = [outcome.target for outcome in view.outcomes]
    pipelines = [(p.label, short_title(view, p)) for p in view.pipelines if p.label in seen]
    known = {target for target, _ in pipelines} | set(CONTROLS)
    others = [(target, target) for target in dict.fromkeys(seen) if target not in known]
    return pipelines + others + [(name, name) for name in CONTROLS if name in seen]


def rows(view: RunView) -> list[tuple[Knowledge, str, str]]:
    """Return (rung, attack, title), from the weakest adversary to the strongest."""
    ladder = list(Knowledge)
    seen = {one.attack: (one.rung, one.attack, one.title) for one in view.outcomes}
    return sorted(seen.values(), key=lambda row: (ladder.index(row[0]), row[2]))


def cell_words(outcome: AttackOutcome | None) -> Inline:
    """Spell one cell: verdict, advantage with its interval, and its record."""
    if outcome is None:
        return inline("—")
    words = LETTERS[outcome.verdict] + (" (not claimed)" if beyond_claims(outcome) else "")
    if outcome.advantage is not None:
        words += f" {outcome.advantage:.2f}"
        interval = outcome.advantage_interval
        if interval is not None:
            words += f" [{interval.low:.2f}, {interval.high:.2f}]"
    if outcome.verdict == "not applicable":
        return inline(words)
    return inline(words, " ", short_id(outcome.identity))
