"""Training under encryption: loss by step beside the clear twin, and what may go wrong.

Where the client refreshes the weights, the latter is the noise of the encryption, refresh by
refresh; where nothing comes back before the end, the logits of each step and their interval.
"""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from he_compare.common.run.encrypted_training import EncryptedTraining, encrypted_trainings
from he_compare.common.run.view import RunView
from he_compare.reports.document.legible import wrapped
from he_compare.reports.figures.style import BLUE, GREY, ORANGE, RULE, new_figure
from he_compare.reports.naming import short_title

ROW_HEIGHT = 2.1
TITLE_WIDTH = 28


def convergence_plot(view: RunView) -> Figure | None:
    """Draw noise or logits, two trainings per row; None where there is none."""
    found = encrypted_trainings(view)
    if not found:
        return None
    rows = -(-len(found) // 2)
    figure = new_figure(0.35 + ROW_HEIGHT * rows)
    panels = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axes, training in zip(panels, found, strict=False):
        name = short_title(view, training.pipeline)
        if len(training.stretches) == 1 and any(one.largest_logit for one in training.steps):
            _logits(axes, training, name)
        else:
            _difference(axes, training, name)
    for unused in panels[len(found) :]:
        unused.set_axis_off()
    return figure


def draw_loss(axes: Axes, training: EncryptedTraining, title: str) -> None:
    """Draw the twin at every step that was recorded, the encrypted weights where they were seen."""
    encrypted = [(one.iteration, one.loss) for one in training.stretches]
    twin = [(one.number, one.twin_loss) for one in training.steps]
    twin = twin or [(one.iteration, one.twin_loss) for one in training.stretches]
    if training.start is not None:
        twin = [(0, training.start), *twin]
    axes.plot(*zip(*twin, strict=True), color=BLUE, marker=".", ms=4, lw=1.4, label="clear twin")
    axes.plot(
        *zip(*encrypted, strict=True),
        color=ORANGE,
        marker="s",
        markersize=5.5,
        markerfacecolor="none",
        linestyle="none",
        label="encrypted, as the client decrypts it",
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
    _steps(axes)


def _difference(axes: Axes, training: EncryptedTraining, name: str) -> None:
    """Draw the relative difference of the weights on a log axis; zero has no place on it."""
    shown = [one for one in training.stretches if 0 < one.difference < math.inf]
    steps = [one.iteration for one in shown]
    differences = [one.difference for one in shown]
    axes.set_yscale("log")
    axes.plot(steps, differences, color=ORANGE, marker="s", markersize=4, lw=1.0)
    axes.set_title(wrapped(f"{name}: noise", TITLE_WIDTH, 2))
    axes.set_ylabel("weights: difference to\nthe clear twin, relative")
    if differences:
        low, high = min(differences), max(differences)
        axes.set_ylim(low / 3, high * 3)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _steps(axes)


def _logits(axes: Axes, training: EncryptedTraining, name: str) -> None:
    """Draw the largest logit that each step meets under the interval of its polynomial."""
    met = [one for one in training.steps if one.largest_logit is not None]
    for outside, colour, mark, label in (
        (False, BLUE, "o", "largest logit, clear twin"),
        (True, ORANGE, "X", "the same, with logits outside the interval"),
    ):
        points = [(one.number, one.largest_logit) for one in met if (one.outside > 0) is outside]
        if points:
            steps, logits = zip(*points, strict=True)
            axes.plot(steps, logits, color=colour, marker=mark, ms=4.5, ls="none", label=label)
    bounds = [(one.number, one.interval) for one in met if one.interval is not None]
    for number, bound in bounds:
        axes.plot([number - 0.35, number + 0.35], [bound, bound], color=GREY, lw=1.4)
    if bounds:
        axes.plot([], [], color=GREY, lw=1.4, label="interval of the polynomial")
    axes.set_title(wrapped(f"{name}: logits", TITLE_WIDTH, 2))
    axes.set_ylabel("absolute value")
    axes.set_ylim(bottom=0)
    axes.set_ylim(top=1.5 * axes.get_ylim()[1])
    axes.set_xlim(0.4, max(one.number for one in met) + 0.6)
    axes.legend(frameon=False, fontsize=6.5, loc="upper left")
    _steps(axes)


def _steps(axes: Axes) -> None:
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color=RULE, linewidth=0.6)
