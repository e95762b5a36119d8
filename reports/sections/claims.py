"""What each pipeline claims: a row to compare, then the whole claim for the reviewer."""

from __future__ import annotations

from common.records import KeySpace, SecurityClaims
from reports.document import Code, Column, Inline, Paragraph, Row, Section, Table, inline
from reports.numbers import significant
from reports.sections.boundary import scheme_name
from reports.sections.compared import parameters
from reports.sections.tables import blanks, grouped
from reports.view import PipelineView, RunView

COLUMNS = (
    Column("Pipeline", weight=2.2),
    Column("Scheme", weight=1.4),
    Column("Ground of the claim", weight=1.9),
    Column("Key space", "right", "bits, nominal / effective", 1.4),
    Column("Equal input, equal ciphertext", weight=1.3),
)
WORDS = (
    "A claim is what the scheme's author or a standard states, so no row below is a finding; what "
    "attacks found stands in the section on security."
)
DETERMINISTIC = {True: "yes", False: "no", None: "not stated"}


def sections(view: RunView) -> list[Section]:
    """Return the claims side by side and in full."""
    rows = tuple(Row(_cells(view, pipeline)) for pipeline in view.pipelines)
    note = inline(
        "Nominal: log2 of the number of keys. Effective: as the pipeline states it, never above "
        "the entropy of the source its key is derived from."
    )
    whole = (Column("Question", weight=1.2), Column("What the pipeline states", weight=5.4))
    blocks = (
        Paragraph(inline(WORDS)),
        Table("Claims side by side", COLUMNS, rows, note),
        Table("Claims in full", whole, grouped(view, _rows)),
    )
    return [Section("Claims", 2, "claims", blocks)]


def _cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = view.row_name(pipeline, pipeline.cells[:1])
    claims = pipeline.claims
    if claims is None:
        return (name, *blanks(pipeline, 4))
    return (
        name,
        inline(scheme_name(claims)),
        inline(claims.claim_type),
        inline(_bits(claims.key_space)),
        inline(DETERMINISTIC[claims.deterministic]),
    )


def _rows(pipeline: PipelineView) -> list[Row]:
    """Return one row a stated fact; what is not stated has no row."""
    claims = pipeline.claims
    if claims is None:
        return []
    facts = [(name, inline(text)) for name, text in _facts(claims) if text]
    if claims.key_fingerprint:
        facts.append(("Key", inline(Code(claims.key_fingerprint))))
    return [Row((inline(name), text)) for name, text in facts]


def _facts(claims: SecurityClaims) -> tuple[tuple[str, str], ...]:
    return (
        ("Scheme", claims.scheme),
        ("Hides", claims.protects),
        ("Rests on", claims.assumption),
        ("Enforced by", claims.enforced_by),
        ("Ciphertext keeps", "; ".join(claims.preserves)),
        ("Must not be used", "; ".join(claims.insecure)),
        ("Parameters", parameters(claims.parameters) if claims.parameters else ""),
        ("Source", claims.source),
    )


def _bits(space: KeySpace | None) -> str:
    if space is None:
        return "no key"
    nominal = "continuous" if space.nominal_bits is None else _spell(space.nominal_bits)
    return f"{nominal} / {_spell(space.effective_bits)}"


def _spell(bits: float) -> str:
    return f"{bits:,.0f}" if bits >= 10 else significant(bits)
