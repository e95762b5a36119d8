"""Encrypted training in short: what it cost in accuracy, where the loss ended, and why."""

from __future__ import annotations

import math

from he_compare.common.run.encrypted_training import EncryptedTraining, encrypted_trainings
from he_compare.common.run.spelling import MISSING, bracket, fixed, scientific, significant
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import (
    Block,
    Column,
    Inline,
    Paragraph,
    Row,
    Table,
    inline,
)
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.encrypted_learning import learning_plot
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection

# Below this share of the way from zero weights to the optimum, a gap or a step counts as nothing.
NEGLIGIBLE = 0.01
COLUMNS = (
    Column("Pipeline", weight=1.3),
    Column("Loss at the end: encrypted, twin, optimum", "right", weight=1.5),
    Column("Weights to the twin’s", "right", "relative", 1.0),
    Column("Polynomial’s error", "right", "logits met; whole interval", 1.5),
    Column("Accuracy minus twin", "right", "95%", 1.4),
    Column("AUC minus twin", "right", "95%", 1.4),
)
ANSWER = (
    "The server trained the last layer on ciphertexts, without the secret key. The clear twin "
    "does the same steps in floating point, so encryption’s own error is the difference between "
    "the two; a polynomial in place of the logistic function and few steps are in both."
)
ALONE = (
    "The client computes all features itself and gets the head back, so it could train this layer "
    "alone, without a server."
)
FIGURE = (
    "Left: the loss step by step, of the clear twin and of the encrypted weights where the client "
    "decrypted them. Right: the error of the polynomial; grey: the logits that the training met."
)
NOTE = (
    "Twin of the columns on loss and weights: the same steps in the clear. Twin of the last two "
    "columns: the pipeline named as the twin of this one in “Accuracy”, on the same test images. "
    "The polynomial’s error is that of a probability, for the polynomial of the last step."
)


class EncryptedTrainings(ReportSection):
    """What learning on ciphertexts cost in accuracy."""

    order = 750
    title = "Encrypted training: what it cost in accuracy"
    anchor = "encrypted-training"

    def blocks(self, view: RunView) -> list[Block]:
        """Return words, one figure and one table, where a training under encryption ran."""
        found = encrypted_trainings(view)
        if not found:
            return []
        courses = " ".join(course_words(short_title(view, one.pipeline), one) for one in found)
        ends = "; ".join(
            f"{short_title(view, one.pipeline)} ends at {fixed(one.stretches[-1].loss, 4)}, its "
            f"twin at {fixed(one.stretches[-1].twin_loss, 4)}"
            for one in found
        )
        figure = drawn(lambda: learning_plot(view), "encrypted-learning", FIGURE, f"Loss: {ends}")
        rows = tuple(Row(_cells(view, one)) for one in found)
        table = Table("Encrypted training against its twins", COLUMNS, rows, inline(NOTE))
        return [Paragraph(inline(f"{ANSWER} {courses} {ALONE}")), *figure, table]


def course_words(name: str, training: EncryptedTraining) -> str:
    """Say in a sentence where the loss of the twin ended and whether it was still falling."""
    losses, optimum = training.losses, training.optimum
    if training.start is None or optimum is None or len(losses) < 3:
        return f"{name}: the course of the loss was not recorded step by step."
    way, gap, last = losses[0] - optimum, losses[-1] - optimum, losses[-2] - losses[-1]
    if not all(map(math.isfinite, (way, gap, last))) or way <= 0:
        return f"{name}: the loss diverged."
    steps = f"{len(losses) - 1} recorded points" if not training.steps else _steps(training)
    if gap < NEGLIGIBLE * way:
        return (
            f"{name}: after {steps} the loss is {_small(gap)} above the optimum of the exact "
            f"logistic loss, {100 * gap / way:.2f}% of the way from zero weights."
        )
    if last < NEGLIGIBLE * way:
        return (
            f"{name}: the loss has stopped falling {_small(gap)} above the optimum: more steps of "
            "this kind would not reach it."
        )
    return (
        f"{name}: after {steps} the loss is {_small(gap)} above the optimum and still falling, by "
        f"{_small(last)} in the last step."
    )


def _steps(training: EncryptedTraining) -> str:
    count = training.steps_done
    return f"{count} step{'s' * (count != 1)}"


def _small(value: float) -> str:
    return significant(value, 2)


def _cells(view: RunView, one: EncryptedTraining) -> tuple[Inline, ...]:
    last = one.stretches[-1]
    losses = (last.loss, last.twin_loss, one.optimum)
    return (
        inline(short_title(view, one.pipeline)),
        inline(", ".join(MISSING if x is None else fixed(x, 4) for x in losses)),
        inline(scientific(last.difference)),
        inline(_polynomial(one)),
        inline(_minus_twin(one.pipeline, "accuracy")),
        inline(_minus_twin(one.pipeline, "auc")),
    )


def _polynomial(one: EncryptedTraining) -> str:
    polynomial, met = one.polynomial, one.largest_logit
    if polynomial is None:
        return "not recorded"
    whole = f"{fixed(polynomial.largest_error(polynomial.interval))} up to {polynomial.interval:g}"
    if met is None:
        return f"logits not recorded; {whole}"
    reached = f"{fixed(polynomial.largest_error(met))} up to {significant(met, 2)}"
    return f"{reached}; {whole}"


def _minus_twin(pipeline: PipelineView, metric: str) -> str:
    found = pipeline.difference(metric)
    if found is None or found.difference is None:
        return MISSING
    limits = bracket(found.interval, signed=True)
    return f"{fixed(found.difference, signed=True)} {limits}".strip()


SECTION = EncryptedTrainings()
