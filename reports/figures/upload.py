"""One upload or several rounds: what depth allows, and what rounds with the client cost in time."""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from he_compare.common.run.encrypted_training import (
    DesignPoint,
    EncryptedTraining,
    encrypted_trainings,
)
from he_compare.common.run.spelling import duration
from he_compare.common.run.view import RunView
from he_compare.reports.figures.style import BLUE, GREEN, GREY, INK, ORANGE, RULE, halo, new_figure
from he_compare.reports.naming import short_title

# From a machine room to a person who answers once in a quarter of an hour.
ROUND_TRIPS = np.logspace(-3, 3, 91)
COLOURS = (BLUE, ORANGE, GREEN, INK, GREY)
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 3)))
MARKS = ("o", "s", "^", "D", "v")
PANEL_HEIGHT = 2.7
LINE_INCHES = 0.15
NAME_INCHES, STEP_INCHES, FRAME_INCHES = 0.105, 0.26, 0.75
# Parameter sets that are written at one height of the stairs, at most; the others are in the table.
MOST_NAMES = 4
# Room for names right of the stairs, in levels, and below the first step, in steps.
NAME_LEVELS, NAME_STEPS = 0.16, 0.9

Depth = tuple[int, int]


def levels_plot(view: RunView) -> Figure | None:
    """Draw the steps that one upload allows by the levels of a parameter set, one panel per cost
    of a step; None where no training recorded its design space."""
    panels = _panels(encrypted_trainings(view))
    if not panels:
        return None
    heights = [_height(_points(trainings)) for trainings in panels.values()]
    figure = new_figure(sum(heights) + FRAME_INCHES * len(panels))
    rows = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (depth, trainings) in zip(rows, panels.items(), strict=True):
        _stairs(axes, depth, trainings)
    return figure


def _panels(found: list[EncryptedTraining]) -> dict[Depth, list[EncryptedTraining]]:
    panels: dict[Depth, list[EncryptedTraining]] = {}
    for training in found:
        if training.levels is not None and training.design_space:
            panels.setdefault(training.levels, []).append(training)
    return panels


def _height(points: list[DesignPoint]) -> float:
    """Return inches, so that the names below one step end above those below the next."""
    names = Counter(point.steps for point in points)
    lines = min(max(names.values()), MOST_NAMES + 1)
    step = max(STEP_INCHES, NAME_INCHES * (lines + 0.6))
    return max(PANEL_HEIGHT - FRAME_INCHES, step * (max(names) + 2 * NAME_STEPS))


def _stairs(axes: Axes, depth: Depth, trainings: list[EncryptedTraining]) -> None:
    first, later = depth
    points = _points(trainings)
    most = max(point.levels for point in points)
    ends = [first + later * step for step in range((most - first) // later + 2)]
    axes.plot([0, *ends], [0, *range(1, len(ends) + 1)], drawstyle="steps-post", color=GREY, lw=1.0)
    for point in points:
        axes.plot(
            point.levels,
            point.steps,
            marker="s" if point.chosen else "o",
            ms=7 if point.chosen else 5,
            color=ORANGE if point.chosen else BLUE,
            markerfacecolor=ORANGE if point.chosen else "white",
            linestyle="none",
            zorder=4 if point.chosen else 3,
        )
    for steps in sorted({point.steps for point in points}):
        _name(axes, [point for point in points if point.steps == steps])
    done = sorted({training.steps_done for training in trainings})
    for steps in done:
        axes.axhline(steps, color=ORANGE, lw=0.9, linestyle=(0, (4, 2)), zorder=1)
    axes.set_title(
        f"One level for the first step, {later} for each later one"
        if first == 1
        else f"{first} levels for the first step, {later} for each later one"
    )
    axes.set_xlabel("levels of the modulus")
    axes.set_ylabel("steps from one upload")
    axes.set_xlim(0, most * (1 + NAME_LEVELS) + 2)
    axes.set_ylim(-NAME_STEPS, max(point.steps for point in points) + NAME_STEPS)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color=RULE, linewidth=0.6)
    axes.legend(handles=_legend(), frameon=False, fontsize=7, loc="upper left")


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=ORANGE, marker="s", ms=7, ls="none", label="used in this run"),
        Line2D([], [], color=BLUE, marker="o", ms=5, mfc="white", ls="none", label="other sets"),
        Line2D([], [], color=ORANGE, lw=0.9, ls=(0, (4, 2)), label="steps of this run"),
        Line2D([], [], color=GREY, lw=1.0, label="steps that so many levels hold"),
    ]


