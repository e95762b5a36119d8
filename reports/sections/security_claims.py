"""Which claims were only stated, and for which something was executed here.

A claim is never a pass: only what was executed, and held, passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from he_compare.common.run.outcomes import outcomes_of
from he_compare.common.run.records import SecurityClaims
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Block, Bold, Column, Inline, Row, Table, inline
from he_compare.reports.naming import short_id, short_title
from he_compare.reports.section import ReportSection

HEAD = (
    Column("What is claimed", weight=1.9),
    Column("Pipelines", weight=1.6),
    Column("Standing", weight=0.9),
    Column("What was executed here", weight=3.4),
)
NOTE = inline(
    "Stated: the pipeline, its author or a standard says so, and nothing was executed here that "
    "could have shown the opposite. Held and failed: of the check named, within its limits."
)
STANDINGS = {"resists within budget": "held", "broken": "failed", "partial": "failed in part"}


@dataclass(frozen=True)
class Claimed:
    """A claim, who makes it, and the check that can contradict it; '': there is none."""

    words: str
    made_by: Callable[[SecurityClaims], bool]
    check: str
    nothing: str


def _hard(claims: SecurityClaims) -> bool:
    return claims.claim_type == "reduction to a hardness assumption"


CLAIMED = (
    Claimed(
        "The problem it rests on is hard",
        _hard,
        "",
        "nothing can be: see the estimates under “Encryption”",
    ),
    Claimed(
        "Weak parameters are refused",
        lambda claims: bool(claims.enforced_by) and _hard(claims),
        "",
        "nothing: no weak parameters were offered in this run",
    ),
    Claimed(
        "Equal images give different ciphertexts",
        lambda claims: claims.deterministic is False and claims.claim_type != "none",
        "freshness",
        "nothing",
    ),
    Claimed("Decrypted results stay with the client", _hard, "decryptions", "nothing"),
    Claimed("The server has no secret key", _hard, "server_state", "nothing"),
)


class StatedOrExecuted(ReportSection):
    """Claims, and what was executed of them."""

    order = 1220
    level = 2
    title = "Stated or executed"
    anchor = "security-claims"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the table; nothing where no pipeline claims any of this."""
        rows = [row for claimed in CLAIMED for row in _rows(view, claimed)]
        return [Table("Which claims were executed", HEAD, tuple(rows), NOTE)] if rows else []


def _rows(view: RunView, claimed: Claimed) -> list[Row]:
    """Return one row per standing and finding, pipelines with the same together."""
    found: dict[tuple[str, Inline], list[PipelineView]] = {}
    for pipeline in view.pipelines:
        if pipeline.claims and not pipeline.no_server and claimed.made_by(pipeline.claims):
            found.setdefault(_standing(view, pipeline, claimed), []).append(pipeline)
    return [
        Row(
            (
                inline(claimed.words),
                inline(", ".join(short_title(view, one) for one in pipelines)),
                inline(Bold(standing)),
                told,
            )
        )
        for (standing, told), pipelines in found.items()
    ]


def _standing(view: RunView, pipeline: PipelineView, claimed: Claimed) -> tuple[str, Inline]:
    for outcome in outcomes_of(view, pipeline):
        if outcome.attack == claimed.check and outcome.verdict in STANDINGS:
            told = inline(f"{outcome.title}: {outcome.headline} ", short_id(outcome.identity))
            return STANDINGS[outcome.verdict], told
    return "stated", inline(claimed.nothing)


SECTION = StatedOrExecuted()
