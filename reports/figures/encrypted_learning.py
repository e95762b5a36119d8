"""What learning on ciphertexts came to: the loss step by step, and the polynomial's error.

The right panel shades the logits that the training met: only there the error counts.
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from he_compare.common.run.encrypted_training import EncryptedTraining, encrypted_trainings
from he_compare.common.run.view import RunView
from he_compare.reports.figures.convergence import draw_loss
from he_compare.reports.figures.style import BLUE, GREY, INK, RULE, new_figure
from he_compare.reports.naming import short_title

ROW_HEIGHT = 1.95
POINTS_DRAWN = 401
HEADROOM = 1.25
SHADE = "#ececec"


def learning_plot(view: RunView) -> Figure | None:
    """Draw one row per training; None where there is none."""
    found = encrypted_trainings(view)
    if not found:
        return None
    figure = new_figure(0.3 + ROW_HEIGHT * len(found))
    grid = figure.subplots(len(found), 2, squeeze=False)
    for row, training in zip(grid, found, strict=True):
        draw_loss(row[0], training, short_title(view, training.pipeline))
        _error(row[1], training)
    return figure


def _error(axes: Axes, training: EncryptedTraining) -> None:
    axes.set_title("Error of the polynomial")
    polynomial, met = training.polynomial, training.largest_logit
    if polynomial is None:
        words = "the polynomial was not recorded"
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", color=GREY)
        axes.set_axis_off()
        return
    logits = np.linspace(0, polynomial.interval, POINTS_DRAWN)
    errors = [polynomial.error_at(float(one)) for one in logits]
    axes.plot(logits, errors, color=BLUE, lw=1.4)
    if met is not None and met < math.inf:
        reach = min(met, polynomial.interval)
        axes.axvspan(0, reach, color=SHADE, lw=0)
        label = f"largest logit that the training met, {met:.2g}"
        axes.axvline(reach, color=INK, lw=1.0, ls=(0, (4, 3)), label=label)
        axes.legend(frameon=False, fontsize=6.5, loc="upper left")
    axes.set_xlabel("absolute value of the logit")
    axes.set_ylabel("error of the probability")
    axes.set_xlim(0, polynomial.interval)
    axes.set_ylim(0, HEADROOM * max(errors))
    axes.grid(color=RULE, linewidth=0.6)
