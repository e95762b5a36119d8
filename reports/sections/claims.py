"""The trust boundary and the claims: who holds what, and what each pipeline states of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from he_compare.common.run.records import LatticeFacts, SecurityClaims
from he_compare.common.run.spelling import MISSING, parameters, significant, size
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import (
    Break,
    Code,
    Column,
    Inline,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.naming import row_name
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import blanks, grouped

BOUNDARY_COLUMNS = (
    Column("Pipeline", weight=1.6),
    Column("Client holds", weight=1.4),
    Column("→ sent to the server", weight=1.4),
    Column("Server holds and learns", weight=3.2),
    Column("← sent back", weight=0.9),
)
CLAIM_COLUMNS = (
    Column("Pipeline", weight=2.2),
    Column("Scheme", weight=1.4),
    Column("Ground of the claim", weight=1.9),
    Column("Key space, or estimated cost of attack", "right", "bits", 1.6),
    Column("Deterministic", weight=1.3),
)
LATTICE_COLUMNS = (
    Column("Pipeline", weight=1.3),
    Column("Used for, set", weight=1.3),
    Column("N / log2 Q", "right", weight=1.1),
    Column("Secret", weight=0.9),
    Column("Verdicts of the tables", weight=2.4),
    Column("Estimate", weight=1.9, unit="bits"),
    Column("Precision", weight=1.5),
)
FULL_COLUMNS = (Column("Question", weight=1.2), Column("What the pipeline states", weight=5.4))
BOUNDARY = (
    "Client and server exchange bytes over HTTP. The server is a separate process, started with "
    "the public material only."
)
CLAIMS = (
    "A claim is what the scheme's author or a standard states, so no row below is a finding. For "
    "what attacks found see Security."
)
DETERMINISTIC = {True: "yes", False: "no", None: "not stated"}


class BoundaryAndClaims(ReportSection):
    """Who holds what on which side, and what each pipeline states about it."""

    order = 300

    def sections(self, view: RunView) -> list[Section]:
        """Return the boundary, then the claims side by side and in full."""
        return [
            Section("Trust boundary", 2, "boundary", (Paragraph(inline(BOUNDARY)), _sides(view))),
            Section(
                "Claims",
                2,
                "claims",
                (
                    Paragraph(inline(CLAIMS)),
                    _side_by_side(view),
                    *_lattice(view),
                    Table("Claims in full", FULL_COLUMNS, grouped(view, _full_rows)),
                ),
            ),
        ]


def _sides(view: RunView) -> Table:
    """Return the boundary as a table from left (client) to right (server) and back."""
    rows = tuple(Row(_boundary_cells(view, pipeline)) for pipeline in view.pipelines)
    note = inline("Bytes are measured on the wire, HTTP headers included.")
    return Table("Who holds what", BOUNDARY_COLUMNS, rows, note)


def _boundary_cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = row_name(view, pipeline, pipeline.cells[:1])
    claims = pipeline.claims
    if claims is None:
        return (name, *[inline(MISSING)] * 4)
    if pipeline.no_server:
        holds = ("images, network and head; no key", "nothing", "there is no server", "nothing")
        return (name, *[inline(words) for words in holds])
    moved = pipeline.bytes_per_image
    return (
        name,
        _client_holds(claims),
        inline(_up(claims), f", {size(moved[0])} per image" if moved else ""),
        _server_holds(pipeline, claims),
        inline(f"reply, {size(moved[1])} per image" if moved else "reply"),
    )


def _client_holds(claims: SecurityClaims) -> Inline:
    if not claims.key_fingerprint and claims.key_space is None:
        return inline("images; no key" if claims.claim_type == "none" else "images; key not stated")
    policy = f", {claims.key_policy.replace('_', ' ')}" if claims.key_policy else ""
    named = inline(" ", Code(claims.key_fingerprint)) if claims.key_fingerprint else ()
    return inline("images, secret key", named, policy)


def _up(claims: SecurityClaims) -> str:
    if claims.claim_type == "none":
        return "unprotected data"
    return f"{_scheme_name(claims)} ciphertext"


def _server_holds(pipeline: PipelineView, claims: SecurityClaims) -> Inline:
    record = pipeline.measured
    learnt = ", ".join(claims.server_learns)
    parts = [f"learns {learnt}" if learnt else "what it learns is not stated"]
    if record is not None and record.traffic is not None:
        parts.insert(0, f"public material, {size(record.traffic.public_material_bytes)}")
    if record is not None and record.server_pid_separate is False:
        parts.append("ran inside the client's process")
    return inline("; ".join(parts))


def _scheme_name(claims: SecurityClaims) -> str:
    """Return the scheme without what follows its first colon."""
    return claims.scheme.partition(":")[0]


def _side_by_side(view: RunView) -> Table:
    rows = tuple(Row(_claim_cells(view, pipeline)) for pipeline in view.pipelines)
    note = inline(
        "Key space, nominal / effective: log2 of the number of keys, and that limited by the "
        "entropy of the source they are derived from. A lattice scheme's keys are never counted: "
        "its bits are the estimated cost of the attack named, for the weakest of its parameters."
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
        inline(_scheme_name(claims)),
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
        ("Hides", claims.protects),
        ("Rests on", claims.assumption),
        ("Enforced by", claims.enforced_by),
        ("Ciphertext keeps", "; ".join(claims.preserves)),
        ("Must not be used", "; ".join(claims.insecure)),
        ("Parameters", parameters(claims.parameters) if claims.parameters else ""),
        ("Source", claims.source),
    )


def _lattice(view: RunView) -> list[Table]:
    """Return the parameters every lattice claim rests on, what tables and estimates say of them."""
    rows = tuple(
        Row(_lattice_cells(view, pipeline, facts))
        for pipeline in view.pipelines
        if pipeline.claims
        for facts in _weakest_of_each(pipeline.claims.lattice)
    )
    if not rows:
        return []
    enforcers = dict.fromkeys(
        f"{facts.scheme}: {facts.enforced_by}."
        for pipeline in view.pipelines
        if pipeline.claims
        for facts in pipeline.claims.lattice
        if facts.enforced_by
    )
    note = (
        "Estimates are log2 of the cost of the attack named under each cost model; models count "
        "different things, so bits of two models cannot be compared. Precision: of the predicted "
        "error at five standard deviations; for measured errors see Accuracy. Enforced by: "
    )
    return [
        Table(
            "Lattice parameters, verdicts and estimates",
            LATTICE_COLUMNS,
            rows,
            inline(note + " ".join(enforcers)),
        )
    ]


def _weakest_of_each(lattice: Sequence[LatticeFacts]) -> list[LatticeFacts]:
    """Return, for each scheme and purpose, the parameters with the smallest estimate."""
    found: dict[tuple[str, str], LatticeFacts] = {}
    for facts in lattice:
        key = (facts.scheme, facts.task)
        if key not in found or _least_bits(facts) < _least_bits(found[key]):
            found[key] = facts
    return list(found.values())


def _least_bits(facts: LatticeFacts) -> float:
    return next(iter(facts.bits.values()), math.inf)


def _lattice_cells(
    view: RunView, pipeline: PipelineView, facts: LatticeFacts
) -> tuple[Inline, ...]:
    verdicts = "; ".join(f"{table}: {judged}" for table, judged in facts.verdicts.items())
    bits = "; ".join(f"{_spell(bits)} {model}" for model, bits in facts.bits.items())
    at_most = "at most " if facts.bits_are_at_most else ""
    return (
        row_name(view, pipeline, pipeline.cells[:1]),
        inline(f"{facts.scheme}, {facts.purpose}", Break(), facts.name),
        inline(f"{facts.dimension:,} / {facts.log2_q:g}"),
        inline(facts.secret_distribution),
        inline(verdicts or "not in the tables: binary secret"),
        inline(f"{facts.attack}: {at_most}{bits or 'out of reach'}"),
        inline(_precision(facts)),
    )


def _precision(facts: LatticeFacts) -> str:
    if facts.failure_probability is not None:
        return f"{facts.precision}; fails with probability {facts.failure_probability:.2g}"
    if facts.precision_bits is None:
        return facts.precision
    return f"{facts.precision}; {facts.precision_of} to {facts.precision_bits:.1f} bits"


def _bits(claims: SecurityClaims) -> str:
    if claims.lattice:
        return _weakest(claims.lattice)
    space = claims.key_space
    if space is None:
        return "no key" if claims.claim_type == "none" else "not stated"
    nominal = "continuous" if space.nominal_bits is None else _spell(space.nominal_bits)
    return f"{nominal} / {_spell(space.effective_bits)}"


def _weakest(lattice: Sequence[LatticeFacts]) -> str:
    """Return the smallest estimate under the first cost model that all of them name."""
    model = next(iter(lattice[0].bits), "")
    found = [facts.bits[model] for facts in lattice if model in facts.bits]
    return f"{_spell(min(found))}, estimated: {model}" if found else "not estimated"


def _spell(bits: float) -> str:
    return f"{bits:,.0f}" if bits >= 10 else significant(bits)


SECTION = BoundaryAndClaims()
