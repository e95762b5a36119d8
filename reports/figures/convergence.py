"""Training under encryption: loss by iteration, beside its clear twin and the exact optimum."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

from reports.figures.style import BLUE, GREY, INK, ORANGE, RULE, new_figure
from reports.legible import wrapped
from reports.numbers import fixed, scientific
from reports.view import PipelineView, RunView

PANEL_INCHES = 2.2


@dataclass(frozen=True)
class Convergence:
    """Loss after each refresh: decrypted weights, the twin's, and the optimum's (a constant)."""

    iterations: tuple[int, ...]
    encrypted: tuple[float, ...]
    twin: tuple[float, ...]
    optimum: float | None
    difference: float | None


def convergence_of(pipeline: PipelineView) -> Convergence | None:
    """Read the course of an encrypted training from a record; None where it has none."""
    facts = pipeline.measured.training if pipeline.measured else {}
    history = facts.get("history")
    if not isinstance(history, list):
        return None
    steps = [one for one in history if isinstance(one, dict)]
    if not steps or not all({"iteration", "loss", "loss_of_twin"} <= set(one) for one in steps):
        return None
    exact = facts.get("scikit_learn")
    optimum = exact.get("loss") if isinstance(exact, dict) else None
    difference = facts.get("relative_difference_to_twin")
    return Convergence(
        tuple(int(one["iteration"]) for one in steps),
        tuple(float(one["loss"]) for one in steps),
        tuple(float(one["loss_of_twin"]) for one in steps),
        float(optimum) if isinstance(optimum, int | float) else None,
        float(difference) if isinstance(difference, int | float) else None,
    )


def convergence_plot(view: RunView) -> Figure | None:
    """Draw one panel for each training under encryption; None where there is none."""
    found = [(one, course) for one in view.pipelines if (course := convergence_of(one))]
    if not found:
        return None
    figure = new_figure(PANEL_INCHES * len(found) + 0.2)
    grid = figure.subplots(len(found), 1, squeeze=False)
    for (axes,), (pipeline, course) in zip(grid, found, strict=True):
        start, stop = course.iterations[0], course.iterations[-1]
        axes.plot(course.iterations, course.twin, color=BLUE, lw=3.2, alpha=0.45)
        axes.plot(course.iterations, course.encrypted, color=ORANGE, lw=1.2, marker="s", ms=3)
        losses = [*course.encrypted, *course.twin]
        if course.optimum is not None:
            axes.axhline(course.optimum, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
            losses.append(course.optimum)
        low, high = min(losses), max(losses)
        margin = 0.1 * max(high - low, 1e-6 * abs(high), 1e-12)
        axes.set_ylim(low - margin, high + 1.5 * margin)
        axes.set_xlim(start - 0.3, stop + 0.3)
        lines = [("square, thin: encrypted", ORANGE), ("wide: its clear twin", BLUE)]
        if course.optimum is not None:
            lines.append((f"dashed: optimum\n(scikit-learn) {fixed(course.optimum, 4)}", INK))
        if course.difference is not None:
            words = f"weights differ from the\ntwin's by {scientific(course.difference)}"
            lines.append((f"{words}\n(relative)", GREY))
        height = 1.0
        for words, colour in lines:
            place = (1.02, height)
            axes.text(*place, words, transform=axes.transAxes, va="top", color=colour, fontsize=7)
            height -= 0.06 + 0.09 * len(words.splitlines())
        axes.set_title(wrapped(view.title(pipeline), 60, 1))
        axes.grid(color=RULE, linewidth=0.6)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel("loss, training rows")
    grid[-1][0].set_xlabel("iteration")
    return figure
