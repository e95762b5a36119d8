"""Encrypted training in short: what it cost in accuracy, where the loss ended, and why."""

from __future__ import annotations

import math

from he_compare.common.run.encrypted_training import EncryptedTraining, encrypted_trainings
from he_compare.common.run.leading import leading_metrics, leading_titles
from he_compare.common.run.records import PairedDifference
from he_compare.common.run.spelling import MISSING, bracket, fixed, scientific, significant
from he_compare.common.run.twin_words import no_twin_words
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
    Column("Polynomial’s error on the logits met", "right", "of a probability", 1.4),
    Column("On its whole interval", "right", "of a probability", 1.2),
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
    "Twin of this table: the same steps in the clear. The polynomial is that of the last step; its "
    "error outside the logits met does no harm."
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
        costs = " ".join(_cost_words(view, one) for one in found)
        courses = " ".join(course_words(short_title(view, one.pipeline), one) for one in found)
        ends = "; ".join(
            f"{short_title(view, one.pipeline)} ends at {fixed(one.stretches[-1].loss, 4)}, its "
            f"twin at {fixed(one.stretches[-1].twin_loss, 4)}"
            for one in found
        )
        figure = drawn(lambda: learning_plot(view), "encrypted-learning", FIGURE, f"Loss: {ends}")
        rows = tuple(Row(_cells(view, one)) for one in found)
        table = Table(
            "Encrypted training against the same steps in the clear", COLUMNS, rows, inline(NOTE)
        )
        return [Paragraph(inline(f"{costs} {ANSWER} {courses} {ALONE}")), *figure, table]


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
        *[inline(words) for words in _polynomial(one)],
    )


def _polynomial(one: EncryptedTraining) -> tuple[str, str]:
    """Return its error up to the largest logit that was met, and up to the end of its interval."""
    polynomial, met = one.polynomial, one.largest_logit
    if polynomial is None:
        return "not recorded", "not recorded"
    whole = f"{fixed(polynomial.largest_error(polynomial.interval))} up to {polynomial.interval:g}"
    if met is None:
        return "logits not recorded", whole
    return f"{fixed(polynomial.largest_error(met))} up to {significant(met, 2)}", whole


def _twin_name(view: RunView, pipeline: PipelineView) -> str:
    twin = view.twin_of(pipeline)
    return short_title(view, twin) if twin else "none"


def _cost_words(view: RunView, one: EncryptedTraining) -> str:
    """Say first what was lost: the differences to the twin, or why there are none."""
    name, missing = short_title(view, one.pipeline), no_twin_words(view, one.pipeline)
    titles = [in_prose(title) for title in leading_titles(view)]
    found_by = [one.pipeline.difference(metric) for metric in leading_metrics(view)]
    gaps = list(zip(titles, found_by, strict=True))
    told = [
        f"{metric} {fixed(found.difference, signed=True)} {bracket(found.interval, signed=True)}"
        for metric, found in gaps
        if found is not None and found.difference is not None
    ]
    if missing or not told:
        return f"{name}: {missing or 'no difference to a twin is stored'}."
    judged = [_judged(metric, found) for metric, found in gaps if found is not None]
    words = (
        ", ".join(filter(None, judged))
        or "no difference is shown, which does not show that there is none"
    )
    twin = _twin_name(view, one.pipeline)
    return f"{name} minus its twin {twin}: {'; '.join(told)}: {words}."


def in_prose(title: str) -> str:
    """Return a heading as it stands inside a sentence: abbreviations keep their capitals."""
    return title if title[:2].isupper() else f"{title[:1].lower()}{title[1:]}"


def _judged(metric: str, found: PairedDifference) -> str:
    interval = found.interval
    if interval is None:
        return ""
    if interval.high < 0:
        return f"a loss in {metric} is shown"
    return f"a gain in {metric} is shown" if interval.low > 0 else ""


SECTION = EncryptedTrainings()
