"""The first page's table: at most eight rows, each protection beside the model it protects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from he_compare.common.run.leading import leading_metrics, leading_titles
from he_compare.common.run.protection import secrecy_of
from he_compare.common.run.records import PairedDifference
from he_compare.common.run.repeated_trainings import seeds_of, seeds_trained, spread_of
from he_compare.common.run.server_places import wire_is_loopback, wire_words
from he_compare.common.run.spelling import (
    MISSING,
    bracket,
    fixed,
    megabytes,
    milliseconds,
)
from he_compare.common.run.timing import latency_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.scheme import OPEN_CONTROL
from he_compare.reports.answer.price import equal_answers
from he_compare.reports.answer.scrambling_words import spelled
from he_compare.reports.answer.sides import Sides
from he_compare.reports.document.nodes import (
    Bold,
    Break,
    Column,
    Inline,
    Row,
    SpanRow,
    Table,
    inline,
)
from he_compare.reports.naming import short_title

MOST_ROWS = 8
LETTERS = "ABCDEFGH"
CAPTION = "Accuracy, price and secrecy of each set-up"


@dataclass(frozen=True)
class TableLine:
    """One row: the pipelines it stands for, what it is called, what the server receives."""

    pipelines: tuple[PipelineView, ...]
    title: str
    receives: str
    protects: bool = True


def answer_table(
    view: RunView,
    sides: Sides,
    groups: Sequence[tuple[PipelineView, ...]],
    chosen: PipelineView | None,
) -> Table:
    """Return the table; rows beyond the eighth are counted in its note."""
    lines = _lines(view, sides, groups)
    shown = _most_telling(lines, chosen)
    twins = _twin_letters(view, shown)
    rows: list[Row | SpanRow] = []
    for line in shown:
        rows.append(Row(_cells(view, line, twins, chosen)))
        trouble = next((one.trouble for one in line.pipelines if one.trouble), "")
        if trouble:
            rows.append(SpanRow(inline(trouble), "remark"))
    note = _note(view, sides, len(lines) - len(shown))
    return Table(CAPTION, _columns(view), tuple(rows), inline(note))


def _columns(view: RunView) -> tuple[Column, ...]:
    accuracy, auc = leading_titles(view)
    return (
        Column("Set-up", weight=2.5),
        Column("Server receives", weight=1.2),
        Column(accuracy, "right", weight=1.4 if seeds_trained(view) else 1.05),
        Column("Minus its twin", "right", f"{accuracy.lower()}, then {auc}; 95%", 2.0),
        Column("One image", "right", "ms", 0.9),
        Column("Up + down", "right", "kB", 1.1),
        Column("Secret from the server?", weight=1.7),
    )


def _lines(
    view: RunView, sides: Sides, groups: Sequence[tuple[PipelineView, ...]]
) -> list[TableLine]:
    def name(one: PipelineView) -> str:
        return short_title(view, one)

    lines = [
        TableLine((one,), f"No protection: {name(one)}", "the image", protects=False)
        for one in sides.unprotected
    ]
    lines += [
        TableLine((one,), f"Hospital only, no server: {name(one)}", "nothing", protects=False)
        for one in sides.alone
    ]
    for group in groups:
        many = f"Scrambling, one cipher in {spelled(len(group))} set-ups"
        title = name(group[0]) if len(group) == 1 else many
        lines.append(TableLine(group, title, "the scrambled image"))
    lines += [TableLine((one,), name(one), "ciphertexts") for one in sides.encrypted]
    return lines


def _most_telling(lines: list[TableLine], chosen: PipelineView | None) -> list[TableLine]:
    """Keep eight rows: the chosen one, twins, no server; then in turn of each kind."""
    if len(lines) <= MOST_ROWS:
        return lines
    wanted = {one.planned.twin for line in lines for one in line.pipelines}
    kinds: dict[str, list[TableLine]] = {}
    for line in lines:
        kinds.setdefault(line.receives, []).append(line)

    def weight(line: TableLine) -> tuple[int, int]:
        first = line.pipelines[0]
        if first is chosen:
            return 0, 0
        if first.label in wanted or first.no_server:
            return 1, first.number
        place = kinds[line.receives].index(line)
        return (3 if line.receives == "the image" else 2), place

    kept = sorted(lines, key=weight)[:MOST_ROWS]
    return [line for line in lines if line in kept]


def _twin_letters(view: RunView, lines: Sequence[TableLine]) -> dict[str, str]:
    """Give each twin a letter, where there are several."""
    wanted = [one.planned.twin for line in lines for one in line.pipelines if line.protects]
    twins = [one.label for one in view.pipelines if one.label in wanted]
    return dict(zip(twins, LETTERS, strict=False)) if len(twins) > 1 else {}


def _cells(
    view: RunView, line: TableLine, twins: dict[str, str], chosen: PipelineView | None
) -> tuple[Inline, ...]:
    first = line.pipelines[0]
    letter = twins.get(first.label if not line.protects else first.planned.twin, "")
    mark = f" (twin {letter})" if letter and not line.protects else f" ({letter})" * bool(letter)
    name = inline(Bold(line.title) if first is chosen else line.title, mark)
    metric = leading_metrics(view)[0]
    return (
        name,
        inline(line.receives),
        _accuracy(line, metric),
        _minus_twin(view, line),
        inline(_range([_wait(one) for one in line.pipelines], milliseconds)),
        inline(_bytes(line)),
        _secret(view, line),
    )


def _accuracy(line: TableLine, metric: str) -> Inline:
    first = line.pipelines[0]
    seeds = seeds_of(first, metric) if len(line.pipelines) == 1 else None
    if seeds:
        known = first.metric(metric)
        limits = bracket(known.interval) if known and known.of_trainings else ""
        below = [part for line in filter(None, (limits, seeds.ends())) for part in (Break(), line)]
        return inline(fixed(seeds.mean), *below)
    found = _range([one.value(metric) for one in line.pipelines], fixed)
    return inline(found if found != MISSING or first.state == "ok" else first.state)


def _minus_twin(view: RunView, line: TableLine) -> Inline:
    if not line.protects:
        return inline(MISSING)
    if len(line.pipelines) == 1:
        same, n = equal_answers(view, line.pipelines[0])
        if n and same == n and _no_gap(view, line.pipelines[0]):
            return inline("0; 0", Break(), f"{same} of {n} equal")
    if not any(view.twin_of(one) for one in line.pipelines):
        return inline("no twin in this run")
    if not any(
        one.difference(metric) for one in line.pipelines for metric in leading_metrics(view)
    ):
        return inline(MISSING)
    parts: list[Inline] = []
    for metric in leading_metrics(view):
        found = [one.difference(metric) for one in line.pipelines]
        known = [one for one in found if one is not None and one.difference is not None]
        parts.append(inline(Break()) if parts else ())
        parts.append(_gap(known))
    return inline(*parts)


def _no_gap(view: RunView, pipeline: PipelineView) -> bool:
    found = [pipeline.difference(metric) for metric in leading_metrics(view)]
    return all(one and one.difference is not None and not round(one.difference, 3) for one in found)


def _gap(known: Sequence[PairedDifference]) -> Inline:
    gaps = [one.difference for one in known]
    shown = _range(gaps, lambda value: fixed(value, signed=True))
    if len(known) == 1 and known[0].interval is not None:
        shown = f"{shown} {bracket(known[0].interval, signed=True)}"
    spreads = [spread for one in known if (spread := spread_of(one)) is not None]
    if not spreads:
        return inline(shown)
    if len(spreads) == 1:
        return inline(shown, Break(), spreads[0].ends(signed=True))
    widest = max(spreads, key=lambda one: one.width)
    apart = f"trainings up to {fixed(widest.width)} apart"
    return inline(shown, Break(), apart)


def _range(values: Sequence[float | None], spell: Callable[[float], str]) -> str:
    """Spell the lowest and highest of some values, one where they read the same."""
    known = [value for value in values if value is not None]
    if not known:
        return MISSING
    low, high = spell(min(known)), spell(max(known))
    return low if low == high else f"{low} to {high}"


def _wait(pipeline: PipelineView) -> float | None:
    latency = latency_of(pipeline)
    return latency.total.p50 if latency else None


def _bytes(line: TableLine) -> str:
    moved = [one.bytes_per_image for one in line.pipelines]
    ups = [one[0] for one in moved if one is not None]
    downs = [one[1] for one in moved if one is not None]
    if not ups:
        return MISSING
    if not any(ups + downs):
        return "0"
    shown = f"{_range(ups, _one_decimal)} + {_range(downs, _one_decimal)}"
    sent = [
        one.measured.traffic.training_upload_bytes
        for one in line.pipelines
        if one.measured and one.measured.traffic
    ]
    if not any(sent):
        return shown
    least = "" if min(sent) == max(sent) else "up to "
    return f"{shown}; training {least}{megabytes(max(sent))} MB once"


def _one_decimal(count: float) -> str:
    return fixed(count / 1e3, 1)


def _secret(view: RunView, line: TableLine) -> Inline:
    """Return the gravest answer of the row's pipelines, as yes or no; what is lost stands out."""
    if not any(one.measured for one in line.pipelines):
        return inline("no result")
    found = [secrecy_of(view, one) for one in line.pipelines]
    for mark in ("broken", "partly"):
        lost = next((one for one in found if one.mark == mark), None)
        if lost is not None:
            rest = lost.words.partition(": ")[2] or lost.words
            return inline(Bold(f"{'no' if mark == 'broken' else 'in part'}: {rest}"))
    if found[0].mark == "open by design":
        return inline("no: it is not hidden")
    return inline(found[0].words)


