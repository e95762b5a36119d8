"""The pipelines' parameters as tables: name, meaning, value; and how each model was fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from he_compare.common.run.spelling import duration, significant, size
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import (
    Break,
    Code,
    Column,
    Content,
    Inline,
    Paragraph,
    Row,
    Section,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.naming import full_title, record_ids
from he_compare.reports.plain_values import spelled
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
    """Parameters by plug-in with what they mean, then the facts of each training."""

    order = 1100
    title = "Parameters of the pipelines"

    def sections(self, view: RunView) -> list[Section]:
        """Return one table a plug-in, and one on trainings where any was recorded."""
        tables = [_parameters(view, mine) for mine in _by_plugin(view.pipelines)]
        return [
            Section(self.title, 1, "pipelines", (Paragraph(inline(WORDS)), *tables)),
            *_trainings(view),
        ]


def _by_plugin(pipelines: Iterable[PipelineView]) -> list[list[PipelineView]]:
    found: dict[str, list[PipelineView]] = {}
    for pipeline in pipelines:
        found.setdefault(pipeline.planned.name, []).append(pipeline)
    return list(found.values())


def _parameters(view: RunView, mine: list[PipelineView]) -> Table:
    resolved = {full_title(view, one): _resolved(one) for one in mine}
    meanings = {k: v for one in mine for k, v in one.planned.meanings.items()}
    names = list(dict.fromkeys(name for values in resolved.values() for name in values))
    rows = [
        (
            inline(Code(name)),
            *((inline(meanings.get(name, "not recorded")),) if meanings else ()),
            _value(name, resolved),
        )
        for name in names
    ]
    columns = (
        Column("Parameter", weight=1.3),
        *((Column("Meaning", weight=3.2),) if meanings else ()),
        Column("Value", weight=2.1),
    )
    if not rows:
        rows = [(inline("none"), *[inline("")] * (len(columns) - 1))]
    note = () if meanings else inline("This run did not record what they mean.")
    caption = f"{mine[0].planned.name}: {', '.join(resolved)}"
    return Table(caption, columns, tuple(Row(cells) for cells in rows), note)


def _resolved(pipeline: PipelineView) -> dict[str, Any]:
    record = pipeline.accuracy
    return record.cell.resolved if record else pipeline.planned.resolved


def _value(name: str, resolved: Mapping[str, Mapping[str, Any]]) -> Inline:
    """Return the one value of all set-ups, or each with those that have it."""
    holders: dict[str, list[str]] = {}
    for label, values in resolved.items():
        shown = spelled(values[name]) if name in values else "is no parameter of it"
        holders.setdefault(shown, []).append(label)
    if len(holders) == 1:
        return inline(next(iter(holders)))
    parts: list[Content] = []
    for shown, labels in holders.items():
        parts += [f"{shown}: {', '.join(labels)}", Break()]
    return inline(*parts[:-1])


def _trainings(view: RunView) -> list[Section]:
    """Return how each model was fitted, where that was recorded; series of epochs are left out."""
    rows: list[Row | SpanRow] = []
    for facts, mine in _by_training(view):
        names = ", ".join(full_title(view, one) for one in mine)
        records = record_ids([one.measured for one in mine if one.measured])
        rows.append(SpanRow(inline(f"{names}: ", records)))
        rows += [Row((inline(name), inline(text))) for name, text in facts]
    if not rows:
        return []
    columns = (Column("Fact", weight=1.5), Column("Value", weight=3.5))
    note = inline("As recorded by the pipeline; records.jsonl holds every epoch and iteration.")
    table = Table("How each model was fitted", columns, tuple(rows), note)
    return [Section("Training", 2, "training", (table,))]


def _by_training(
    view: RunView,
) -> list[tuple[tuple[tuple[str, str], ...], list[PipelineView]]]:
    """Return the facts of each training with the pipelines of which they are all true."""
    found: dict[tuple[tuple[str, str], ...], list[PipelineView]] = {}
    for pipeline in view.pipelines:
        training = pipeline.measured.training if pipeline.measured else {}
        facts = tuple(
            (FITTED.get(name, name.replace("_", " ")), _fact(name, value))
            for name, value in training.items()
            if not isinstance(value, list | dict)
        )
        if facts:
            found.setdefault(facts, []).append(pipeline)
    return list(found.items())


def _fact(name: str, value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name.endswith("bytes"):
            return size(value)
        if name.endswith("seconds"):
            return duration(value)
        return f"{value:,}" if isinstance(value, int) else significant(value)
    return spelled(value)


SECTION = PipelineParameters()
