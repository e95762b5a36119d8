"""The trust boundary as a table: who holds what on which side, and how many bytes cross."""

from __future__ import annotations

from he_compare.common.run.encrypted_training import encrypted_training_of
from he_compare.common.run.records import SecurityClaims
from he_compare.common.run.server_places import wire_is_loopback, wire_words
from he_compare.common.run.spelling import MISSING, size
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import (
    Block,
    Code,
    Column,
    Inline,
    Paragraph,
    Row,
    Table,
    inline,
)
from he_compare.reports.naming import row_name, scheme_name
from he_compare.reports.section import ReportSection

BOUNDARY_COLUMNS = (
    Column("Pipeline", weight=1.6),
    Column("Client holds", weight=1.4),
    Column("→ sent to the server", weight=1.4),
    Column("Server holds and learns", weight=3.2),
    Column("← sent back", weight=0.9),
)
# What a pipeline without a claim states to keep where images travel as they are.
UNCHANGED = frozenset({"everything", "the image"})
BOUNDARY = (
    "Client and server exchange bytes over HTTP. The server is a separate process, started with "
    "the public material only."
)
ON_A_HOST = " It ran on a host: messages went over {way}."


class TrustBoundary(ReportSection):
    """Who holds what."""

    order = 1210
    level = 2
    title = "Trust boundary"
    anchor = "boundary"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the boundary from the client to the server and back."""
        host = "" if wire_is_loopback(view) else ON_A_HOST.format(way=wire_words(view))
        return [Paragraph(inline(f"{BOUNDARY}{host}")), _sides(view)]


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
        as_they_are = not claims.preserves or not UNCHANGED.isdisjoint(claims.preserves)
        return "unprotected images" if as_they_are else f"{claims.scheme} (a control)"
    return f"{scheme_name(claims)} ciphertext"


def _public_material(pipeline: PipelineView, inference: float) -> str:
    """Say what the server was given before the first image: of inference, and of training."""
    training = encrypted_training_of(pipeline)
    if training is None or training.keys_bytes is None:
        return f"public material, {size(inference)}"
    return (
        f"public material: of inference, {size(inference)}; of training, "
        f"{size(training.keys_bytes)} of evaluation keys"
    )


def _server_holds(pipeline: PipelineView, claims: SecurityClaims) -> Inline:
    record = pipeline.measured
    learnt = ", ".join(claims.server_learns)
    parts = [f"learns {learnt}" if learnt else "what it learns is not stated"]
    if record is not None and record.traffic is not None:
        parts.insert(0, _public_material(pipeline, record.traffic.public_material_bytes))
    if record is not None and record.server_pid_separate is False:
        parts.append("ran inside the client's process")
    return inline("; ".join(parts))


SECTION = TrustBoundary()
