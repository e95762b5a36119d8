"""What each protection changed against its twin on every data set of a study, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from he_compare.common.run.leading import leading_titles
from he_compare.common.run.records import PairedDifference
from he_compare.common.study.study_rules import (
    AUC,
    SHOWN_LOSS,
    difference_state,
    limits_of,
    twin_difference,
)
from he_compare.common.study.study_view import StudiedSet, StudyView
from he_compare.common.visible_text import visible
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.style import (
    BLUE,
    GREY,
    LABEL_WIDTH,
    ORANGE,
    RULE,
    band_rows,
    new_figure,
)

MOST_BESIDE = 4
ROW_INCHES, HEAD_INCHES = 0.235, 0.75
LEAST_REACH = 0.02
TITLE_WIDTH = 24
SMALL = 6.5
MARGIN_SHADE = "#e4eef5"


def draw_study_differences(
    study: StudyView, labels: Sequence[str], kind: str, part: Sequence[StudiedSet]
) -> Figure | None:
    """Draw a panel per data set, a row per protection; None where there is no difference.

    ``kind``: accuracy or auc. All panels share one axis, so that losses compare by eye; the shade
    is the margin, and what lies left of it is a loss that counts.
    """
    found = {
        (one.row.name, label): _difference(one, label, kind) for one in part for label in labels
    }
    known = [one for one in found.values() if one is not None and one.difference is not None]
    if not known:
        return None
    margin = study.record.margins[kind]
    reach = max([LEAST_REACH, 1.2 * margin, *(_reach(one) for one in known)])
    figure = new_figure(HEAD_INCHES + ROW_INCHES * len(labels))
    grid = figure.subplots(1, len(part), sharey=True, squeeze=False)
    for axes, one in zip(grid[0], part, strict=True):
        axes.set_xlim(-1.05 * reach, 1.05 * reach)
        _panel(axes, one, labels, [found[one.row.name, label] for label in labels], kind, margin)
    grid[0][0].set_yticks(range(len(labels)), [wrapped(one, LABEL_WIDTH + 8, 1) for one in labels])
    return figure


def _difference(one: StudiedSet, label: str, kind: str) -> PairedDifference | None:
    """Return a difference with the limits that are told of it; None where there is none."""
    pipeline = one.pipeline(label)
    found = twin_difference(one.view, pipeline, kind) if one.view and pipeline else None
    if found is None or one.view is None or pipeline is None:
        return None
    return found.model_copy(update={"interval": limits_of(one.view, pipeline, kind)})


def _reach(one: PairedDifference) -> float:
    ends = (one.interval.low, one.interval.high) if one.interval else ()
    return max(abs(value) for value in (one.difference or 0.0, *ends))


def _panel(
    axes: Axes,
    one: StudiedSet,
    labels: Sequence[str],
    found: Sequence[PairedDifference | None],
    kind: str,
    margin: float,
) -> None:
    band_rows(axes, len(labels))
    axes.axvspan(-margin, margin, color=MARGIN_SHADE, linewidth=0, zorder=0.5)
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    for row, difference in enumerate(found):
        if difference is None or difference.difference is None:
            words = "not asked for" if labels[row] not in one.row.pipelines else "no result"
            axes.text(0, row, words, fontsize=SMALL, color=GREY, ha="center", va="center")
        else:
            _estimate(axes, row, difference, margin)
    axes.set_title(wrapped(visible(one.title), TITLE_WIDTH, 2))
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="x", labelsize=SMALL)
    axes.set_xlabel(_axis_title(one, kind))


def _axis_title(one: StudiedSet, kind: str) -> str:
    if one.view is None:
        return one.why.partition(":")[0]
    accuracy, auc = leading_titles(one.view)
    return f"{(auc if kind == AUC else accuracy)}\nminus twin"


def _estimate(axes: Axes, row: int, one: PairedDifference, margin: float) -> None:
    """Draw a dot with its interval: filled and orange where a loss is shown, else hollow."""
    lost = difference_state(one, margin) in SHOWN_LOSS
    colour = ORANGE if lost else BLUE
    if one.interval is not None:
        axes.plot([one.interval.low, one.interval.high], [row, row], color=colour, lw=1.5)
    if one.of_trainings:
        axes.plot(one.of_trainings, [row] * len(one.of_trainings), "|", color=GREY, markersize=6)
    face = colour if lost else "white"
    assert one.difference is not None
    axes.plot([one.difference], [row], "o", color=colour, markerfacecolor=face, markersize=4)
