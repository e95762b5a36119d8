"""On what the encryption's secrecy rests, estimated by whom, and what is not promised."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.common.run.lattice_words import (
    MODELS,
    OTHER_ATTACKS,
    TABLES_ASSUME,
    distance_to_limit,
    estimate_words,
    estimated_by,
    kind_of_key,
    lowest_bits,
    problem_of,
    with_dual_attacks,
)
from he_compare.common.run.not_promised import GAPS, tried
from he_compare.common.run.records import LatticeFacts
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.answer.scrambling_words import HOW_TO_AUDIT
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Break,
    Column,
    Inline,
    Paragraph,
    Row,
    Table,
    inline,
)
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection

KEY_COLUMNS = (
    Column("Kind of key", weight=1.7),
    Column("Problem that has to be hard", weight=2.4),
    Column("Table of 2024 at 128 bits", weight=1.5),
    Column("Estimate, lowest first", weight=2.2, unit="bits"),
)
TRIED_COLUMNS = (
    Column("Not promised", weight=1.4),
    Column("What was tried, and what came out", weight=3.6),
    Column("What to do", weight=1.9),
)
RESTS = (
    "By design the server gets ciphertexts and evaluation keys, never the secret key. Their "
    "secrecy rests on one assumption: that the lattice problems below are hard. No attack that "
    "ran here can show this. The bits are estimates of the cost of an attack, not measurements."
)
HEAD = "head_extraction"
NOTHING_TRIED = (
    "Not promised by these schemes: integrity of replies, secrecy of the key once a decoded reply "
    "is handed out (IND-CPA-D, for CKKS), and secrecy of the head from the client. This run was "
    "not audited, so none of it was tried. To try it,"
)


class Encryption(ReportSection):
    """Parameters by kind of key with estimates, then what is not promised and was tried."""

    order = 700
    title = "Encryption: what its secrecy rests on, and what it does not promise"
    anchor = "encryption"

    def blocks(self, view: RunView) -> list[Block]:
        """Return two tables with what must be said of them; nothing without a lattice."""
        found = _by_kind(view)
        if not found:
            return []
        lattice = [facts for facts, *_ in found]
        by_whom = f"{estimated_by(lattice)} {OTHER_ATTACKS}{with_dual_attacks(lattice)}"
        rows = tuple(_key_row(view, *one) for one in found)
        note = inline(f"{MODELS} {TABLES_ASSUME}")
        keys = Table("Parameters and estimates by kind of key", KEY_COLUMNS, rows, note)
        return [Paragraph(inline(RESTS)), keys, Paragraph(inline(by_whom)), *_gaps(view)]


def _by_kind(view: RunView) -> list[tuple[LatticeFacts, str, list[PipelineView]]]:
    """Return each kind of key once with the pipelines that use it, the lowest estimate first."""
    found: dict[str, tuple[LatticeFacts, str, list[PipelineView]]] = {}
    for pipeline in view.pipelines:
        claims = pipeline.claims
        for facts in claims.lattice if claims else ():
            kind = kind_of_key(facts)
            same = f"{kind}|{problem_of(facts)}|{sorted(facts.bits.items())}"
            users = found.setdefault(same, (facts, kind, []))[2]
            if pipeline not in users:
                users.append(pipeline)
    return sorted(found.values(), key=lambda one: lowest_bits(one[0]))


def _key_row(view: RunView, facts: LatticeFacts, kind: str, pipelines: list[PipelineView]) -> Row:
    names = ", ".join(short_title(view, one) for one in pipelines)
    return Row(
        (
            inline(Bold(names), Break(), kind),
            inline(problem_of(facts)),
            inline(distance_to_limit(facts)),
            _lines([inline(one) for one in estimate_words(facts)]),
        )
    )


def _gaps(view: RunView) -> list[Block]:
    rows = []
    for gap in GAPS:
        told: list[Inline] = []
        for one in tried(view, gap):
            names = ", ".join(short_title(view, pipeline) for pipeline in one.pipelines)
            owners = _owners(one.pipelines) if gap.attack == HEAD else ""
            told.append(inline(Bold(names), f": {one.words}.{owners}"))
        if told:
            rows.append(Row((inline(gap.name), _lines(told), inline(gap.instead))))
    if not rows:
        return [Paragraph(inline(f"{NOTHING_TRIED} {HOW_TO_AUDIT}."))]
    note = inline(
        "These are no breaks of what is claimed: the scheme does not promise them. What was tried "
        "was tried on messages of this pipeline under keys of the audit."
    )
    return [Table("Not promised, and what came of trying", TRIED_COLUMNS, tuple(rows), note)]


def _owners(pipelines: Sequence[PipelineView]) -> str:
    """Say who owns the head: its secrecy from the client is of use only where another does."""
    work = [one.planned.work for one in pipelines]
    owners = dict.fromkeys(one.head_owner for one in work if one is not None and one.head_owner)
    return f" Here the head belongs to {'; or to '.join(owners)}." if owners else ""


def _lines(parts: list[Inline]) -> Inline:
    """Join parts with line breaks."""
    return inline(*[inline(*((Break(),) * (place > 0)), one) for place, one in enumerate(parts)])


SECTION = Encryption()
