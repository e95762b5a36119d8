"""Training under encryption: convergence, and what a refresh of the weights costs."""

from __future__ import annotations

from he_compare.common.run.encrypted_training import EncryptedTraining, encrypted_trainings
from he_compare.reports.document.nodes import (
    Block,
    Column,
    Figure,
    Paragraph,
    Row,
    Section,
    Table,
    inline,
)
from he_compare.reports.figures.convergence import convergence_plot, rounds_plot
from he_compare.reports.figures.style import drawing, svg_of
from he_compare.reports.numbers import MISSING, duration, fixed, scientific, significant, size
from he_compare.reports.view import RunView

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
ROUNDS = (
    "Between refreshes the server runs as many iterations as its modulus has levels for. A larger "
    "ring needs fewer rounds with the client and more computation: the lines show the whole time "
    "by what each round waits for the client. Computed from the measured seconds and rounds."
)


def sections(view: RunView) -> list[Section]:
    """Return the section, where a training under encryption was recorded."""
    found = encrypted_trainings(view)
    if not found:
        return []
    blocks: list[Block] = [Paragraph(inline(WORDS)), *_figures(view, found)]
    blocks.append(Table("Trainings under encryption", COLUMNS, _rows(view, found)))
    return [Section("Training under encryption", 1, "encrypted-training", tuple(blocks))]


def _figures(view: RunView, found: list[EncryptedTraining]) -> list[Figure]:
    with drawing():
        course, rounds = convergence_plot(view), rounds_plot(view)
    spoken = "; ".join(
        f"{view.title(one.pipeline)} ends at a loss of {fixed(one.refreshes[-1].loss)}, its twin "
        f"at {fixed(one.refreshes[-1].twin_loss)}"
        for one in found
    )
    waited = "; ".join(
        f"{view.title(one.pipeline)}: {len(one.refreshes)} refreshes, {duration(one.seconds)}"
        for one in found
    )
    caption = (
        "Loss by iteration: encrypted, clear twin and scikit-learn's optimum; and the relative "
        "difference of the encrypted weights to the twin's at every refresh."
    )
    drawn = (
        ("convergence", caption, f"Convergence: {spoken}", course),
        ("rounds", ROUNDS, f"Rounds against compute: {waited}", rounds),
    )
    return [
        Figure(name, words, alt, svg_of(figure))
        for name, words, alt, figure in drawn
        if figure is not None
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
                    view.row_name(one.pipeline, one.pipeline.cells[:1]),
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
