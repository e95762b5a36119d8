"""The trust boundary: what the client holds, what crosses, what the server holds; the claims."""

from __future__ import annotations

from common.records import KeySpace, SecurityClaims
from reports.document import Break, Code, Column, Inline, Paragraph, Row, Section, Table, inline
from reports.numbers import MISSING, significant, size
from reports.sections.compared import parameters
from reports.view import PipelineView, RunView

BOUNDARY = (
    Column("Pipeline", weight=1.9),
    Column("Client holds", weight=1.8),
    Column("→ crosses to the server", weight=2.0),
    Column("Server holds and learns", weight=2.2),
    Column("← crosses back", weight=1.1),
)
CLAIMS = (
    Column("Pipeline", weight=1.9),
    Column("Scheme and what it hides", weight=2.2),
    Column("Ground of the claim", weight=1.8),
    Column("Key space", "right", "bits, nominal / effective", 1.3),
    Column("Equal input, equal ciphertext", weight=1.1),
    Column("Ciphertext keeps", weight=1.5),
)


def sections(view: RunView) -> list[Section]:
    """Return the boundary table and the claims table."""
    return [
        Section(
            "Trust boundary",
            2,
            "boundary",
            (
                Paragraph(
                    inline(
                        "What crosses between client and server is bytes over HTTP. The server "
                        "half is a process of its own, started with the public material only."
                    )
                ),
                Table(
                    "Who holds what",
                    BOUNDARY,
                    tuple(Row(_boundary(view, pipeline)) for pipeline in view.pipelines),
                    inline("Bytes are measured on the wire, HTTP headers included."),
                ),
            ),
        ),
        Section(
            "Claims",
            2,
            "claims",
            (
                Paragraph(
                    inline(
                        "A claim is what the scheme's author or a standard states. No attack was "
                        "run in this version, so no row below is a finding."
                    )
                ),
                Table(
                    "What each pipeline claims",
                    CLAIMS,
                    tuple(Row(_claims(view, pipeline)) for pipeline in view.pipelines),
                    inline(
                        "Nominal: log2 of the number of keys. Effective: as the pipeline states "
                        "it, never above the entropy of the source its key is derived from."
                    ),
                ),
            ),
        ),
    ]


def _boundary(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = view.row_name(pipeline, pipeline.cells[:1])
    claims = pipeline.claims
    if claims is None:
        return (name, *[inline(MISSING)] * 4)
    moved = pipeline.bytes_per_image
    return (
        name,
        _client_holds(claims),
        inline(_up(pipeline, claims), f", {size(moved[0])} per image" if moved else ""),
        _server_holds(pipeline, claims),
        inline(f"reply, {size(moved[1])} per image" if moved else "reply"),
    )


def _client_holds(claims: SecurityClaims) -> Inline:
    if not claims.key_fingerprint and claims.key_space is None:
        return inline("images; no key")
    policy = f", {claims.key_policy.replace('_', ' ')}" if claims.key_policy else ""
    named = inline(" ", Code(claims.key_fingerprint)) if claims.key_fingerprint else ()
    return inline("images, secret key", named, policy)


def _up(pipeline: PipelineView, claims: SecurityClaims) -> str:
    if claims.claim_type == "none":
        return "unprotected data"
    return f"{claims.scheme} ciphertext"


def _server_holds(pipeline: PipelineView, claims: SecurityClaims) -> Inline:
    record = pipeline.measured
    parts = ["learns " + (", ".join(claims.server_learns) or "nothing stated")]
    if record is not None and record.traffic is not None:
        parts.insert(0, f"public material, {size(record.traffic.public_material_bytes)}")
    if record is not None and record.server_pid_separate is False:
        parts.append("ran inside the client's process")
    return inline("; ".join(parts))


def _claims(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = view.row_name(pipeline, pipeline.cells[:1])
    claims = pipeline.claims
    if claims is None:
        return (name, inline("no claims recorded"), *[inline(MISSING)] * 4)
    return (
        name,
        _scheme(claims),
        _ground(claims),
        inline(_bits(claims.key_space)),
        inline({True: "yes", False: "no", None: "not stated"}[claims.deterministic]),
        inline(", ".join(claims.preserves) or "nothing stated"),
    )


def _scheme(claims: SecurityClaims) -> Inline:
    shown = inline(f"{claims.scheme}: {claims.protects}")
    if claims.parameters:
        shown = inline(shown, Break(), parameters(claims.parameters))
    return inline(shown, Break(), f"Source: {claims.source}") if claims.source else shown


def _ground(claims: SecurityClaims) -> Inline:
    parts = [claims.claim_type, claims.assumption, claims.enforced_by]
    return inline("; ".join(part for part in parts if part))


def _bits(space: KeySpace | None) -> str:
    if space is None:
        return "no key"
    nominal = "continuous" if space.nominal_bits is None else _spell(space.nominal_bits)
    return f"{nominal} / {_spell(space.effective_bits)}"


def _spell(bits: float) -> str:
    return f"{bits:,.0f}" if bits >= 10 else significant(bits)
