"""The pipelines' parameters as tables: name, meaning, value; and how each model was fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from he_compare.common.run.spelling import duration, significant, size
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import (
    Block,
    Break,
    Code,
    Column,
    Content,
    Inline,
    Paragraph,
    Row,
    SpanRow,
    Table,
    inline,
    plain,
)
from he_compare.reports.naming import full_title
from he_compare.reports.plain_values import plain_value
from he_compare.reports.section import ReportSection

WORDS = (
    "Every parameter as it was used, defaults included. Set-ups of one plug-in stand in one table: "
    "where they differ, each value is named with its set-up."
)
# What pipelines record of a training, in words; what is not here is named by its own name.
FITTED = {
    "trained_on": "Trained on",
    "n": "Training images",
    "C": "Inverse L2 strength",
    "epochs": "Epochs",
    "best_epoch": "Epoch that was kept: best on validation",
    "seconds": "Time",
    "augmentation": "Augmentation",
    "key_holder": "Who holds the key",
    "patch_embedding": "Patch embedding",
    "embedding_start": "What the patch embedding started from",
    "solved_neighbours": "Solver: correlation of neighbours inside blocks, held out",
    "solved_agreement": "Solver: joints on which two halves of the evidence agree",
    "solved_seams": "Solver: steps at borders of blocks over those inside",
    "solved_ways": "Solver: ways up, signs and colours that were tried",
    "matching_reference": "Public images for the matching",
    "matching_reference_domain": "Where those come from",
    "matching_agreement": "Agreement of the matching with them, 0 to 1",
    "payload_upload_bytes": "Sent to the server to train",
    "payload_download_bytes": "Received from it while training",
    "adapted": "Adapted to the key",
    "preparation": "Preparation of the features",
    "features": "Features used",
    "n_bits": "Bits of inputs and weights",
    "learning_rate": "Learning rate",
    "largest_training_score": "Largest score on a training image",
    "loss_at_start": "Loss before the first iteration",
}


class PipelineParameters(ReportSection):
    """Parameters by plug-in with what they mean, and the facts of each training."""

    order = 1100
    title = "Parameters of the pipelines"
    anchor = "pipelines"

    def blocks(self, view: RunView) -> list[Block]:
        """Return one table per plug-in that has parameters or was fitted."""
        tables = [_parameters(view, mine) for mine in _by_plugin(view.pipelines)]
        return [Paragraph(inline(WORDS)), *[one for one in tables if one.rows]]


def _by_plugin(pipelines: Iterable[PipelineView]) -> list[list[PipelineView]]:
    found: dict[str, list[PipelineView]] = {}
    for pipeline in pipelines:
        found.setdefault(pipeline.planned.name, []).append(pipeline)
    return list(found.values())


def _parameters(view: RunView, mine: list[PipelineView]) -> Table:
    """Return the parameters of set-ups of one plug-in, then the facts of their trainings."""
    named = {full_title(view, one): one for one in mine}
    meanings = {k: v for one in mine for k, v in one.planned.meanings.items()}
    resolved = {title: _plain_values(_resolved(one)) for title, one in named.items()}
    fitted = {title: _facts(one) for title, one in named.items()}
    rows: list[Row | SpanRow] = []
    for name in _names(resolved):
        meaning = meanings.get(name, "not recorded" if meanings else "")
        rows.append(Row((inline(Code(name)), inline(meaning), _value(name, resolved))))
    if any(fitted.values()):
        rows.append(SpanRow(inline("How it was fitted")))
        facts = _names(fitted)
        rows += [Row((inline(name), inline(""), _value(name, fitted))) for name in facts]
    columns = (
        Column("Parameter or fact", weight=1.5),
        Column("Meaning", weight=2.8),
        Column("Value", weight=2.3),
    )
    without = "" if meanings else "This run did not record what the parameters mean. "
    note = inline(f"{without}records.jsonl holds every epoch and iteration.")
    caption = f"{mine[0].planned.name}: {', '.join(named)}"
    return _without_empty(Table(caption, columns, tuple(rows), note))


def _without_empty(table: Table) -> Table:
    """Leave out the column of meanings where none is known."""
    rows = [row for row in table.rows if isinstance(row, Row)]
    if any(plain(row.cells[1]) for row in rows):
        return table
    first, _, last = table.columns
    kept = tuple(
        Row((row.cells[0], row.cells[2])) if isinstance(row, Row) else row for row in table.rows
    )
    return replace(table, columns=(first, replace(last, weight=5.1)), rows=kept)


def _names(values: Mapping[str, Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for mine in values.values() for name in mine))


def _plain_values(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: plain_value(value) for name, value in values.items()}


def _resolved(pipeline: PipelineView) -> dict[str, Any]:
    record = pipeline.accuracy
    return record.cell.resolved if record else pipeline.planned.resolved


def _value(name: str, resolved: Mapping[str, Mapping[str, str]]) -> Inline:
    """Return the one value of all set-ups, or each with those that have it."""
    holders: dict[str, list[str]] = {}
    for label, values in resolved.items():
        shown = values.get(name, "does not apply")
        holders.setdefault(shown, []).append(label)
    if len(holders) == 1:
        return inline(next(iter(holders)))
    parts: list[Content] = []
    for shown, labels in holders.items():
        parts += [f"{shown}: {', '.join(labels)}", Break()]
    return inline(*parts[:-1])


def _facts(pipeline: PipelineView) -> dict[str, str]:
    """Return the facts of its training in words; series and tables of numbers are left out."""
    training = pipeline.measured.training if pipeline.measured else {}
    return {
        FITTED.get(name, name.replace("_", " ")): _fact(name, value)
        for name, value in training.items()
        if not isinstance(value, list | dict)
    }


def _fact(name: str, value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name.endswith("bytes"):
            return size(value)
        if name.endswith("seconds"):
            return duration(value)
        return f"{value:,}" if isinstance(value, int) else significant(value)
    return plain_value(value)


SECTION = PipelineParameters()