def _without_hiding(view: RunView, sides: Sides, metric: str) -> list[str]:
    """Say how far the control that hides nothing lies from its twin: that is no price of hiding."""
    told = []
    for one in sides.controls:
        found = one.difference(metric)
        if one.planned.resolved.get("cipher") != OPEN_CONTROL or found is None:
            continue
        if found.difference is not None:
            told.append(
                f"{short_title(view, one)} hides nothing, and lies "
                f"{fixed(found.difference, signed=True)} from its twin: so much is how the server "
                "trains, not the price of a cipher"
            )
    return told


def _note(view: RunView, sides: Sides, left_out: int) -> str:
    metric = leading_metrics(view)[0]
    counts = [latency.total.n for one in view.pipelines if (latency := latency_of(one)) is not None]
    half = [
        (found.interval.high - found.interval.low) / 2
        for one in view.pipelines
        if one not in sides.controls
        and (found := one.metric(metric)) is not None
        and found.interval is not None
    ]
    parts = [f"n = {view.n_test:,}, the same images for all"]
    if half:
        parts[0] += f"; 95% intervals of about ±{fixed(max(half), 2)} (see Accuracy)"
    if seeds := seeds_trained(view):
        parts.append(
            f"Means of {len(seeds)} trainings (seeds {', '.join(map(str, seeds))}), with 95% "
            "intervals for patients and trainings, and the lowest and highest training"
        )
    if counts:
        each = min(counts)
        network = "not included" if wire_is_loopback(view) else "included where a host was used"
        way = f"over {wire_words(view)}, network time {network}"
        parts.append(f"One image: median of {each:,}, {way}")
    if sides.controls:
        names = ", ".join(short_title(view, one) for one in sides.controls)
        parts.append(f"Controls, not shown: {names}")
        parts += _without_hiding(view, sides, metric)
    if left_out:
        plural = "s" * (left_out != 1)
        parts.append(f"{spelled(left_out).capitalize()} more set-up{plural}: see Accuracy")
    return ". ".join(parts) + "."
