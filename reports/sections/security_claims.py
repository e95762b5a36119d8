"""Each claim beside who enforces it and the strongest attack that was run against it."""

from __future__ import annotations

from he_compare.common.run.outcomes import worst_of
from he_compare.common.run.severity import NOTHING_TO_ATTACK, WORDS
from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import Block, Bold, Column, Row, Table, inline
from he_compare.reports.naming import short_id, short_title
from he_compare.reports.section import ReportSection


class ClaimsAndAttacks(ReportSection):
    """Claims, who enforces them, and the strongest attack."""

    order = 820
    level = 2
    title = "Claims and who enforces them"
    anchor = "security-claims"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the table; nothing where no attack ran."""
        return [_claims(view)] if view.outcomes else []


def _claims(view: RunView) -> Table:
    head = (
        Column("Pipeline", weight=1.9),
        Column("Ground of the claim", weight=1.4),
        Column("Enforced by", weight=2.0),
        Column("Strongest attack", weight=2.3),
    )
    lines = []
    for pipeline in view.pipelines:
        claims = pipeline.claims
        worst = worst_of(view, pipeline)
        strongest = inline("no attack was run: not a pass")
        if worst is not None:
            result = worst.headline or worst.reason
            strongest = inline(
                Bold(WORDS[worst.verdict].short),
                f": {worst.title}; {result} ",
                short_id(worst.identity),
            )
        if pipeline.no_server:
            shown = ("none: nothing is sent", "nothing to enforce", f"n/a: {NOTHING_TO_ATTACK}")
            cells = [inline(words) for words in (short_title(view, pipeline), *shown)]
            lines.append(Row(tuple(cells)))
            continue
        lines.append(
            Row(
                (
                    inline(short_title(view, pipeline)),
                    inline(claims.claim_type if claims else "not recorded"),
                    inline((claims.enforced_by if claims else "") or "not enforced"),
                    strongest,
                )
            )
        )
    note = inline(
        "A claim is what its author or a standard states; the last column is what was run here."
    )
    return Table("Claims, who enforces them, and the strongest attack", head, tuple(lines), note)


SECTION = ClaimsAndAttacks()