def _points(trainings: list[EncryptedTraining]) -> list[DesignPoint]:
    """Return every parameter set once; those in use are of some training of the panel."""
    found: dict[tuple[str, int, int], DesignPoint] = {}
    for training in trainings:
        for point in training.design_space:
            key = (point.name, point.levels, point.steps)
            if key not in found or point.chosen:
                found[key] = point
    return sorted(found.values(), key=lambda point: (point.levels, point.name))


def _name(axes: Axes, points: list[DesignPoint]) -> None:
    """Write the sets of one height below its marks, where the stairs leave room."""
    lines = [f"{point.name}{', used' * point.chosen}" for point in points[:MOST_NAMES]]
    if len(points) > MOST_NAMES:
        lines.append(f"and {len(points) - MOST_NAMES} more")
    axes.annotate(
        "\n".join(lines),
        (points[0].levels, points[0].steps),
        xytext=(5, -5),
        textcoords="offset points",
        va="top",
        fontsize=6.5,
        linespacing=1.05,
        path_effects=halo(),
        zorder=5,
    )


def rounds_plot(view: RunView) -> Figure | None:
    """Draw seconds of each training by its refreshes, and against what a refresh waits.

    A larger ring computes more and refreshes less: the lines cross where that begins to pay. None
    where no training refreshed anything: then there are no rounds to compare.
    """
    found = encrypted_trainings(view)
    if not any(training.refresh_rounds for training in found):
        return None
    figure = new_figure(PANEL_HEIGHT + LINE_INCHES * len(found))
    measured, waiting = figure.subplots(1, 2, width_ratios=(2, 3))
    for number, training in enumerate(found):
        colour = COLOURS[number % len(COLOURS)]
        rounds = training.refresh_rounds
        measured.plot(
            rounds,
            training.seconds,
            marker=MARKS[number % len(MARKS)],
            ms=6,
            color=colour,
            linestyle="none",
        )
        waiting.plot(
            ROUND_TRIPS,
            training.seconds + rounds * ROUND_TRIPS,
            color=colour,
            linestyle=DASHES[number % len(DASHES)],
            marker=MARKS[number % len(MARKS)],
            markevery=(9 + 3 * number, 27),
            ms=4,
            lw=1.5,
            label=_label(view, training),
        )
    _measured_axes(measured, [training.refresh_rounds for training in found])
    _waiting_axes(waiting)
    figure.legend(loc="outside lower center", frameon=False, fontsize=7, ncols=1)
    return figure


def _label(view: RunView, training: EncryptedTraining) -> str:
    rounds, steps = training.refresh_rounds, training.steps_done
    way = f"{rounds} refresh{'es' * (rounds != 1)}" if rounds else "one upload"
    return (
        f"{short_title(view, training.pipeline)}: {training.parameter_set}; "
        f"{steps} step{'s' * (steps != 1)}, {way}, {duration(training.seconds)}"
    )


def _measured_axes(axes: Axes, rounds: list[int]) -> None:
    axes.set_title("Measured")
    axes.set_xlabel("refreshes by the client; 0: one upload")
    axes.set_ylabel("training after the upload")
    axes.set_xlim(-0.5, max(*rounds, 1) + 0.5)
    axes.set_ylim(bottom=0)
    axes.set_ylim(top=1.15 * axes.get_ylim()[1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g} s"))
    axes.grid(color=RULE, linewidth=0.6)


def _waiting_axes(axes: Axes) -> None:
    axes.set_title("With the time that each refresh waits")
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    # At least a decade, so that ticks have room; then room for what a wait means.
    axes.set_ylim(low / 3, max(high, 10 * low))
    for seconds, name in ((0.02, "same\ncountry"), (0.2, "other\ncontinent"), (60.0, "by hand")):
        axes.axvline(seconds, color=RULE, lw=1.0, zorder=0)
        axes.annotate(
            name,
            (seconds, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=6.5,
            color=GREY,
            path_effects=halo(),
        )
    axes.set_xlabel("wait per refresh beyond its own work, log axis")
    axes.set_ylabel("in all, log axis")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=6))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.minorticks_off()
    axes.grid(color=RULE, linewidth=0.6)


def _tick(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:,.0f} s"
    return f"{seconds * 1e3:g} ms"
