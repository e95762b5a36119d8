"""Forest plot: what each protection changed against the same model without it, with intervals."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from he_compare.common.run.leading import leading_metrics, leading_titles
from he_compare.common.run.protection import is_control_pipeline
from he_compare.common.run.records import PairedDifference
from he_compare.common.run.repeated_trainings import spread_beside
from he_compare.common.run.spelling import bracket, fixed
from he_compare.common.run.twin_words import no_twin_words
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.visible_text import visible
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.style import (
    BLUE,
    GREY,
    LABEL_WIDTH,
    ORANGE,
    RULE,
    band_rows,
    halo,
    new_figure,
)
from he_compare.reports.naming import short_title

ROW_HEIGHT = 0.5
LEAST_REACH = 0.02
LONGEST = 44
NOT_SHOWN = "no difference shown"
SAME = "right on the same images"
SMALL = 6.5


def compared_with_twins(view: RunView) -> list[PipelineView]:
    """Return the pipelines that protect something: those that have a twin, or should.

    Controls protect nothing, and have a sentence of their own.
    """
    return [
        one
        for one in view.pipelines
        if (one.planned.twin_wanted or one.protected) and not is_control_pipeline(one)
    ]


def forest_plot(view: RunView) -> Figure | None:
    """Draw differences to the twins in the two leading metrics; None where there is none."""
    rows = compared_with_twins(view)
    names = leading_metrics(view)
    known = [one.difference(name) for one in rows for name in names]
    if not any(one is not None and one.difference is not None for one in known):
        return None
    reach = max([LEAST_REACH, *(_reach(one) for one in known)])
    figure = new_figure(0.75 + ROW_HEIGHT * len(rows))
    grid = figure.subplots(1, len(names), sharey=True, squeeze=False)
    for axes, name, title in zip(grid[0], names, leading_titles(view), strict=True):
        axes.set_xlim(-1.08 * reach, 1.08 * reach)
        _panel(axes, view, rows, name, f"{title}, n = {view.n_test:,}")
    for row, one in enumerate(rows):
        found = one.difference(names[0])
        if found is None or found.difference is None:
            _say(grid[0][0], row, _why_none(view, one, found))
    labels = [_label(view, one) for one in rows]
    grid[0][0].set_yticks(range(len(labels)), labels)
    return figure


def _label(view: RunView, pipeline: PipelineView) -> str:
    name = wrapped(short_title(view, pipeline), LABEL_WIDTH, 2)
    twin = view.twin_of(pipeline)
    if twin is None:
        return name
    return f"{name}\n{wrapped(f'minus {short_title(view, twin)}', LABEL_WIDTH, 1)}"


def _panel(axes: Axes, view: RunView, rows: list[PipelineView], name: str, title: str) -> None:
    band_rows(axes, len(rows))
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    found = [one.difference(name) for one in rows]
    for row, (pipeline, one) in enumerate(zip(rows, found, strict=True)):
        if one is None or one.difference is None:
            continue
        _estimate(axes, row, one, _none_shown(pipeline, name))
    axes.set_title(title)
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    axes.locator_params(axis="x", nbins=3)
    axes.set_xlabel("minus twin, 95% interval")


def _reach(one: PairedDifference | None) -> float:
    if one is None or one.difference is None:
        return 0.0
    ends = (one.interval.low, one.interval.high) if one.interval else ()
    return max(abs(value) for value in (one.difference, *ends))


def _why_none(view: RunView, pipeline: PipelineView, one: PairedDifference | None) -> str:
    if pipeline.scores is None:
        return pipeline.state if pipeline.state != "ok" else "not scored"
    if one is not None:
        return "not defined on these images"
    return no_twin_words(view, pipeline) or "no difference stored"


def _say(axes: Axes, row: int, words: str) -> None:
    """Write in a row of the first panel, over the whole width of it, why it has no estimate."""
    lines = [visible(line) for line in words.replace(": ", ":\n", 1).split("\n")]
    cut = [line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in lines]
    axes.annotate(
        "\n".join(cut),
        (0.03, row),
        xycoords=("axes fraction", "data"),
        color=GREY,
        ha="left",
        va="center",
        style="italic",
        fontsize=SMALL,
        annotation_clip=False,
        path_effects=halo(),
    )


def same_answers(pipeline: PipelineView) -> bool:
    """Say whether a pipeline and its twin are right and wrong on the same images."""
    found = pipeline.difference("accuracy")
    return found is not None and found.discordant == (0, 0)


def _none_shown(pipeline: PipelineView, name: str) -> str:
    """Say what an interval that holds 0 means: that of a ranking is no matter of single images."""
    return SAME if name != "auc" and same_answers(pipeline) else NOT_SHOWN


def holds_zero(one: PairedDifference) -> bool:
    """Say whether the interval of a difference holds 0; True where there is no interval."""
    return one.interval is None or one.interval.low <= 0 <= one.interval.high


def _estimate(axes: Axes, row: int, one: PairedDifference, none: str) -> None:
    """Draw one dot with its interval, and beside the axes its value.

    Where the interval holds 0 the dot is hollow, and ``none`` says what that means.
    """
    assert one.difference is not None
    open_end = holds_zero(one)
    colour = BLUE if open_end else ORANGE
    if one.interval is not None:
        axes.plot([one.interval.low, one.interval.high], [row, row], color=colour, lw=1.6)
    if one.of_trainings:
        axes.plot(one.of_trainings, [row] * len(one.of_trainings), "|", color=GREY, markersize=9)
    face = "white" if open_end else colour
    axes.plot([one.difference], [row], "o", color=colour, markerfacecolor=face, markersize=5)
    words = f"{fixed(one.difference, signed=True)} {bracket(one.interval, signed=True)}".strip()
    said = none if open_end else "difference shown"
    if spread := spread_beside(one, signed=True):
        said += f"\n{spread}"
    axes.annotate(
        f"{words}\n{said}",
        (1.02, row),
        xycoords=("axes fraction", "data"),
        ha="left",
        va="center",
        fontsize=SMALL,
        color=GREY if open_end else colour,
        annotation_clip=False,
    )
