"""The trust boundary: what the client holds, what crosses, what the server holds."""

from __future__ import annotations

from he_compare.common.run.records import SecurityClaims
from he_compare.reports.document.nodes import (
    Code,
    Column,
    Inline,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.numbers import MISSING, size
from he_compare.reports.view import PipelineView, RunView

COLUMNS = (
    Column("Pipeline", weight=1.6),
    Column("Client holds", weight=1.4),
    Column("→ crosses to the server", weight=1.4),
    Column("Server holds and learns", weight=3.2),
    Column("← crosses back", weight=0.9),
)
WORDS = (
    "What crosses between client and server is bytes over HTTP. The server half is a process of "
    "its own, started with the public material only."
)


def sections(view: RunView) -> list[Section]:
    """Return the boundary drawn as a table from left (client) to right (server) and back."""
    rows = tuple(Row(_cells(view, pipeline)) for pipeline in view.pipelines)
    note = inline("Bytes are measured on the wire, HTTP headers included.")
    blocks = (Paragraph(inline(WORDS)), Table("Who holds what", COLUMNS, rows, note))
    return [Section("Trust boundary", 2, "boundary", blocks)]


def _cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = view.row_name(pipeline, pipeline.cells[:1])
    claims = pipeline.claims
    if claims is None:
        return (name, *[inline(MISSING)] * 4)
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
        return inline("images; no key")
    policy = f", {claims.key_policy.replace('_', ' ')}" if claims.key_policy else ""
    named = inline(" ", Code(claims.key_fingerprint)) if claims.key_fingerprint else ()
    return inline("images, secret key", named, policy)


def _up(claims: SecurityClaims) -> str:
    if claims.claim_type == "none":
        return "unprotected data"
    return f"{scheme_name(claims)} ciphertext"


def scheme_name(claims: SecurityClaims) -> str:
    """Return the scheme without what follows its first colon."""
    return claims.scheme.partition(":")[0]


def _server_holds(pipeline: PipelineView, claims: SecurityClaims) -> Inline:
    record = pipeline.measured
    parts = ["learns " + (", ".join(claims.server_learns) or "nothing stated")]
    if record is not None and record.traffic is not None:
        parts.insert(0, f"public material, {size(record.traffic.public_material_bytes)}")
    if record is not None and record.server_pid_separate is False:
        parts.append("ran inside the client's process")
    return inline("; ".join(parts))
