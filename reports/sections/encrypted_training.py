"""Training under encryption: convergence, and what a refresh of the weights costs."""

from __future__ import annotations

from he_compare.common.run.encrypted_training import EncryptedTraining, encrypted_trainings
from he_compare.common.run.spelling import MISSING, duration, fixed, scientific, significant, size
from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import (
    Block,
    Column,
    Figure,
    Paragraph,
    Row,
    Table,
    inline,
)
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.convergence import convergence_plot, rounds_plot
from he_compare.reports.naming import row_name, short_title
from he_compare.reports.section import ReportSection

COLUMNS = (
    Column("Pipeline", weight=2.0),
    Column("Parameters", weight=1.6),
    Column("Iterations / refreshes", "right", "time after the upload", 1.2),
    Column("Refreshes, both ways", "right", weight=1.0),
    Column("Loss: start, end, optimum", "right", weight=1.3),
    Column("Weights to the twin's", "right", "relative", 1.1),
    Column("Same calls as the optimum", "right", "training rows", 1.1),
    Column("Logits outside the interval", "right", weight=1.0),
)
WORDS = (
    "The server computes on ciphertexts with the evaluation keys alone. The clear twin is the same "
    "arithmetic in floating point: its distance is the noise of CKKS. The distance of both to "
    "scikit-learn's optimum of the same loss is that of the polynomial sigmoid and of the few "
    "iterations."
)
CONVERGENCE = (
    "Loss by iteration: encrypted, clear twin and scikit-learn's optimum; and the relative "
    "difference of the encrypted weights to the twin's at every refresh."
)
ROUNDS = (
    "Between refreshes the server runs as many iterations as its modulus has levels for. A larger "
    "ring needs fewer rounds with the client and more computation: the lines show the whole time "
    "by what each round waits for the client. Computed from the measured seconds and rounds."
)


class EncryptedTrainings(ReportSection):
    """Convergence under encryption, and what each refresh of the weights costs."""

    order = 500
    title = "Training under encryption"
    anchor = "encrypted-training"

    def blocks(self, view: RunView) -> list[Block]:
        """Return figures and table, where a training under encryption was recorded."""
        found = encrypted_trainings(view)
        if not found:
            return []
        table = Table("Trainings under encryption", COLUMNS, _rows(view, found))
        return [Paragraph(inline(WORDS)), *_figures(view, found), table]


def _figures(view: RunView, found: list[EncryptedTraining]) -> list[Figure]:
    ends = [
        f"{short_title(view, one.pipeline)} ends at a loss of {fixed(one.refreshes[-1].loss)}, "
        f"its twin at {fixed(one.refreshes[-1].twin_loss)}"
        for one in found
    ]
    waits = [
        f"{short_title(view, one.pipeline)}: {len(one.refreshes)} refreshes, "
        f"{duration(one.seconds)}"
        for one in found
    ]
    course, rounds = (
        f"Convergence: {'; '.join(ends)}",
        f"Rounds against compute: {'; '.join(waits)}",
    )
    return [
        *drawn(lambda: convergence_plot(view), "convergence", CONVERGENCE, course),
        *drawn(lambda: rounds_plot(view), "rounds", ROUNDS, rounds),
    ]


def _rows(view: RunView, found: list[EncryptedTraining]) -> tuple[Row, ...]:
    rows = []
    for one in found:
        last = one.refreshes[-1]
        losses = [one.start, last.loss, one.optimum]
        outside = sum(refresh.outside for refresh in one.refreshes)
        rows.append(
            Row(
                (
                    row_name(view, one.pipeline, one.pipeline.cells[:1]),
                    inline(one.parameter_set),
                    inline(f"{last.iteration} / {len(one.refreshes)}, {duration(one.seconds)}"),
                    inline(size(one.refresh_bytes)),
                    inline(", ".join(MISSING if x is None else significant(x) for x in losses)),
                    inline(scientific(last.difference)),
                    inline(MISSING if one.same_calls is None else fixed(one.same_calls)),
                    inline(f"{outside:,}"),
                )
            )
        )
    return tuple(rows)


SECTION = EncryptedTrainings()
