"""Tables of trainings under encryption: costs step by step, what was spent, sets, what was chosen.

Measured and computed figures never share a column without saying which is which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from he_compare.common.run.encrypted_training import Choice, DesignPoint, EncryptedTraining
from he_compare.common.run.records import CostRung, PairedDifference
from he_compare.common.run.spelling import (
    MINUS,
    MISSING,
    bracket,
    duration,
    fixed,
    scientific,
    significant,
)
from he_compare.common.run.spelling import size as bytes_in_words
from he_compare.common.run.view import PipelineView, RunView
from he_compare.reports.document.nodes import (
    Block,
    Bold,
    Break,
    Column,
    Inline,
    Paragraph,
    Row,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.figures.step_costs import difference_of
from he_compare.reports.naming import record_ids, row_name, short_title

COSTS = (
    Column("Model", weight=2.4),
    Column("What changes", weight=1.2),
    Column("Accuracy", "right", weight=0.8),
    Column("AUC", "right", weight=0.8),
    Column("Change in accuracy", "right", "paired, 95%", 1.5),
    Column("Change in AUC", "right", "paired, 95%", 1.5),
)
SPENT = (
    Column("Pipeline", weight=1.8),
    Column("Parameters", weight=1.4),
    Column("Steps / refreshes", "right", weight=0.9),
    Column("Data up", "right", weight=0.9),
    Column("Keys up", "right", weight=0.9),
    Column("Refreshes, both ways", "right", "then the weights", 1.1),
    Column("To make keys, encrypt and upload", "right", weight=1.0),
    Column("After the upload", "right", weight=0.9),
)
CAME_OUT = (
    Column("Pipeline", weight=1.8),
    Column("Client's memory", "right", "stated; measured", 1.2),
    Column("Server's memory", "right", "stated; measured", 1.2),
    Column("Loss: start, end, optimum", "right", weight=1.3),
    Column("Weights to the twin's", "right", "relative", 1.1),
    Column("Same predictions as the optimum", "right", "training rows", 1.1),
    Column("Logits outside the interval", "right", weight=1.0),
)
MOST_GRIDS, MOST_ROWS, MOST_FACTS, LONGEST_FACT = 4, 10, 9, 40
# Facts of single steps, which are printed as one: "length_1", "length_2" ...
OF_A_STEP = re.compile(r"(length|interval)_\d+")
TOLD_TOGETHER = {"length": "step lengths", "interval": "intervals"}


def costs_table(view: RunView, found: Sequence[PipelineView]) -> Table:
    """Return one row per model from the clear reference to the executed scores."""
    rows: list[Row | SpanRow] = []
    methods = set()
    for pipeline in found:
        rungs = pipeline.scores.rungs if pipeline.scores else []
        title = inline(short_title(view, pipeline), ", record ", record_ids(pipeline.cells[:1]))
        rows.append(SpanRow(title))
        rows += [_cost_row(rung) for rung in rungs]
        methods |= {
            one.interval.method for rung in rungs for one in rung.differences if one.interval
        }
    note = f"Each change is to the row above, on the same {view.n_test} test images"
    methods_used = f"; intervals: {'; '.join(sorted(methods))}" if methods else ""
    return Table("What each step costs", COSTS, tuple(rows), inline(f"{note}{methods_used}."))


def _cost_row(rung: CostRung) -> Row:
    values = [MISSING if x is None else fixed(x, 4) for x in (rung.accuracy, rung.auc)]
    names = [rung.name, rung.cost or MISSING, *values]
    changes = [_change(difference_of(rung, metric)) for metric in ("accuracy", "auc")]
    return Row((*[inline(one) for one in names], *changes))


def _change(found: PairedDifference | None) -> Inline:
    if found is None or found.difference is None:
        return inline(MISSING)
    value = fixed(found.difference, 4, signed=True)
    limits = bracket(found.interval, 4, signed=True)
    return inline(value, Break(), limits) if limits else inline(value)


def spent_table(view: RunView, found: Sequence[EncryptedTraining]) -> Table:
    """Return rounds, bytes and seconds, one row per training."""
    rows = []
    for one in found:
        weights = one.number("bytes", "weights_download")
        down = [inline(bytes_in_words(one.refresh_bytes))]
        if weights is not None:
            down += [inline(Break(), bytes_in_words(weights))]
        cells = (
            row_name(view, one.pipeline, one.pipeline.cells[:1]),
            inline(one.parameter_set),
            inline(f"{one.steps_done} / {one.refresh_rounds}"),
            inline(_size(one.number("bytes", "data_upload"))),
            inline(_size(one.keys_bytes)),
            inline(*down),
            inline(_upload_seconds(one)),
            inline(duration(one.seconds)),
        )
        rows.append(Row(cells))
    note = (
        "Measured. Older records count the keys together with the circuit, and the last download "
        "with the refreshes."
    )
    return Table("Encrypted training: what was spent", SPENT, tuple(rows), inline(note))


def _upload_seconds(one: EncryptedTraining) -> str:
    parts = [one.number("seconds", name) for name in ("encrypt_and_upload", "keys_upload")]
    known = [part for part in parts if part is not None]
    return duration(sum(known)) if known else MISSING


def came_out_table(view: RunView, found: Sequence[EncryptedTraining]) -> Table:
    """Return memory, losses and distances to twin and optimum, one row per training."""
    rows = []
    for one in found:
        last = one.stretches[-1]
        losses = [one.start, last.loss, one.optimum]
        cells = (
            row_name(view, one.pipeline, one.pipeline.cells[:1]),
            _memory(one, "client"),
            _memory(one, "server"),
            inline(", ".join(MISSING if x is None else significant(x) for x in losses)),
            inline(scientific(last.difference)),
            inline(MISSING if one.same_calls is None else fixed(one.same_calls)),
            inline(f"{one.outside:,}"),
        )
        rows.append(Row(cells))
    note = (
        "Memory is stated before anything is encrypted. Measured: how far the client's process "
        "grew while it trained (little, where it had memory left from work before), and the peak "
        "of all processes of the training server. Logits are those of the clear twin, over all "
        "steps and rows."
    )
    return Table("Encrypted training: what came out", CAME_OUT, tuple(rows), inline(note))


def _memory(one: EncryptedTraining, side: str) -> Inline:
    stated = _size(one.number("memory", f"{side}_bytes_stated"))
    return inline(f"{stated};", Break(), _size(one.number("memory", f"{side}_bytes_measured")))


def design_table(view: RunView, found: Sequence[EncryptedTraining]) -> Table | None:
    """Return what every published set would take for each training; None where none says so."""
    known = [one for one in found if one.design_space]
    if not known:
        return None
    columns = (
        Column("Parameter set", weight=1.7),
        Column("N, log2 Q", weight=1.3),
        Column("Levels", "right", weight=0.7),
        Column("Steps from one upload", "right", weight=0.9),
        Column("Refreshes for these steps", "right", weight=0.9),
        Column("Keys", "right", weight=0.9),
        Column("Data", "right", weight=0.9),
        Column("Server's memory", "right", weight=0.9),
        Column("Key switches", "right", weight=0.9),
    )
    rows: list[Row | SpanRow] = []
    for trainings in _alike(known, lambda one: (one.steps_done, _sets(one))):
        steps = trainings[0].steps_done
        titles = "; ".join(short_title(view, one.pipeline) for one in trainings)
        rows.append(SpanRow(inline(f"{titles}: {steps} step{'s' * (steps != 1)}")))
        used = {point.name for one in trainings for point in one.design_space if point.chosen}
        rows += [_design_row(point, point.name in used) for point in trainings[0].design_space]
    note = (
        "Computed for the rows and columns of this run, not measured; the server's memory is that "
        "of one process. Bold: used in this run."
    )
    return Table("Steps against levels", columns, tuple(rows), inline(note))


def _sets(one: EncryptedTraining) -> list[DesignPoint]:
    """Return the design space without saying which of its sets is in use."""
    return [replace(point, chosen=False) for point in one.design_space]


def _alike(
    found: Sequence[EncryptedTraining], key: Callable[[EncryptedTraining], Any]
) -> list[list[EncryptedTraining]]:
    """Group trainings of which the same is to be said, in their order."""
    groups: list[tuple[Any, list[EncryptedTraining]]] = []
    for one in found:
        mine = next((group for known, group in groups if known == key(one)), None)
        if mine is None:
            groups.append((key(one), [one]))
        else:
            mine.append(one)
    return [group for _, group in groups]


def _design_row(point: DesignPoint, used: bool) -> Row:
    switches = MISSING if point.key_switches is None else f"{point.key_switches:,.0f}"
    return Row(
        (
            inline(Bold(point.name) if used else point.name),
            inline(f"{point.ring:,}, {point.log2_q:g}"),
            inline(f"{point.levels:,}"),
            inline(f"{point.steps:,}"),
            inline(MISSING if point.refreshes is None else f"{point.refreshes:,}"),
            inline(_size(point.keys_bytes)),
            inline(_size(point.data_bytes)),
            inline(_size(point.server_bytes)),
            inline(switches),
        )
    )


def choice_blocks(view: RunView, found: Sequence[EncryptedTraining]) -> list[Block]:
    """Say what was chosen in the clear, by which rule, and show the grid; [] where nothing was."""
    blocks: list[Block] = []
    for trainings in _alike([one for one in found if one.choice], lambda one: one.choice):
        choice = trainings[0].choice
        titles = "; ".join(short_title(view, one.pipeline) for one in trainings)
        if choice is not None:
            blocks += [_told(titles, choice), *_grids(titles, choice)]
    return blocks


def _told(titles: str, choice: Choice) -> Paragraph:
    chosen = ", ".join(f"{_words(name)} {fact}" for name, fact in _facts(choice.chosen).items())
    lines = [f"{chosen or 'nothing was chosen'}."]
    lines += [f"Rule: {_sentence(choice.rule)}"] if choice.rule else []
    lines += [f"Measured on: {_sentence(choice.measured_on)}"] if choice.measured_on else []
    return Paragraph(inline(Bold(f"{titles}:"), " ", " ".join(lines)))


def _grids(titles: str, choice: Choice) -> list[Table]:
    """Return a table for each kind of entry in the grid: those that name the same things."""
    kinds: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for entry in choice.grid:
        if entry:
            kinds.setdefault(tuple(_facts(entry)), []).append(entry)
    return [_grid(titles, entries, choice.chosen) for entries in list(kinds.values())[:MOST_GRIDS]]


def _grid(titles: str, entries: list[dict[str, Any]], chosen: dict[str, Any]) -> Table:
    """Return a grid with the chosen entry bold and never cut."""
    facts = [_facts(entry) for entry in entries]
    names = list(facts[0])[:MOST_FACTS]
    taken = [_is_chosen(entry, chosen) for entry in entries]
    shown = sorted(sorted(range(len(entries)), key=lambda place: not taken[place])[:MOST_ROWS])
    rows = [
        Row(tuple(inline(Bold(one) if taken[place] else one) for one in cells))
        for place in shown
        for cells in [[facts[place][name] for name in names]]
    ]
    left = len(entries) - len(rows)
    more = f" {left} further entries are in the record." if left else ""
    columns = tuple(
        Column(_heading(name), "right" if place else "left") for place, name in enumerate(names)
    )
    return Table(
        f"Grid in the clear: {titles}", columns, tuple(rows), inline(f"Bold: chosen.{more}")
    )


def _is_chosen(entry: dict[str, Any], chosen: dict[str, Any]) -> bool:
    """Return whether an entry agrees with the choice in all that both name."""
    shared = entry.keys() & chosen.keys()
    return bool(shared) and all(entry[name] == chosen[name] for name in shared)


def _facts(entry: dict[str, Any]) -> dict[str, str]:
    """Return an entry as it is printed, the lengths of its steps as one fact, and the intervals."""
    facts: dict[str, str] = {}
    for name, value in entry.items():
        found = OF_A_STEP.fullmatch(name)
        if found:
            together = TOLD_TOGETHER[found[1]]
            before = f"{facts[together]}, " if together in facts else ""
            facts[together] = f"{before}{_fact(value)}"
        else:
            facts[name] = _fact(value)
    return facts


def _words(name: str) -> str:
    return name.replace("_", " ").replace("auc", "AUC")


def _heading(name: str) -> str:
    words = _words(name)
    return words[:1].upper() + words[1:]


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _fact(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value)
        return text if len(text) <= LONGEST_FACT else f"{text[: LONGEST_FACT - 1]}…"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}".replace("-", MINUS)


def _size(count: float | None) -> str:
    return MISSING if count is None else bytes_in_words(count)
