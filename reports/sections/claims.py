"""The claims in full: side by side, verdicts of tables, statements, parameters in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from he_compare.common.run.lattice_words import (
    distance_to_limit,
    estimates_of,
    kind_of_key,
    lowest_bits,
)
from he_compare.common.run.records import LatticeFacts, SecurityClaims
from he_compare.common.run.spelling import scientific, significant
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.claim_parameters import (
    LONGEST_STATEMENT,
    TOLD_OF_LATTICES,
    named_values,
    value_in_words,
)
from he_compare.reports.document.nodes import (
    Break,
    Code,
    Column,
    Inline,
    Paragraph,
    Row,
    Section,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.naming import full_title, row_name, scheme_name
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import blanks

CLAIM_COLUMNS = (
    Column("Pipeline", weight=2.2),
    Column("Scheme", weight=1.4),
    Column("Ground of the claim", weight=1.9),
    Column("Key space, or estimated cost of attack", "right", "bits", 1.6),
    Column("Deterministic", weight=1.3),
)
LATTICE = (
    Column("Pipeline", weight=1.2),
    Column("Kind of key, parameter set", weight=1.5),
    Column("Verdicts of the tables", weight=1.9),
    Column("Precision", weight=1.6),
)
PRECISION = inline(
    "Precision is that of the predicted error at five standard deviations; for measured errors see "
    "“Accuracy”. For estimates, and how far a modulus is from the limit, see “Encryption”."
)
FULL_COLUMNS = (Column("Question", weight=1.2), Column("What the pipeline states", weight=5.4))
PARAMETERS = (
    Column("Parameter", weight=1.9),
    Column("Value", weight=2.6),
    Column("What it means", weight=2.1),
)
CLAIMS = (
    "A claim is what the scheme's author or a standard states. It is stated, not tested: no row "
    "below is a finding or a pass."
)
DETERMINISTIC = {True: "yes", False: "no", None: "not stated"}


class ClaimsInFull(ReportSection):
    """What each pipeline states about itself."""

    order = 1200

    def sections(self, view: RunView) -> list[Section]:
        """Return the claims side by side, then verdicts, statements and parameters."""
        return [
            Section(
                "Claims in full", 1, "claims", (Paragraph(inline(CLAIMS)), _side_by_side(view))
            ),
            Section(
                "Statements and parameters",
                2,
                "statements",
                (
                    *_verdicts(view),
                    Table("What each pipeline states", FULL_COLUMNS, _alike(view, _full_rows)),
                    *_parameters(view),
                ),
            ),
        ]


def _alike(
    view: RunView, rows_of: Callable[[PipelineView], list[Row]]
) -> tuple[Row | SpanRow, ...]:
    """Return rows under a head that names every pipeline of which the same is stated."""
    groups: dict[tuple[Row, ...], list[PipelineView]] = {}
    for pipeline in view.pipelines:
        groups.setdefault(tuple(rows_of(pipeline)), []).append(pipeline)
    found: list[Row | SpanRow] = []
    for rows, pipelines in groups.items():
        names = "; ".join(full_title(view, one) for one in pipelines)
        found += [SpanRow(inline(names if rows else f"{names}: nothing recorded")), *rows]
    return tuple(found)


def _parameters(view: RunView) -> list[Table]:
    rows = _alike(view, _parameter_rows)
    if not any(isinstance(row, Row) for row in rows):
        return []
    return [Table("Parameters of the schemes", PARAMETERS, rows)]


def _parameter_rows(pipeline: PipelineView) -> list[Row]:
    claims = pipeline.claims
    if claims is None:
        return []
    told = TOLD_OF_LATTICES if claims.lattice else frozenset()
    found = named_values(claims.parameters, told | {"not_claimed"})
    return [Row((inline(one.name), inline(one.value), inline(one.meaning))) for one in found]


def _side_by_side(view: RunView) -> Table:
    rows = tuple(Row(_claim_cells(view, pipeline)) for pipeline in view.pipelines)
    note = inline(
        "Key space, nominal / effective: log2 of the number of keys, and that limited by the "
        "entropy of the source they are derived from. A lattice scheme's keys are never counted: "
        "its bits are estimates of the cost of an attack, for the weakest of its keys, the lowest "
        "first. “Deterministic” is stated, too; what was executed is under “Stated or executed”."
    )
    return Table("Claims side by side", CLAIM_COLUMNS, rows, note)


def _claim_cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = row_name(view, pipeline, pipeline.cells[:1])
    claims = pipeline.claims
    if claims is None:
        return (name, *blanks(pipeline, 4))
    if pipeline.no_server:
        shown = ("no server", "none: nothing is sent", "no key", "no ciphertext")
        return (name, *[inline(words) for words in shown])
    return (
        name,
        inline(scheme_name(claims)),
        inline(claims.claim_type),
        inline(_bits(claims)),
        inline(DETERMINISTIC[claims.deterministic]),
    )


def _full_rows(pipeline: PipelineView) -> list[Row]:
    """Return one row per stated fact; what is not stated has no row."""
    claims = pipeline.claims
    if claims is None:
        return []
    if pipeline.no_server:
        return [Row((inline("Claims nothing"), inline(claims.protects)))]
    facts = [(name, inline(text)) for name, text in _facts(claims) if text]
    if claims.key_fingerprint:
        facts.append(("Key", inline(Code(claims.key_fingerprint))))
    return [Row((inline(name), text)) for name, text in facts]


def _facts(claims: SecurityClaims) -> tuple[tuple[str, str], ...]:
    return (
        ("Scheme", claims.scheme),
        ("Hides", "nothing is claimed" if claims.claim_type == "none" else claims.protects),
        ("Rests on", claims.assumption),
        ("Enforced by", claims.enforced_by),
        ("Ciphertext keeps", "; ".join(claims.preserves)),
        ("Must not be used", "; ".join(claims.insecure)),
        ("Not claimed", _not_claimed(claims)),
        ("Source", claims.source),
    )


def _not_claimed(claims: SecurityClaims) -> str:
    stated = claims.parameters.get("not_claimed")
    return value_in_words(stated, longest=LONGEST_STATEMENT, between="; ") if stated else ""


def _verdicts(view: RunView) -> list[Table]:
    """Return what tables say of every kind of key, and its precision."""
    rows = tuple(
        Row(_verdict_cells(view, pipeline, facts))
        for pipeline in view.pipelines
        if pipeline.claims
        for facts in pipeline.claims.lattice
    )
    if not rows:
        return []
    return [Table("Verdicts of two tables, and precision", LATTICE, rows, PRECISION)]


def _verdict_cells(
    view: RunView, pipeline: PipelineView, facts: LatticeFacts
) -> tuple[Inline, ...]:
    verdicts = "; ".join(f"{table}: {judged}" for table, judged in facts.verdicts.items())
    return (
        row_name(view, pipeline, pipeline.cells[:1]),
        inline(kind_of_key(facts), Break(), facts.name),
        inline(verdicts or distance_to_limit(facts)),
        inline(_precision(facts)),
    )


def _precision(facts: LatticeFacts) -> str:
    if facts.failure_probability is not None:
        wrong = scientific(facts.failure_probability)
        return f"{facts.precision}; a result is wrong with probability {wrong}"
    if facts.precision_bits is None:
        return facts.precision
    return f"{facts.precision}; {facts.precision_of} to {facts.precision_bits:.1f} bits"


def _bits(claims: SecurityClaims) -> str:
    if claims.lattice:
        return _estimated(claims.lattice)
    space = claims.key_space
    if space is None:
        return "no key" if claims.claim_type == "none" else "not stated"
    nominal = "continuous" if space.nominal_bits is None else _spell(space.nominal_bits)
    return f"{nominal} / {_spell(space.effective_bits)}"


def _estimated(lattice: Sequence[LatticeFacts]) -> str:
    """Return the lowest estimate of all keys and the highest of the same key, with their models."""
    weakest = min(lattice, key=lowest_bits)
    found = estimates_of(weakest)
    if not found:
        return "not estimated"
    (model, low), (other, high) = found[0], found[-1]
    if len(found) == 1:
        return f"{low:.1f}, estimated: {model}"
    return f"estimated: {low:.1f}, {model}, to {high:.1f}, {other}"


def _spell(bits: float) -> str:
    return f"{bits:,.0f}" if bits >= 10 else significant(bits)


SECTION = ClaimsInFull()
