"""What `compare show` prints of a run: a table, one record, or all of it as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from he_compare.common.errors import UnknownNameError
from he_compare.common.plugins import nearest
from he_compare.common.run.leading import leading_metrics, leading_titles
from he_compare.common.run.one_cipher import cipher_groups
from he_compare.common.run.positive import note_none_named
from he_compare.common.run.protection import ProtectionMark, secrecy_of
from he_compare.common.run.records import MetricValue, PairedDifference, RunRecord
from he_compare.common.run.repeated_trainings import means_words, seeds_trained, spread_beside
from he_compare.common.run.replaced_servers import (
    cells_of_replaced_servers,
    replaced_servers_words,
)
from he_compare.common.run.server_places import wire_words
from he_compare.common.run.spelling import bracket, fixed, kilobytes, milliseconds
from he_compare.common.run.timing import latency_of, places_of
from he_compare.common.run.twin_words import no_twin_words
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.types import Phase, Status
from he_compare.comparisons.terminal import (
    NO_VALUE,
    TextTable,
    fold_text,
    in_cards,
    in_columns,
    laid_out,
    unbroken,
)

SETUP, ONE_IMAGE = "pipeline", "one image, ms"
KILOBYTES, SECRET = "kB", "secret from the server?"
# Where the words of a standing would take a row of their own.
SECRET_IN_SHORT: dict[ProtectionMark, str] = {
    "held": "not broken",
    "broken": "no: broken",
    "partly": "no: partly broken",
    "not promised": "not promised",
    "not protected": "no",
    "open by design": "no, by design",
    "not tested": "not tested",
    "control": "control",
    "no server": "nothing is sent",
    "does not apply": "does not apply",
}
COLUMNS_MEAN = (
    "Intervals of 95%. Twin: the same model, data and training without the protection. One image: "
    "the median as the client sees it, over {wire}. kB: sent and received for one image. "
    "Not broken: by what was run, which is no proof."
)
# Fewer columns than this are no room for the name of a pipeline.
NAME_COLUMNS = 20


def as_json(view: RunView) -> dict[str, Any]:
    """Return manifest, records and scores as JSON values."""
    return {
        "manifest": view.manifest.model_dump(mode="json"),
        "records": [record.model_dump(mode="json") for record in view.records],
        "scores": view.scores.model_dump(mode="json") if view.scores else None,
    }


def find_record(view: RunView, wanted: str) -> RunRecord:
    """Return the record whose identity starts with ``wanted``, or the label's first accuracy cell.

    Raises UnknownNameError where there is none, or more than one.
    """
    matches = [one for one in view.records if one.identity.startswith(wanted)]
    if len(matches) != 1:
        matches = [
            one
            for one in view.records
            if (one.cell.label, one.cell.seed) == (wanted, view.manifest.seed)
            and one.cell.phase is Phase.ACCURACY
        ]
    if len(matches) == 1:
        return matches[0]
    attacks = [one for one in view.outcomes if wanted and one.identity.startswith(wanted)]
    if attacks:
        raise UnknownNameError(
            f"{wanted!r} is an attack on {attacks[0].target}, not a record",
            fix=f"pass it to `compare audit explain RUN {wanted}`",
        )
    labels = list(dict.fromkeys(one.cell.label for one in view.records))
    raise UnknownNameError(f"no single record {wanted!r} in this run", fix=nearest(wanted, labels))


def table(view: RunView, columns: int | None = None) -> str:
    """Lay a run out: a row per pipeline, in lines of at most ``columns``; None: no limit.

    Without a limit, or where rows are cards, there are more columns than where it is narrow.
    """
    lines = [*fold_text(_title(view), columns)]
    for note in _warnings(view):
        lines += fold_text(note, columns)
    lines += ["", *_grid(view, columns), ""]
    for note in _notes(view):
        lines += fold_text(note, columns, "  ")
    return "\n".join(lines).rstrip()


def _title(view: RunView) -> str:
    dataset = view.manifest.dataset
    return (
        f"{dataset.card.title}; {view.n_test} test images at {dataset.image_size} px; "
        f"{_seeds(view)}"
    )


def _seeds(view: RunView) -> str:
    seeds = seeds_trained(view)
    return f"seeds {', '.join(map(str, seeds))}" if seeds else f"seed {view.manifest.seed}"


def _warnings(view: RunView) -> Iterator[str]:
    if note := note_none_named(view.manifest.dataset.card):
        yield f"{note[:1].upper()}{note[1:]}."
    if view.manifest.backbone.untrained:
        yield "Backbone untrained: accuracy says nothing about DeiT."
    for pipeline in view.pipelines:
        if cells := cells_of_replaced_servers(pipeline):
            yield f"{pipeline.label}: {replaced_servers_words(cells)}."


def _grid(view: RunView, columns: int | None) -> list[str]:
    """Return the rows as a table of what matters most; else as cards of everything."""
    rows = [_row(view, pipeline) for pipeline in view.pipelines]
    if columns is not None and rows:
        short = [
            row | {SECRET: SECRET_IN_SHORT[secrecy_of(view, one).mark]}
            for row, one in zip(rows, view.pipelines, strict=True)
        ]
        lines = in_columns(_as_table(_narrow(view), short), columns, first=NAME_COLUMNS)
        if lines is not None:
            return lines
        return in_cards(_as_table(list(rows[0]), rows), columns)
    return laid_out(_as_table(list(rows[0]), rows), columns) if rows else []


def _as_table(names: Sequence[str], rows: Sequence[dict[str, str]]) -> TextTable:
    return TextTable(names, [[row[name] for name in names] for row in rows])


def _narrow(view: RunView) -> list[str]:
    score, ranking = _titles(view)
    return [SETUP, score, _minus(score), _minus(ranking), ONE_IMAGE, KILOBYTES, SECRET]


def _titles(view: RunView) -> tuple[str, str]:
    score, ranking = leading_titles(view)
    return score.lower(), ranking.replace("Macro", "macro")


def _minus(title: str) -> str:
    return f"minus twin: {title}"


def _row(view: RunView, pipeline: PipelineView) -> dict[str, str]:
    """Return what is known of a pipeline by column; state and places where there is room."""
    latency, moved = latency_of(pipeline), pipeline.bytes_per_image
    names, titles = leading_metrics(view), _titles(view)
    values = [_metric(pipeline.metric(name)) for name in names]
    if pipeline.measured is None:
        values[0] = pipeline.state
    minus = [_difference(pipeline.difference(name)) for name in names]
    return {
        SETUP: pipeline.label,
        "twin": pipeline.planned.twin or NO_VALUE,
        titles[0]: values[0],
        _minus(titles[0]): minus[0],
        titles[1]: values[1],
        _minus(titles[1]): minus[1],
        ONE_IMAGE: milliseconds(latency.total.p50) if latency else NO_VALUE,
        **{f"of which {place}, ms": text for place, text in _places(pipeline).items()},
        KILOBYTES: kilobytes(sum(moved)) if moved else NO_VALUE,
        SECRET: secrecy_of(view, pipeline).words,
    }


def _places(pipeline: PipelineView) -> dict[str, str]:
    """Return where the time of one image is spent."""
    found = places_of(pipeline)
    if found is None:
        return dict.fromkeys(("hospital", "wire", "server"), NO_VALUE)
    return {
        "hospital": milliseconds(found.hospital),
        "wire": milliseconds(found.wire),
        "server": milliseconds(found.server),
    }


def _metric(metric: MetricValue | None) -> str:
    if metric is None or metric.value is None:
        return NO_VALUE
    spread = spread_beside(metric)
    return f"{fixed(metric.value)} {unbroken(bracket(metric.interval))} {spread}".rstrip()


def _difference(found: PairedDifference | None) -> str:
    if found is None or found.difference is None:
        return NO_VALUE
    ends = unbroken(bracket(found.interval, signed=True))
    spread = spread_beside(found, signed=True)
    return f"{fixed(found.difference, signed=True)} {ends} {spread}".rstrip()


def _notes(view: RunView) -> Iterator[str]:
    """Say what the columns mean, which twin is whose, and what did not end well."""
    yield COLUMNS_MEAN.format(wire=wire_words(view))
    if means := means_words(view):
        yield means
    without: dict[str, list[str]] = {}
    pairs: dict[str, list[str]] = {}
    for pipeline in view.pipelines:
        found = pipeline.difference(leading_metrics(view)[0])
        if found is None and (words := no_twin_words(view, pipeline)):
            without.setdefault(words, []).append(pipeline.label)
        elif pipeline.planned.twin:
            pairs.setdefault(pipeline.planned.twin, []).append(pipeline.label)
    yield from (f"{', '.join(labels)}: {words}" for words, labels in without.items())
    for twin, labels in pairs.items():
        yield f"{twin} is the twin of {', '.join(labels)}"
    for group in cipher_groups(view):
        if group.words:
            yield f"{', '.join(one.label for one in group.pipelines)}: {group.words}"
    for record in view.records:
        if record.status is not Status.OK:
            again = record.cell.seed != view.manifest.seed
            seed = f", seed {record.cell.seed}" if again else ""
            yield f"{record.cell.label}{seed}: {record.status.value}: {record.reason}"
