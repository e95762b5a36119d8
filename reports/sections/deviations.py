"""Deviations from a full, clean, published run; what was not run; how to repeat it.

Each deviation is found by a rule. What was not run stands once, by its reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.outcomes import by_reason
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.server_places import server_place_words
from he_compare.common.run.view import RunView
from he_compare.reports.cards import Rule, found_by, numbered
from he_compare.reports.cell_rules import CELL_RULES, LAST_RULES, insecure_instances
from he_compare.reports.data_rules import DATA_RULES
from he_compare.reports.document.nodes import (
    Column,
    FindingCard,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.host_rules import host_findings
from he_compare.reports.repeat import repeat_blocks
from he_compare.reports.section import ReportSection

RULES: tuple[Rule, ...] = (insecure_instances, *DATA_RULES, *CELL_RULES, host_findings, *LAST_RULES)
WORDS = (
    "Found by rules in the records. fail: do not use the numbers for the purpose named; warn: read "
    "them with this in mind; unknown: not measured."
)
NOT_RUN = "“Not run” is not a pass: nothing is known of it."


def deviation_cards(view: RunView) -> list[FindingCard]:
    """Return every deviation of a run, in the order of the rules."""
    return found_by(RULES, view)


class Deviations(ReportSection):
    """Each departure from a full, clean, published run, what was not run, and how to repeat it."""

    order = 800
    title = "Deviations, not run, repeat"

    def sections(self, view: RunView) -> list[Section]:
        """Return the three; the last is always there."""
        found = numbered("D", deviation_cards(view))
        words = Paragraph(inline(WORDS if found else "The rules found no deviation."))
        where = server_place_words(view)
        places = [Paragraph(inline(where))] if where else []
        return [
            Section(self.title, 1, "deviations", (words, *found, *places)),
            *_not_run(view),
            Section("Repeat this run", 2, "reproduce", repeat_blocks(view)),
        ]


def _not_run(view: RunView) -> list[Section]:
    """Return what was not run, one row a reason."""
    rows = [
        Row(
            (
                inline(f"{reason[:1].upper()}{reason[1:]}" or "No reason recorded"),
                inline(_attacks_named(outcomes)),
                inline(str(len(outcomes))),
            )
        )
        for reason, outcomes in by_reason(view, "not run").items()
    ]
    if not rows:
        return []
    columns = (
        Column("Reason", weight=2.4),
        Column("Attacks", weight=3.4),
        Column("Outcomes missing", "right", "n", 0.8),
    )
    return [Section("Not run", 2, "not-run", (Table(NOT_RUN, columns, tuple(rows)),))]


def _attacks_named(outcomes: Sequence[AttackOutcome]) -> str:
    """Name the attacks, each once: the targets are in attacks.jsonl."""
    return "; ".join(dict.fromkeys(one.title for one in outcomes))


SECTION = Deviations()
