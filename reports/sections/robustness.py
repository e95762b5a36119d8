"""Transmission errors: what became of messages with flipped bits, in three outcomes."""

from __future__ import annotations

from he_compare.common.run.disturbed import FLIPPED_BITS, curve_of, first_below_half, shares_of
from he_compare.common.run.records import RobustnessCurve
from he_compare.common.run.spelling import fixed
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import Block, Bullets, Figure, Paragraph, inline
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.robustness import robustness_plot, shown_disturbed, spell_level
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection

INTRODUCTION = (
    "Bits of messages were flipped after the hospital protected them and before the server "
    "computed; nothing was repaired. This measures tolerance to transmission errors, not secrecy: "
    "a cipher in which a change does not spread can be tolerant because it hides little. Over TLS "
    "none of this happens: it refuses a message with one wrong bit before the server sees it."
)
CAPTION = (
    "What became of messages with flipped bits. Right: answered with the true class. Refused: the "
    "server refused the message, or its reply could not be read or had implausible scores. Wrong: "
    "answered with another class, and nobody noticed; at 0 these are the classifier's own errors. "
    "Counts, intervals and other disturbances "
    "are in the appendix."
)


class Robustness(ReportSection):
    """How transmission errors show: in refused messages, or in wrong answers."""

    order = 760
    title = "Transmission errors"
    anchor = "robustness"

    def blocks(self, view: RunView) -> list[Block]:
        """Return the answer and one figure; nothing where no message was disturbed."""
        if not any(one.robustness_curves for one in view.pipelines):
            return []
        shown = shown_disturbed(view)
        by_words: dict[str, list[str]] = {}
        for one in shown:
            if told_of := _said(one):
                words, numbers = told_of
                by_words.setdefault(words, []).append(f"{short_title(view, one)} {numbers}")
        said = tuple(inline(f"{words}: {'; '.join(found)}.") for words, found in by_words.items())
        told = [Bullets(said)] if said else []
        return [Paragraph(inline(INTRODUCTION)), *told, *_figure(view, shown)]


def _said(pipeline: PipelineView) -> tuple[str, str] | None:
    """Return what is to be said of a curve and the shares that show it; None of unprotected."""
    curve = curve_of(pipeline, FLIPPED_BITS)
    if curve is None or not curve.points or not pipeline.protected:
        return None
    point = first_below_half(curve)
    if point is None:
        point = curve.points[-1]
        words = "At least half of the messages were answered right at every strength. At "
        words += spell_level(point.level)
    else:
        words = f"From a share of {spell_level(point.level)} of flipped bits on, fewer than half "
        words += "were answered right. There"
    right, refused, wrong = (fixed(share, 2) for share in shares_of(point))
    return words, f"right {right}, refused {refused}, wrong {wrong}"


def _figure(view: RunView, shown: list[PipelineView]) -> list[Figure]:
    ends = [
        f"{short_title(view, one)}: {_ends(curve)}"
        for one in shown
        if (curve := curve_of(one, FLIPPED_BITS)) is not None and curve.points
    ]
    alt = "Shares of messages answered right, refused and answered wrong, by share of flipped bits."
    return drawn(lambda: robustness_plot(view), "robustness", CAPTION, f"{alt} {'; '.join(ends)}.")


def _ends(curve: RobustnessCurve) -> str:
    """Say in words where a curve begins and ends."""
    said = []
    for point in (curve.points[0], curve.points[-1]):
        right, refused, wrong = (fixed(share, 2) for share in shares_of(point))
        said.append(
            f"at {spell_level(point.level)} right {right}, refused {refused}, wrong {wrong}"
        )
    return ", ".join(said)


SECTION = Robustness()
