"""The hospital alone: what the same work costs without a server, and why one is used anyway."""

from __future__ import annotations

from he_compare.common.run.encrypted_training import encrypted_trainings
from he_compare.common.run.spelling import MISSING, kilobytes, megabytes, milliseconds, significant
from he_compare.common.run.timing import fit_seconds, latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Side
from he_compare.reports.document.nodes import (
    Block,
    Bullets,
    Column,
    Inline,
    Paragraph,
    Row,
    Table,
    inline,
)
from he_compare.reports.naming import row_name, short_title
from he_compare.reports.section import ReportSection
from he_compare.reports.tables import blanks

COLUMNS = (
    Column("Pipeline", weight=2.2),
    Column("Server", weight=0.8),
    Column("Training", "right", "s, once"),
    Column("One image, p50", "right", "ms"),
    Column("of which the hospital's own work", "right", "ms", 1.3),
    Column("Up + down", "right", "kB/image"),
    Column("Public material", "right", "MB, once"),
)
NOTE = (
    "Training: on all sides, transport left out, with what was made before and used again at the "
    "price of making it; what runs first also loads the libraries. The hospital's own work: the "
    "sum of the client's stages, as in the table of latencies. Bytes: as in “Bytes on the wire”."
)
INTRODUCTION = (
    "nothing leaves the hospital: no server was started for it and no message was sent. "
    "So there is nothing to attack and nothing to protect from a server; “n/a” in the tables of "
    "attacks says that and no more: it is neither a pass nor a verdict. Where features are "
    "encrypted, as in MedBlindTuner, the hospital runs the whole network in any case, and the "
    "server evaluates or trains the last layer alone: one weight for each feature and a bias, for "
    "each class. The hospital can train and evaluate that layer by itself: this row does."
)
WHY_A_SERVER = (
    "A server is used all the same where the head belongs to somebody else, who does not give it "
    "away; where features or labels of several owners are joined; where the head is sold as a "
    "service, by the image; or where the hospital has no machine for the network. The last is no "
    "reason for a pipeline whose client runs the network itself, as those on features do."
)
NOT_FOR_TRAINING = (
    "None of these is a reason for training on ciphertexts as it runs here: one hospital uploads "
    "its own features and labels, runs the network itself, and gets the head."
)
NOT_GIVEN = (
    "What it does not give: a model that the hospital does not have, more data than its own, and "
    "protection of its own machines: whoever breaks into them has images, network and head in the "
    "clear. All of that was outside what attacks on a server test, and was not tested."
)


class WithoutServer(ReportSection):
    """The same work without a server, beside the pipelines that have one."""

    order = 630
    level = 2
    title = "Hospital alone"
    anchor = "hospital-alone"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the comparison and its limits; nothing where every pipeline has a server."""
        alone = [short_title(view, one) for one in view.pipelines if one.no_server]
        if not alone:
            return []
        why = [WHY_A_SERVER, *[NOT_FOR_TRAINING] * bool(encrypted_trainings(view)), NOT_GIVEN]
        said = tuple(inline(words) for words in why)
        return [
            Paragraph(inline(f"{', '.join(alone)}: {INTRODUCTION}")),
            Bullets(said),
            _table(view),
        ]


def _table(view: RunView) -> Table:
    rows = tuple(Row(_cells(view, pipeline)) for pipeline in view.pipelines)
    return Table("The same work with and without a server", COLUMNS, rows, inline(NOTE))


def _cells(view: RunView, pipeline: PipelineView) -> tuple[Inline, ...]:
    name = row_name(view, pipeline, pipeline.cells[:1])
    record = pipeline.measured
    if record is None:
        return (name, *blanks(pipeline, len(COLUMNS) - 1))
    training, latency = fit_seconds(pipeline), latency_of(pipeline)
    own = latency.sides.get(Side.CLIENT) if latency else None
    moved, sent = pipeline.bytes_per_image, record.traffic
    cells = (
        "none" if pipeline.no_server else "yes",
        MISSING if training is None else significant(training),
        milliseconds(latency.total.p50) if latency else MISSING,
        milliseconds(own.p50) if own else MISSING,
        kilobytes(sum(moved)) if moved else MISSING,
        megabytes(sent.public_material_bytes) if sent else MISSING,
    )
    return (name, *[inline(cell) for cell in cells])


SECTION = WithoutServer()
