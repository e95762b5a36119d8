"""Training under encryption: loss by iteration beside the clear twin; rounds against compute."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from he_compare.common.run.encrypted_training import EncryptedTraining, encrypted_trainings
from he_compare.common.run.spelling import duration
from he_compare.common.run.view import RunView
from he_compare.reports.figures.style import BLUE, GREEN, GREY, INK, ORANGE, RULE, halo, new_figure
from he_compare.reports.naming import short_title

ROW_HEIGHT = 2.1
# From a machine room to a person who answers once in a quarter of an hour.
ROUND_TRIPS = np.logspace(-3, 3, 200)
COLOURS = (BLUE, ORANGE, GREEN, INK, GREY)
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 3)))


def convergence_plot(view: RunView) -> Figure | None:
    """Draw loss and difference to the twin, one row per training; None where there is none."""
    found = encrypted_trainings(view)
    if not found:
        return None
    figure = new_figure(0.35 + ROW_HEIGHT * len(found))
    grid = figure.subplots(len(found), 2, squeeze=False)
    for row, training in zip(grid, found, strict=True):
        _loss(row[0], training, short_title(view, training.pipeline))
        _difference(row[1], training)
    return figure


def _loss(axes: Axes, training: EncryptedTraining, title: str) -> None:
    iterations = [one.iteration for one in training.refreshes]
    encrypted = [one.loss for one in training.refreshes]
    twin = [one.twin_loss for one in training.refreshes]
    if training.start is not None:
        iterations, encrypted, twin = (
            [0, *iterations],
            [training.start, *encrypted],
            [training.start, *twin],
        )
    axes.plot(iterations, twin, color=BLUE, lw=1.4, label="clear twin")
    axes.plot(
        iterations,
        encrypted,
        color=ORANGE,
        marker="s",
        markersize=4.5,
        markerfacecolor="none",
        linestyle="none",
        label="encrypted",
    )
    if training.optimum is not None:
        axes.axhline(
            training.optimum,
            color=GREY,
            lw=0.9,
            linestyle=(0, (4, 3)),
            label="scikit-learn's optimum",
        )
    axes.set_title(title)
    axes.set_ylabel("penalised logistic loss")
    axes.legend(frameon=False, fontsize=6.5, loc="best")
    _iterations(axes)


def _difference(axes: Axes, training: EncryptedTraining) -> None:
    """Draw the relative difference of the weights on a log axis; zero has no place on it."""
    shown = [one for one in training.refreshes if one.difference > 0]
    iterations = [one.iteration for one in shown]
    differences = [one.difference for one in shown]
    axes.set_yscale("log")
    axes.plot(iterations, differences, color=ORANGE, marker="s", markersize=4, lw=1.0)
    axes.set_title("Encryption's own error")
    axes.set_ylabel("weights: difference to\nthe clear twin, relative")
    if differences:
        low, high = min(differences), max(differences)
        axes.set_ylim(low / 3, high * 3)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _iterations(axes)


def _iterations(axes: Axes) -> None:
    axes.set_xlabel("iteration")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color=RULE, linewidth=0.6)


def rounds_plot(view: RunView) -> Figure | None:
    """Draw seconds of each training against what a refresh waits for the client.

    A larger ring computes more and refreshes less: the lines cross where that begins to pay. None
    where no training was recorded.
    """
    found = encrypted_trainings(view)
    if not found:
        return None
    figure = new_figure(2.9)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for number, training in enumerate(found):
        rounds = len(training.refreshes)
        per_iteration = training.refreshes[-1].iteration / rounds
        seconds = training.seconds + rounds * ROUND_TRIPS
        colour = COLOURS[number % len(COLOURS)]
        label = (
            f"{short_title(view, training.pipeline)}: {training.parameter_set}; {rounds} rounds of "
            f"{per_iteration:g} iteration{'s' * (per_iteration != 1)}, "
            f"{duration(training.seconds)} at once"
        )
        dashes = DASHES[number % len(DASHES)]
        axes.plot(ROUND_TRIPS, seconds, color=colour, linestyle=dashes, lw=1.5, label=label)
    _mark_trips(axes)
    axes.set_xlabel("time a refresh waits for the client beyond its own work, log axis")
    axes.set_ylabel("training after the upload")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=9))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(color=RULE, linewidth=0.6)
    axes.legend(frameon=False, fontsize=6.5, loc="upper left")
    return figure


def _mark_trips(axes: Axes) -> None:
    top = axes.get_ylim()[1]
    axes.set_ylim(top=top * 6)
    for seconds, name in ((0.02, "same country"), (0.2, "other continent"), (60.0, "by hand")):
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


def _tick(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:,.0f} s"
    return f"{seconds * 1e3:g} ms"
