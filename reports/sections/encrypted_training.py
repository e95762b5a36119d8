"""Training on ciphertexts: its course beside the clear twin's, and how far the optimum is."""

from __future__ import annotations

from typing import Any

from reports.document import Column, Figure, Inline, Row, Section, Table, inline
from reports.figures.convergence import Convergence, convergence_of, convergence_plot
from reports.figures.style import drawing, png_of, svg_of
from reports.numbers import MISSING, fixed, scientific, size
from reports.view import PipelineView, RunView

COLUMNS = (
    Column("Pipeline", weight=1.8),
    Column("Iterations", "right", "n", 0.9),
    Column("Loss, encrypted", "right", "last", 1.0),
    Column("Loss, clear twin", "right", "last", 1.0),
    Column("Loss, optimum", "right", "scikit-learn", 1.0),
    Column("Weights against the twin", "right", "relative difference", 1.2),
    Column("Same calls as the optimum", "right", "share of training rows", 1.2),
    Column("Moved for training", "right", "up + down", 1.0),
)
CAPTION = (
    "Loss on the training rows after each refresh. The weights were decrypted by their owner for "
    "this figure; the server never sees them."
)
NOTE = (
    "The twin runs the same steps in the clear, polynomial sigmoid included, so what is left "
    "between both is noise of the encryption. Twin and optimum need the data in the clear: they "
    "are part of the study, not of the protocol."
)
UPLOADS = ("keys_and_circuit", "data_upload", "refresh_upload")


def sections(view: RunView) -> list[Section]:
    """Return the section where some pipeline was trained under encryption; else none."""
    found = [(one, course) for one in view.pipelines if (course := convergence_of(one))]
    with drawing():
        figure = convergence_plot(view)
    if figure is None:
        return []
    alt = "Loss by iteration of " + "; ".join(_spoken(one, course) for one, course in found)
    rows = tuple(Row(_cells(view, one, course)) for one, course in found)
    blocks = (
        Figure("convergence", CAPTION, alt, png_of(figure), svg=svg_of(figure)),
        Table("Training under encryption", COLUMNS, rows, inline(NOTE)),
    )
    return [Section("Training under encryption", 2, "encrypted-training", blocks)]


def _spoken(pipeline: PipelineView, course: Convergence) -> str:
    last = fixed(course.encrypted[-1], 4)
    return f"{pipeline.label}: {last} after {course.iterations[-1]} iterations"


def _cells(view: RunView, pipeline: PipelineView, course: Convergence) -> tuple[Inline, ...]:
    facts = pipeline.measured.training if pipeline.measured else {}
    exact = facts.get("scikit_learn")
    same = exact.get("same_decisions_on_training_rows") if isinstance(exact, dict) else None
    return (
        view.row_name(pipeline, pipeline.cells[:1]),
        inline(str(course.iterations[-1])),
        inline(fixed(course.encrypted[-1], 4)),
        inline(fixed(course.twin[-1], 4)),
        inline(MISSING if course.optimum is None else fixed(course.optimum, 4)),
        inline(MISSING if course.difference is None else scientific(course.difference)),
        inline(fixed(same) if isinstance(same, int | float) else MISSING),
        inline(_moved(facts)),
    )


def _moved(facts: dict[str, Any]) -> str:
    counts = facts.get("bytes")
    if not isinstance(counts, dict):
        return MISSING
    up = sum(counts.get(name, 0) for name in UPLOADS)
    return f"{size(up)} + {size(counts.get('refresh_download', 0))}"
