"""What pipelines and records are called in a report: titles, numbers, and identities that link."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.records import AttackOutcome, RunRecord, SecurityClaims
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Break, Inline, Link, LinkTarget, inline

SHORT_ID = 8
LONGEST_TITLE = 36


def needs_numbers(view: RunView) -> bool:
    """Return whether some label is so long that figures cut it: numbers then tell them apart."""
    return any(len(pipeline.label) > LONGEST_TITLE for pipeline in view.pipelines)


def full_title(view: RunView, pipeline: PipelineView) -> str:
    """Return a pipeline's whole label, with its number where labels are long."""
    return f"P{pipeline.number} {pipeline.label}" if needs_numbers(view) else pipeline.label


def short_title(view: RunView, pipeline: PipelineView) -> str:
    """Return a pipeline's name in prose, rows and figures: cut where it is long."""
    whole = full_title(view, pipeline)
    return whole if len(whole) <= LONGEST_TITLE else whole[: LONGEST_TITLE - 1] + "…"


def row_name(view: RunView, pipeline: PipelineView, records: Sequence[RunRecord]) -> Inline:
    """Return a pipeline's name with the identities of the records its numbers come from."""
    return inline(short_title(view, pipeline), Break(), record_ids(records))


def short_id(identity: str) -> Link:
    """Return the first characters of an identity as a link to its row in the table of records."""
    return Link(identity[:SHORT_ID], f"#{record_anchor(identity)}")


def record_target(identity: str) -> LinkTarget:
    """Return what ``short_id`` leads to; it occurs once in a document, in the table of records."""
    return LinkTarget(identity[:SHORT_ID], record_anchor(identity))


def record_anchor(identity: str) -> str:
    """Return the anchor of a record or of an attack's outcome."""
    return "record-" + "".join(char for char in identity[:SHORT_ID] if char.isalnum())


def record_ids(records: Sequence[RunRecord]) -> Inline:
    """Return the short identity of the first of some records and a count of the rest."""
    if not records:
        return inline("no record")
    rest = f" + {len(records) - 1}" if len(records) > 1 else ""
    return inline(short_id(records[0].identity), rest)


def scheme_name(claims: SecurityClaims) -> str:
    """Return the scheme without what follows its first colon."""
    return claims.scheme.partition(":")[0]


def outcome_ids(outcomes: Sequence[AttackOutcome]) -> Inline:
    """Return the identity of the first outcome, and how many more there are."""
    rest = f" + {len(outcomes) - 1}" if len(outcomes) > 1 else ""
    return inline(short_id(outcomes[0].identity), rest)
